"""What either side may expect of a client, proved by the ledgers of the imitations: nothing early, nothing crowded."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import stamina
from yarl import URL

from syncd.clock import Clock
from syncd.errors import AuthFailed, Interrupted
from syncd.http import HttpClient, HttpOptions
from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.wire.faults import Fault
from syncd.sandbox.wire.knobs import PortalKnobs
from syncd.store.db.database import Database
from syncd.store.directory.checkpoints import load_checkpoint
from syncd.store.directory.pages import Directory
from tests.contract.sandbox_client import MovableClock
from tests.e2e.program import Program
from tests.fakes.tenant import ROOT, Tenant, make_error
from tests.fakes.wired import Wire
from tests.stores import open_migrated

FORMS = [
    ("Retry-After", "7"),
    ("retry-after", "7"),
    ("Retry-After", "6.5"),
    ("Retry-After", "Mon, 02 Mar 2026 09:00:40 GMT"),
]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty SQLite store."""
    made = open_migrated(f"sqlite:///{tmp_path / 'store.db'}")
    yield made
    made.close()


def make_tenant() -> Tenant:
    """Return a tenant of five people in two groups."""
    tenant = Tenant()
    for name in "abcde":
        tenant.directory.hire(name, f"{name}@nordwind.example", user_id=name)
    for group in "gh":
        tenant.directory.create_group({"displayName": group}, group_id=group, members=list("abcde"))
    return tenant


def follow_links(tenant: Tenant, database: Database) -> list[str]:
    """Return a list that fills with the delta links that are asked for, each with whether it is the stored one."""
    asked: list[str] = []

    def look(target: str) -> None:
        found = re.search(r"/(users|groups)/delta\?\$deltatoken=(?!latest)", target)
        if found:
            checkpoint = load_checkpoint(database, "users" if found[1] == "users" else "groups")
            stored = () if checkpoint is None else (checkpoint.delta_link, checkpoint.next_link)
            asked.append(f"{found[1]} {'stored' if f'{ROOT}{target}' in stored else 'OTHER'}")

    tenant.before = look
    return asked


@pytest.mark.parametrize("refused", [False, True])
@pytest.mark.parametrize("same", [False, True])
async def test_a_delta_link_is_left_for_good_once_a_newer_one_is_stored(
    database: Database, refused: bool, same: bool
) -> None:
    """Through deltas and full reads of both kinds, lost answers, refusals and dead links."""
    tenant = make_tenant()
    tenant.knobs.page_objects, tenant.knobs.same_delta_token = 2, same
    asked = follow_links(tenant, database)
    if refused:
        body = make_error("BadRequest")
        tenant.faults.add(Fault("status", "graph", path="latest", status=400, body=body, count=-1))
    planned: list[dict[str, Any]] = [
        {},
        {"kind": "lose", "path": "deltatoken=(?!latest)", "count": 3},
        {"kind": "status", "status": 400, "path": "deltatoken=(?!latest)", "body": make_error("Request_BadRequest")},
        {"kind": "status", "status": 404, "path": "skiptoken", "body": make_error("UnknownError"), "count": 2},
        {"kind": "status", "status": 410, "path": "groups/delta.*deltatoken=(?!latest)"},
    ]
    with stamina.set_testing(True, attempts=6, cap=True):
        for number, fault in enumerate(planned * 2):
            if fault:
                tenant.faults.add(Fault(**{"side": "graph", **fault}))
            for name in "abcde":
                tenant.directory.rename(name, display_name=f"{name}{number}", upn=f"{name}{number}@nordwind.example")
            assert (await tenant.pull(database, full=number % 3 == 0)).complete
    assert len(asked) > 15
    assert set(asked) == {"users stored", "groups stored"}
    assert list(tenant.ledger.violations) == []


