"""A tenant, or a gateway before it, that offers one thing less: pulls go another way, or do without.

What answers as Graph need not be all of Graph: a proxy may block an address, a national cloud or a copy may lack one.
Only what proves that somebody is gone is never done without: then that person stays.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina
from structlog.testing import capture_logs

from syncd.sandbox.wire.faults import Fault
from syncd.store.db.database import Database, open_database
from tests.contract.test_graph_listing import GROUPS, USERS, make_tenant, memberships, truth
from tests.property.test_tenant_machine import call_in_turn
from tests.stores import forget_news, template


def _say(code: str, message: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": message}}).encode()


UNKNOWN: dict[str, dict[str, Any]] = {
    "404 of a web server": {"status": 404, "body": b"404: Not Found", "content_type": "text/plain"},
    "400 of OData": {"status": 400, "body": _say("BadRequest", "Resource not found for the segment 'x'.")},
    "404 of OData": {"status": 404, "body": _say("BadRequest", "Resource not found for the segment 'x'.")},
    "405": {"status": 405, "body": b"405: Method Not Allowed", "content_type": "text/plain"},
    "501": {"status": 501, "body": _say("NotImplemented", "Not implemented.")},
}
"""In how many forms an address may be unknown."""

ROUTES = {
    "checkpoints from now on": ("graph", "deltatoken=latest"),
    "lists": ("graph", r"/v1.0/(users|groups)\?"),
    "batches": ("graph", r"\$batch"),
    "members in batches": ("batch", r"/members\?"),
    "deleted items": ("graph", "deletedItems"),
    "counts of members": ("graph", r"members.*\$count"),
}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    shutil.copy(template(), tmp_path / "store.db")
    opened = open_database(f"sqlite:///{tmp_path / 'store.db'}")
    opened.call = call_in_turn
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
async def _impatient() -> AsyncIterator[None]:
    with stamina.set_testing(True, attempts=6, cap=True):
        yield


@pytest.mark.parametrize("form", UNKNOWN)
@pytest.mark.parametrize("route", ROUTES)
async def test_what_is_not_offered_is_done_without(database: Database, route: str, form: str) -> None:
    """Both full pulls are complete, the second one removes who is gone, and nothing is asked for again and again."""
    tenant = make_tenant()
    side, path = ROUTES[route]
    fault = tenant.faults.add(Fault("status", side, path=path, count=-1, **UNKNOWN[form]))
    assert (await tenant.pull(database, full=True)).complete
    assert memberships(database) == truth(tenant)
    tenant.directory.soft_delete(USERS[0])
    tenant.directory.delete_group(GROUPS[0])
    tenant.directory.remove_member(GROUPS[1], USERS[3])
    forget_news(database)
    assert (await tenant.pull(database, full=True)).complete
    assert memberships(database) == truth(tenant)
    assert 1 <= fault.hits <= 12
    assert (await tenant.pull(database)).complete


@pytest.mark.parametrize("form", UNKNOWN)
async def test_without_a_second_reading_of_a_group_nobody_leaves_it(database: Database, form: str) -> None:
    """The only witness is missing: the member stays, which is told and counted, and the rest of the pull goes on."""
    tenant = make_tenant()
    tenant.faults.add(Fault("status", "graph", path=r"/members\?", count=-1, **UNKNOWN[form]))
    await tenant.pull(database, full=True)
    before = truth(tenant)
    tenant.directory.remove_member(GROUPS[1], USERS[3])
    tenant.directory.soft_delete(USERS[0])
    forget_news(database)
    result = await tenant.pull(database, full=True)
    assert result.complete
    assert result.counts["groups_unproven"] == 1
    assert memberships(database) == {link for link in before if link[1] != USERS[0]}


async def test_a_check_of_members_that_cannot_count_says_so_once(database: Database) -> None:
    """A delta run goes on without it, however many groups there are."""
    tenant = make_tenant()
    tenant.faults.add(Fault("status", "graph", path=r"members.*\$count", count=-1, **UNKNOWN["501"]))
    await tenant.pull(database, full=True)
    tenant.clock.elapsed += 7 * 3600.0  # type: ignore[attr-defined]
    with capture_logs() as lines:
        assert (await tenant.pull(database)).complete
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["members.uncountable"]
