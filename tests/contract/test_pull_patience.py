"""Patience of pulls: pages without end, empty ones by the thousand, and a budget that others spend."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import stamina
import structlog

from syncd.errors import EmptyPages, SyncdError, Throttled
from syncd.graph import trail as trails
from syncd.model.source import Page, Stream
from syncd.sandbox.wire.faults import Fault
from syncd.store.db.database import Database, open_database
from tests.fakes.office import hire, settle_in
from tests.fakes.source import FakeSource
from tests.fakes.tenant import Tenant
from tests.fakes.world import World, open_world
from tests.property.test_tenant_machine import call_in_turn, load
from tests.stores import template

pytestmark = pytest.mark.both_engines

# ---- empty pages ------------------------------------------------------------------------------------------------

AT_MOST = 20
"""Empty pages in a row after which a run ends, in these tests."""


class SparseSource(FakeSource):
    """Leads from a delta link through so many empty pages to the news; counts them as the adapter does."""

    def __init__(self) -> None:
        super().__init__()
        self.empties = 0
        self.read = 0

    async def fetch_page(self, stream: Stream, link: str | None) -> Page:
        """Return the next empty page, or what comes behind them."""
        if stream == "users" and link is not None and link.startswith("d:") and self.empties:
            self.read = 0
            return self._make_empty(self.empties - 1, link)
        if link is not None and link.startswith("e:"):
            _, left, behind = link.split(":", 2)
            self.read += 1
            if self.read >= AT_MOST:
                self.read = 0
                raise EmptyPages("too many in a row")
            return self._make_empty(int(left) - 1, behind) if int(left) else await super().fetch_page(stream, behind)
        return await super().fetch_page(stream, link)

    def _make_empty(self, left: int, behind: str) -> Page:
        return Page(items=(), bad=(), next_link=f"e:{left}:{behind}", delta_link=None)


@pytest.fixture
async def world(store_url: str) -> AsyncIterator[World]:
    structlog.reset_defaults()
    made = open_world(store_url)
    made.source = SparseSource()
    settle_in(made.source)
    assert (await made.sync("full")).status == "succeeded"
    yield made
    made.database.close()


@pytest.mark.driver
async def test_a_round_of_many_empty_pages_gets_through_in_several_runs(world: World) -> None:
    """Each run ends after so many and says so; the next one goes on behind them, and never at the start."""
    source = world.source
    assert isinstance(source, SparseSource)
    source.empties = 3 * AT_MOST
    hire(source, 9)
    source.link("g1", "u9")
    statuses = [(await world.sync("delta")).status for _ in range(4)]
    assert statuses == ["partial", "partial", "partial", "succeeded"]
    assert "u9@x.com" in world.portal.picture()["all@grp"]


@pytest.mark.driver
async def test_news_of_the_other_stream_are_carried_out_meanwhile(world: World) -> None:
    """Users are still on their way through empty pages, and a membership ends."""
    assert isinstance(world.source, SparseSource)
    world.source.empties = 3 * AT_MOST
    world.source.unlink("g1", "u1")
    assert (await world.sync("delta")).status == "partial"
    assert "u1@x.com" not in world.portal.picture()["all@grp"]


@pytest.mark.driver
async def test_a_full_run_leaves_pages_without_end_behind(world: World) -> None:
    """It reads lists from a link of its own, and the deltas after it begin there."""
    source = world.source
    assert isinstance(source, SparseSource)
    source.empties = 10**9
    hire(source, 9)
    assert (await world.sync("delta")).status == "partial"
    source.empties = 0
    run = await world.sync("full")
    assert run.status in ("succeeded", "partial")
    assert "u9@x.com" in world.portal.accounts
    assert (await world.sync("delta")).status == "succeeded"


# ---- a budget that others spend -------------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    shutil.copy(template(), tmp_path / "store.db")
    opened = open_database(f"sqlite:///{tmp_path / 'store.db'}")
    opened.call = call_in_turn
    yield opened
    opened.close()


@pytest.fixture
async def _impatient() -> AsyncIterator[None]:
    with stamina.set_testing(True, attempts=6, cap=True):
        yield


def make_tenant(groups: int, *, units: int) -> Tenant:
    """Return a tenant of which others leave us so many units in ten seconds."""
    tenant = Tenant()
    tenant.knobs.resource_units_per_10s = units
    for number in range(groups):
        user_id = tenant.directory.hire(f"P{number}", f"p{number}@x.example")
        tenant.directory.create_group({"displayName": f"G{number}"}, members=[user_id])
    return tenant


@pytest.mark.usefixtures("_impatient")
async def test_a_full_read_comes_to_its_end_with_next_to_no_budget(database: Database) -> None:
    """Each Retry-After is obeyed, and being refused is no failure as long as something moves forward."""
    tenant = make_tenant(150, units=20)
    result = await tenant.pull(database, full=True)
    assert result.complete, result.unproven
    assert len(load(database).groups) == 150
    assert not tenant.ledger.violations


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("full", [True, False])
async def test_a_request_that_is_refused_for_two_minutes_is_no_failure(database: Database, full: bool) -> None:
    """Its Retry-After is obeyed nine times; what else is read does not begin anew for it."""
    tenant = make_tenant(3, units=1000)
    await tenant.pull(database, full=True)
    refused = {"status": 429, "headers": {"Retry-After": "12"}}
    path = r"/users\?" if full else "/users/delta"
    tenant.faults.add(Fault("status", "graph", path=path, count=9, **refused))  # type: ignore[arg-type]
    result = await tenant.pull(database, full=full)
    assert result.complete, result.unproven
    assert "lists_refused" not in result.counts
    assert not tenant.ledger.violations


@pytest.mark.usefixtures("_impatient")
async def test_who_asks_for_a_longer_rest_than_our_patience_is_not_waited_for(database: Database) -> None:
    """One Retry-After of minutes ends the run; so do refusals without an end."""
    tenant = make_tenant(3, units=1000)
    await tenant.pull(database, full=True)
    for wait in ("300", "12"):
        refused = {"status": 429, "headers": {"Retry-After": wait}}
        tenant.faults.add(Fault("status", "graph", path="/users/delta", count=-1, **refused))  # type: ignore[arg-type]
        started = tenant.clock.monotonic()
        with pytest.raises(Throttled):
            await tenant.pull(database)
        assert tenant.clock.monotonic() - started < 400
        tenant.faults.clear()


@pytest.mark.usefixtures("_impatient")
async def test_what_lists_cannot_read_in_reasonable_time_is_read_by_delta(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The budget would do for hours of lists; delta needs a small part of the requests."""
    monkeypatch.setattr("syncd.sync.pull.lists._REASONABLE", 150.0)
    tenant = make_tenant(200, units=20)
    result = await tenant.pull(database, full=True)
    assert result.counts["lists_refused"] == 1
    assert result.complete, result.unproven
    assert len(load(database).groups) == 200