async def test_a_delta_link_is_used_again_by_whoever_died_before_the_newer_one_was_stored(database: Database) -> None:
    """The answer had come, and was lost with the process: what it told is told once more."""
    tenant = make_tenant()
    await tenant.pull(database, full=True)
    tenant.directory.hire("f", "f@nordwind.example", user_id="f")
    asked = follow_links(tenant, database)

    async def die(*args: Any, **kwargs: Any) -> Any:
        raise Interrupted("the process ends here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Directory, "store_pages", die)
        with pytest.raises(Interrupted):
            await tenant.pull(database)
    assert (await tenant.pull(database)).counts["users_added"] == 1
    assert asked.count("users stored") == 2
    assert set(asked) == {"users stored", "groups stored"}
    assert tenant.ledger.notes["older delta link used again"] >= 1
    assert list(tenant.ledger.violations) == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("path", ["users/delta", "groups/delta", r"/v1.0/users\?", "count"])
async def test_graph_is_given_the_time_that_it_asks_for(
    database: Database, form: tuple[str, str], status: int, path: str
) -> None:
    """Whatever the status, the form of the header and the request: it is repeated afterwards, and not before."""
    tenant = make_tenant()
    tenant.faults.add(Fault("status", path=path, status=status, headers=dict([form]), count=2))
    with stamina.set_testing(True, attempts=6, cap=True):
        assert (await tenant.pull(database, full=True)).complete
    assert tenant.ledger.statuses["graph", status] == 2
    assert list(tenant.ledger.violations) == []
    assert tenant.clock.now().second >= 6 or tenant.clock.now().minute > 0


async def test_of_several_waits_in_a_batch_the_longest_counts(database: Database) -> None:
    """Each part has its own, and all parts that are left go together."""
    tenant = make_tenant()
    for group, seconds in (("g", "9"), ("h", "3")):
        headers = {"Retry-After": seconds}
        tenant.faults.add(Fault("status", side="batch", path=f"/{group}/members", status=429, headers=headers))
    with stamina.set_testing(True, attempts=6, cap=True):
        assert (await tenant.pull(database, full=True)).complete
    assert list(tenant.ledger.violations) == []
    assert tenant.clock.now().second >= 9


async def test_a_batch_that_is_throttled_as_a_whole_waits(database: Database) -> None:
    """424 is how Graph says that every part was throttled."""
    tenant = make_tenant()
    headers = {"Retry-After": "5"}
    tenant.faults.add(Fault("status", path="batch", method="POST", status=424, headers=headers, count=2))
    with stamina.set_testing(True, attempts=6, cap=True):
        assert (await tenant.pull(database, full=True)).complete
    assert list(tenant.ledger.violations) == []
    assert tenant.clock.now().second >= 10


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", [429, 503])
async def test_the_portal_is_given_the_time_that_it_asks_for(form: tuple[str, str], status: int) -> None:
    """Reads and writes alike; a creation may be settled by a read meanwhile, and is not sent again before."""
    clock = MovableClock()
    wire = Wire(clock, PortalKnobs())
    wire.add_account("ann@x.com")
    portal = wire.open()
    for method, path in (("GET", "/admin/user"), ("PATCH", "/admin/user"), ("DELETE", "/admin/user")):
        wire.faults.add(Fault("status", method=method, path=path, status=status, headers=dict([form]), count=2))
    with stamina.set_testing(True, attempts=6, cap=True):
        assert await portal.fetch_account("ann@x.com") is not None
        await portal.update_account("ann@x.com", {"job_title": "Boss"})
        await portal.delete_account("ann@x.com")
    assert wire.ledger.statuses["portal", status] == 6
    assert list(wire.ledger.violations) == []


async def test_every_status_may_ask_for_time_on_a_real_wire(tmp_path: Path) -> None:
    """Whatever the status and the form: over real sockets, in real seconds, a whole sync asks for nothing too early."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=12), usegmt=True)
    planned = [
        ("graph", "GET", "users/delta", 500, ("Retry-After", "1")),
        ("graph", "GET", "groups/delta", 504, ("retry-after", "0.7")),
        ("graph", "GET", r"/v1.0/users\?", 502, ("Retry-After", date)),
        ("graph", "GET", r"/v1.0/groups\?", 503, ("RETRY-AFTER", "1")),
        ("graph", "GET", "count", 500, ("Retry-After", "0.5")),
        ("graph", "POST", "batch", 424, ("Retry-After", "1")),
        ("batch", "GET", "members", 429, ("Retry-After", "2")),
        ("batch", "GET", "members", 503, ("Retry-After", "1")),
        ("portal", "GET", "/admin/users", 423, ("Retry-After", "1")),
        ("portal", "POST", "/admin/groups", 423, ("retry-after", "0.6")),
        ("portal", "GET", "/admin/groups", 504, ("Retry-After", date)),
        ("portal", "PATCH", "/admin/user", 500, ("Retry-After", "1")),
        ("portal", "POST", "/members/add", 502, ("Retry-After", "0.5")),
    ]
    async with Sandbox(SandboxOptions(users=30, groups=8, memberships=60), tmp_path / "sandbox") as sandbox:
        syncd = Program.connected(sandbox, tmp_path)
        sandbox.portal_knobs.creation_manager = "refuse"  # so that there is something to patch
        faults = [
            sandbox.faults.add(Fault("status", side, method, path, status=status, headers=dict([form])))
            for side, method, path, status, form in planned
        ]
        done = await syncd("sync", "full")
        assert done.code == 0, done.stderr
        assert [fault.path for fault in faults if not fault.hits] == []
        assert list(sandbox.ledger.violations) == []


@pytest.mark.parametrize("side", ["graph", "portal", "login"])
async def test_an_answer_that_drips_is_read_whole(tmp_path: Path, side: str) -> None:
    """However slowly it comes, as long as it comes."""
    async with Sandbox(SandboxOptions(users=20, groups=4, memberships=40), tmp_path / "sandbox") as sandbox:
        syncd = Program.connected(sandbox, tmp_path)
        fault = sandbox.faults.add(Fault("drip", side, seconds=0.05, count=3))
        done = await syncd("sync", "full")
        assert done.code == 0, done.stderr
        assert fault.hits
        assert sandbox.ledger.statuses[side, 200] >= 1


async def test_an_answer_that_drips_without_an_end_is_left(tmp_path: Path) -> None:
    """The time for a whole answer is bounded; the request is repeated, and the next answer is taken."""
    async with Sandbox(SandboxOptions(users=20, groups=4, memberships=40), tmp_path / "sandbox") as sandbox:
        options = HttpOptions(answer_timeout=0.3, ca_file=sandbox.ca_file)
        fault = sandbox.faults.add(Fault("drip", "graph", seconds=1.0, count=2))
        with stamina.set_testing(True, attempts=6, cap=True):
            async with HttpClient("Microsoft Graph", options, Clock()) as door:
                with pytest.raises(AuthFailed):  # an answer at last, to who brings no token
                    await door.send("GET", URL(f"{sandbox.graph_url}/v1.0/users"))
                assert door.traffic.requests == 3
        assert fault.hits == 2
        async with asyncio.timeout(30):  # the imitation finds out that nobody reads any more
            while sandbox.ledger.requests("graph") < 3:
                await asyncio.sleep(0.1)


async def test_no_more_requests_are_under_way_than_was_agreed(tmp_path: Path) -> None:
    """Sixteen to Graph, and what bps.concurrency says to the portal: that many are used, and not one more."""
    options = SandboxOptions(users=40, groups=100, memberships=300, latency=0.02)
    async with Sandbox(options, tmp_path / "sandbox") as sandbox:
        syncd = Program.connected(sandbox, tmp_path)
        done = await syncd("sync", "full", SYNCD_BPS__CONCURRENCY="3")
        assert done.code == 0, done.stderr
        assert sandbox.ledger.max_in_flight["portal"] == 3
        assert 3 <= sandbox.ledger.max_in_flight["graph"] <= 16
        assert list(sandbox.ledger.violations) == []


async def test_as_many_requests_are_under_way_as_the_portal_bears(tmp_path: Path) -> None:
    """More than a portal with few workers can work on at once only makes everybody wait."""
    knobs = PortalKnobs(workers=3, service_time=0.02)
    options = SandboxOptions(users=150, groups=30, memberships=300, portal_knobs=knobs)
    async with Sandbox(options, tmp_path / "sandbox") as sandbox:
        syncd = Program.connected(sandbox, tmp_path)
        done = await syncd("sync", "full")
        assert done.code == 0, done.stderr
        assert 3 <= sandbox.ledger.max_in_flight["portal"] < 16
        assert list(sandbox.ledger.violations) == []
