"""What the pages of Graph say in two ways is read in both: levels of managers, relations in selections, casts."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from syncd.model.run import Wanted
from syncd.sandbox.wire.faults import Fault
from syncd.sandbox.wire.knobs import turn_knobs
from syncd.store.db.database import Database, open_database
from syncd.store.db.markers import INVENTORY_READ, save_marker
from syncd.store.store import Store
from syncd.sync.pull.pull import Pull
from tests.fakes.tenant import Tenant
from tests.property.test_tenant_machine import call_in_turn, load
from tests.stores import template

PEOPLE = 12
LEVELS: dict[str, object] = {"manager_levels": "documented"}
RELATIONS: dict[str, object] = {"select_relations": "ignored"}
CASTS: dict[str, object] = {"casts_need_eventual": True}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A store of the schema alone, called in turn."""
    shutil.copy(template(), tmp_path / "store.db")
    opened = open_database(f"sqlite:///{tmp_path / 'store.db'}")
    opened.call = call_in_turn
    yield opened
    opened.close()


def found_company(knobs: dict[str, object]) -> tuple[Tenant, list[str]]:
    """Return a tenant in which all but one report to the first, and six are in a group."""
    tenant = Tenant()
    turn_knobs(tenant.knobs, knobs)
    ids = [tenant.directory.hire(f"P{number}", f"p{number}@x.example") for number in range(PEOPLE)]
    for user_id in ids[1:]:
        tenant.directory.set_manager(user_id, ids[0])
    tenant.directory.create_group({"displayName": "G"}, members=ids[:6])
    return tenant, ids


@pytest.mark.parametrize("knobs", [{}, LEVELS, RELATIONS, CASTS, LEVELS | RELATIONS | CASTS])
@pytest.mark.parametrize("owners", [False, True])
async def test_everything_is_read_by_lists_and_directly(
    knobs: dict[str, object], owners: bool, database: Database
) -> None:
    """Full, delta, and single objects, with every manager; and no list gives way to a serial round."""
    tenant, ids = found_company(knobs)
    source = tenant.open_source(owners=owners)
    for full in (True, False, True):
        tenant.directory.set_attributes(ids[3], displayName=f"Changed {full}")
        result = await tenant.pull(database, full=full, source=source)
        assert result.complete, result.unproven
        assert "lists_refused" not in result.counts
    found = load(database)
    assert {user_id: manager for user_id, (_, manager) in found.users.items()} == {
        user_id: None if user_id == ids[0] else ids[0] for user_id in ids
    }
    assert len(found.links) == 6
    with database.transaction() as connection:
        save_marker(connection, INVENTORY_READ, "yes")
    for kind, name in (("user", "p3@x.example"), ("group", "G")):
        pull = Pull(
            source, Store(database), clock=tenant.clock, progress=lambda name, number: None, stopping=lambda: False
        )
        assert not (await pull.run_single(Wanted(kind, name))).doubts  # type: ignore[arg-type]  # both are kinds
    assert load(database).users[ids[3]][1] == ids[0]


async def test_the_form_that_is_taken_is_found_once() -> None:
    """Also when several ask at a time; whoever comes later asks in that form at once."""
    tenant, ids = found_company(LEVELS)
    source = tenant.open_source()
    users = await asyncio.gather(*(source.fetch_user(user_id) for user_id in ids[:4]))
    assert all(user is not None for user in users)
    tenant.ledger.clear()
    assert await source.fetch_user(ids[5]) is not None
    assert tenant.ledger.requests() == 1


async def test_an_attribute_that_is_refused_costs_no_expansion() -> None:
    """What the settings select is named, and managers are asked for as before."""
    tenant, ids = found_company({})
    source = tenant.open_source(user_attributes=("doesNotExist",))
    with pytest.raises(Exception, match="doesNotExist"):
        await source.fetch_user(ids[1])
    assert not [each for each in tenant.ledger.entries if each.target.endswith("$expand=manager")]


@pytest.mark.parametrize(
    ("side", "path", "event"),
    [("batch", "directReports", "relations.hidden"), ("graph", r"/\$batch", "relations.unread")],
)
async def test_a_tenant_that_refuses_the_reports_of_people_is_told_of_once(
    side: str, path: str, event: str, database: Database
) -> None:
    """Some imitation does so where a page size is named: newcomers come in all the same, and not each costs a line."""
    tenant, _ = found_company({})
    source = tenant.open_source()
    await tenant.pull(database, full=True, source=source)
    refusal = b'{"error":{"code":"Request_UnsupportedQuery","message":"$top is not allowed here"}}'
    fault = Fault("status", side=side, path=path, count=-1, status=400, body=refusal)
    tenant.faults.add(fault)
    told = []
    for first in (100, 200):
        for number in range(first, first + 50):
            tenant.directory.hire(f"P{number}", f"p{number}@x.example")
        with capture_logs() as lines:
            result = await tenant.pull(database, source=source)
        assert not result.doubts, result.doubts
        told += [line for line in lines if line["log_level"] == "warning"]
    assert fault.hits >= 2
    assert [(line["event"], line["count"]) for line in told] == [(event, 50)]
    assert len(load(database).users) == PEOPLE + 100