@pytest.mark.usefixtures("_impatient")
async def test_runs_that_are_refused_in_the_middle_come_to_the_end_together(database: Database) -> None:
    """Lists give up for good, and the delta baseline goes on where the run before it stopped."""
    tenant = make_tenant(30, units=1000)
    tenant.knobs.page_objects = 3
    refused = {"status": 429, "headers": {"Retry-After": "30"}}
    tenant.faults.add(Fault("status", "graph", path=r"/(users|groups)\?", count=-1, **refused))  # type: ignore[arg-type]
    tenant.faults.add(Fault("status", "graph", path="delta.*skiptoken", skip=4, count=40, **refused))  # type: ignore[arg-type]
    source, reads = tenant.open_source(), []
    for _ in range(8):
        try:
            result = await tenant.pull(database, source=source)
        except SyncdError:
            reads.append(len(load(database).active))
            continue
        break
    assert reads == sorted(reads)
    assert reads
    assert result.complete, result.unproven
    assert len(load(database).groups) == 30


async def test_the_adapter_ends_a_row_of_empty_pages_where_it_can_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page before the last empty one leads on; the way is not called endless for good."""
    monkeypatch.setattr(trails, "EMPTY_PAGE_CAP", 3)
    trail = trails.Trail()
    trail.step("a", "b", empty=True)
    trail.step("b", "c", empty=True)
    with pytest.raises(EmptyPages):
        trail.step("c", "d", empty=True)
    trail.step("c", "d", empty=True)
    trail.step("d", "e", empty=False)
