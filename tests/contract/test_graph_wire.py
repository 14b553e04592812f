"""Errors of the wire, case by case, from the imitation tenant through the whole pull into the store.

Each case says what comes of it: the run goes on (``same``), it fails and the next one goes on where it was (``next``),
or everything is read again, once (``full``). Whatever it is, nothing is removed, and the directory ends as the tenant.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
import stamina
from sqlalchemy import func, select

from syncd.errors import EndlessRound, Interrupted, Rejected, SyncdError
from syncd.graph import trail as trails
from syncd.sandbox.wire.faults import Fault
from syncd.store.db.database import Database, open_database, reading
from syncd.store.directory.checkpoints import load_checkpoint
from syncd.store.schema.tables import source_groups, source_members, source_users
from tests.fakes.tenant import ROOT, Tenant, make_error
from tests.stores import forget_news, template

PEOPLE = 9


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    shutil.copy(template(), tmp_path / "store.db")
    opened = open_database(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
async def _impatient() -> AsyncIterator[None]:
    """Let retries follow at once; Retry-After is still waited for, on the tenant's clock."""
    with stamina.set_testing(True, attempts=6, cap=True):
        yield


def make_tenant() -> Tenant:
    """Return a tenant of nine people in one group, with pages of two."""
    tenant = Tenant()
    tenant.knobs.page_objects = tenant.knobs.page_links = 2
    people = [tenant.directory.hire(f"P{n}", f"p{n}@nordwind.example", user_id=f"p{n}") for n in range(PEOPLE)]
    tenant.directory.create_group({"displayName": "All"}, group_id="g", members=people)
    return tenant


def count(database: Database) -> tuple[int, ...]:
    """Return how many users and groups that exist, and how many memberships, are stored."""
    with reading(database) as connection:
        there = [
            select(func.count()).select_from(table).where(table.c.state == "active")
            for table in (source_users, source_groups)
        ]
        links = select(func.count()).select_from(source_members)
        return tuple(connection.scalar(statement) or 0 for statement in (*there, links))


def change(tenant: Tenant) -> None:
    """Let enough happen for a delta of several pages on either side."""
    for n in range(5):
        tenant.directory.set_attributes(f"p{n}", jobTitle=f"T{tenant.clock.monotonic()}", displayName=f"New {n}")
    tenant.directory.create_group({"displayName": "More"}, group_id="g2", members=["p1", "p2", "p3", "p4"])


def _keep(keep: int, page: Any) -> None:
    del page["value"][keep:]


def _become_error(page: Any, *, code: str = "InternalServerError") -> None:
    page.clear()
    page["error"] = {"code": code, "message": "It is broken inside."}


def _spoil_value(page: Any) -> None:
    page["value"] = {"0": "no list"}


@dataclass(frozen=True)
class Case:
    """One thing that can go wrong with ``count`` requests for pages, and what comes of it."""

    name: str
    ends: str
    count: int = 1
    fault: dict[str, Any] = field(default_factory=dict)


def status(code: int, body: bytes = b"", **more: Any) -> dict[str, Any]:
    return {"kind": "status", "status": code, "body": body, **more}


def alter(edit: Callable[[Any], None]) -> dict[str, Any]:
    return {"kind": "alter", "change": edit}


CASES = (
    # a link that is dead
    Case(
        "delta link too old", "full", -1, status(400, make_error("Request_UnsupportedQuery", "DeltaLink older than 30"))
    ),
    Case("sync state not found", "full", -1, status(400, make_error("syncStateNotFound"))),
    Case("sync state not found in a 200", "full", -1, alter(partial(_become_error, code="syncStateNotFound"))),
    Case(
        "reset with location", "full", -1, status(410, make_error("resyncRequired"), headers={"Location": f"{ROOT}/x"})
    ),
    Case("reset without a body", "full", -1, status(410)),
    Case("reset to a foreign host", "full", -1, status(410, headers={"Location": "https://evil.example/"})),
    Case("page token expired", "full", -1, status(400, make_error("Directory_ExpiredPageToken"))),
    Case("steady state", "full", -1, status(400, make_error("X", "Sync must reach steady state within 30 days."))),
    Case("corrupt token", "full", -1, status(400, make_error("Request_BadRequest", "Badly formed token."))),
    # one that only looks dead
    Case("bad request once", "same", 1, status(400, make_error("Request_BadRequest"))),
    Case("400 with a page inside", "same", 1, status(400, b'{"value":[],"@odata.nextLink":"https://x/"}')),
    Case("404 unknown error", "same", 1, status(404, make_error("UnknownError"))),
    Case("404 of a proxy", "same", 1, {"kind": "html", "status": 404}),
    # throttled, down, unreachable
    Case("429 in seconds", "same", 2, status(429, headers={"Retry-After": "30"})),
    Case("429 in fractions", "same", 2, status(429, headers={"Retry-After": "2.128"})),
    Case("429 with an empty wait", "same", 2, status(429, headers={"Retry-After": ""})),
    Case("429 without a wait", "same", 2, status(429)),
    Case("429 for an hour", "next", 1, status(429, headers={"Retry-After": "3600"})),
    Case("500", "same", 3, status(500)),
    Case("502", "same", 3, {"kind": "html", "status": 502}),
    Case("503", "same", 3, status(503)),
    Case("503 with a wait", "same", 3, status(503, headers={"Retry-After": "5"})),
    Case("504", "same", 3, status(504)),
    Case("503 for ever", "next", -1, status(503)),
    Case("reset connection", "same", 3, {"kind": "reset"}),
    Case("lost answer", "same", 3, {"kind": "lose"}),
    Case("broken off in the body", "same", 3, {"kind": "truncate"}),
    Case("connection refused for ever", "next", -1, {"kind": "reset"}),
    # slow
    Case("held back", "same", 3, {"kind": "delay", "seconds": 30.0}),
    Case("held back for too long", "same", 3, {"kind": "delay", "seconds": 300.0}),
    Case("held back for too long, for ever", "next", -1, {"kind": "delay", "seconds": 300.0}),
    Case("drips", "same", 3, {"kind": "drip", "seconds": 3.0}),
    Case("drips for too long", "same", 3, {"kind": "drip", "seconds": 30.0}),
    Case("drips for too long, for ever", "next", -1, {"kind": "drip", "seconds": 30.0}),
    # refused
    Case("401 once", "same", 1, status(401, make_error("InvalidAuthenticationToken"))),
    Case("401 for ever", "next", -1, status(401, make_error("InvalidAuthenticationToken"))),
    Case("403 once", "same", 1, status(403, make_error("Authorization_RequestDenied"))),
    Case("403 for ever", "next", -1, status(403, make_error("Authorization_RequestDenied"))),
    Case("403 with a dead link's words", "next", -1, status(403, make_error("syncStateNotFound"))),
    Case("404 of an object", "next", -1, status(404, make_error("Request_ResourceNotFound"))),
    Case("redirect", "next", -1, status(302, headers={"Location": "https://evil.example/"})),
    # unreadable
    Case("half a body", "same", 2, status(200, b'{"value":[{"id":"p1"')),
    Case("half a body for ever", "next", -1, status(200, b'{"value":[{"id":"p1"')),
    Case("empty body", "same", 2, status(200)),
    Case("sign-in page", "same", 2, {"kind": "html", "status": 200}),
    Case("sign-in page for ever", "next", -1, {"kind": "html", "status": 200}),
    Case("error in a 200", "same", 2, alter(_become_error)),
    Case("error in a 200 for ever", "next", -1, alter(_become_error)),
    Case("value is no list", "same", 2, alter(_spoil_value)),
    # links
    Case("neither link", "same", 1, {"kind": "links", "link": "neither"}),
    Case("neither link for ever", "next", -1, {"kind": "links", "link": "neither"}),
    Case("both links", "same", 1, {"kind": "links", "link": "both"}),
    Case("both links for ever", "next", -1, {"kind": "links", "link": "both"}),
    Case("foreign link", "same", 1, {"kind": "links", "link": "foreign"}),
    Case("foreign link for ever", "next", -1, {"kind": "links", "link": "foreign"}),
    Case("link to itself", "next", 1, {"kind": "links", "link": "same"}),
)


@pytest.mark.parametrize(
    ("stream", "place"), [("users", "deltatoken"), ("groups", "deltatoken"), ("groups", "skiptoken")]
)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_link_of_a_delta_goes_wrong(database: Database, case: Case, place: str, stream: str) -> None:
    """At the first page of a round or inside of it, on either stream: retried within bounds, and never too much."""
    tenant = make_tenant()
    source = tenant.open_source()
    await tenant.pull(database, source=source)
    assert count(database) == (PEOPLE, 1, PEOPLE)
    change(tenant)
    tenant.ledger.clear()
    planned = tenant.faults.add(
        Fault(side="graph", path=f"{stream}/delta.*{place}=(?!latest)", count=case.count, **case.fault)
    )
    failure: SyncdError | None = None
    full = False
    try:
        full = (await tenant.pull(database, source=source)).full
    except SyncdError as error:
        failure = error
    assert planned.hits, "the fault was to strike"
    assert tenant.ledger.requests() < 80, "bounded"
    users, groups, links = count(database)
    assert (users, groups >= 1, links >= PEOPLE) == (PEOPLE, True, True), "nothing is removed"
    tenant.faults.clear()
    if case.ends == "next":
        assert failure is not None
        checkpoint = load_checkpoint(database, stream)  # type: ignore[arg-type]
        assert checkpoint is not None
        assert checkpoint.delta_link is not None, "a link is not judged by an answer that says nothing about it"
    elif case.ends == "same":
        assert failure is None
        assert not full
    elif place == "skiptoken" and case.count < 0:
        # A dead page inside of a round is replayed from the delta link; here it stays dead in the full read too.
        assert failure is not None
    else:
        assert failure is None
        assert full
    for _ in range(2):
        tenant.clock.elapsed += 4000  # type: ignore[attr-defined]
        tenant.ledger.clear()
        last = await tenant.pull(database, source=source)
    assert count(database) == (PEOPLE, 2, PEOPLE + 4)
    assert last.complete
    assert tenant.ledger.requests() == 2, "one full pull is enough"
    assert [found.rule for found in tenant.ledger.violations] == []


@pytest.mark.parametrize("case", [case for case in CASES if case.ends != "full"], ids=lambda case: case.name)
async def test_a_page_of_a_full_read_goes_wrong(database: Database, case: Case) -> None:
    """The first load and the nightly read: the same answers, and what is stored stays until the read is proven."""
    tenant = make_tenant()
    for full in (False, True):
        planned = tenant.faults.add(Fault(side="graph", path="groups/delta", count=case.count, skip=1, **case.fault))
        before = count(database)
        failure: SyncdError | None = None
        try:
            await tenant.pull(database, full=full)
        except SyncdError as error:
            failure = error
        # A bad request that follows no link is a bad query, and nothing to be tried again.
        assert failure is None or case.ends == "next" or isinstance(failure, Rejected)
        assert planned.hits
        assert count(database) >= before
        tenant.faults.clear()
        tenant.clock.elapsed += 4000  # type: ignore[attr-defined]
        await tenant.pull(database, full=full)
        assert count(database) == (PEOPLE, 1, PEOPLE)


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("stream", ["users", "groups"])
async def test_a_list_that_is_silently_cut_removes_nobody(database: Database, stream: str, keep: int) -> None:
    """Status 200, a proper page, too few objects: the counts or the direct reads say so; the next full read heals."""
    tenant = make_tenant()
    tenant.knobs.page_objects = tenant.knobs.page_links = 200
    for number in range(11):
        tenant.directory.create_group({"displayName": f"H{number}"}, group_id=f"h{number}", members=[])
    await tenant.pull(database)
    path = rf"/v1\.0/{stream}(/delta)?\?"  # every reading of the whole stream, by whichever way
    tenant.faults.add(Fault("alter", path=path, change=partial(_keep, keep), count=-1))
    result = await tenant.pull(database, full=True)
    assert result.unproven
    assert count(database) == (PEOPLE, 12, PEOPLE)
    tenant.faults.clear()
    assert (await tenant.pull(database, full=True)).complete


async def test_a_way_without_an_end_in_sight_is_gone_on_by_the_next_run(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty pages for ever, each with its own link: a limit ends each run, and the next one goes on behind them."""
    monkeypatch.setattr(trails, "EMPTY_PAGE_CAP", 20)
    tenant = make_tenant()
    source = tenant.open_source()
    await tenant.pull(database, source=source)
    change(tenant)
    tenant.knobs.endless_rounds = True
    for _ in range(2):
        tenant.ledger.clear()
        result = await tenant.pull(database, source=source)
        assert len(result.doubts) == 2
        assert tenant.ledger.requests() <= 60
        assert "users link" not in tenant.deltas() or not _
    tenant.knobs.endless_rounds = False
    tenant.ledger.clear()
    assert not (await tenant.pull(database, source=source)).full
    assert not [each for each in tenant.deltas() if each.endswith("link")]
    assert count(database) == (PEOPLE, 2, PEOPLE + 4)


async def test_a_circle_is_left_and_begun_anew(database: Database) -> None:
    """A next link that came before leads nowhere: the next run begins at the delta link."""
    tenant = make_tenant()
    source = tenant.open_source()
    await tenant.pull(database, source=source)
    change(tenant)
    tenant.knobs.page_objects = 2
    links: list[str] = []

    def go_round(page: Any) -> None:
        links.append(page.pop("@odata.nextLink"))
        page["@odata.nextLink"] = links[0]

    tenant.faults.add(Fault("alter", path="users/delta", change=go_round, count=-1))
    with pytest.raises(EndlessRound):
        await tenant.pull(database, source=source)
    tenant.faults.clear()
    tenant.ledger.clear()
    assert not (await tenant.pull(database, source=source)).full
    assert "users link" in tenant.deltas()
    assert count(database) == (PEOPLE, 2, PEOPLE + 4)


async def test_a_first_load_without_an_end_in_sight_is_gone_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is removed on the way, and what comes at its end is complete."""
    monkeypatch.setattr(trails, "EMPTY_PAGE_CAP", 20)
    tenant = make_tenant()
    tenant.knobs.endless_rounds = True
    result = await tenant.pull(database)
    assert result.unproven
    assert result.removals != "all"
    tenant.knobs.endless_rounds = False
    assert (await tenant.pull(database)).complete
    assert count(database) == (PEOPLE, 1, PEOPLE)


def stall(tenant: Tenant, at: str, *, seconds: float) -> list[str]:
    """Let time pass, once, before a request whose target contains this; return what was asked from there on."""
    asked: list[str] = []

    def wait(target: str) -> None:
        if at in target and not asked:
            tenant.clock.elapsed += seconds  # type: ignore[attr-defined]
        if at in target or asked:
            asked.append(target)

    tenant.before = wait
    return asked


@pytest.mark.parametrize("stream", ["users", "groups"])
async def test_a_page_link_of_a_list_that_died_begins_that_list_anew(database: Database, stream: str) -> None:
    """These links live for minutes. Nothing is removed, nothing is missed, and it ends."""
    tenant = make_tenant()
    for number in range(4):
        tenant.directory.create_group({"displayName": f"H{number}"}, group_id=f"h{number}", members=[])
    tenant.knobs.list_page_objects = 2
    await tenant.pull(database)
    tenant.knobs.page_token_lifetime = 60.0
    asked = stall(tenant, f"/v1.0/{stream}?$select=id&$top=999&$skiptoken", seconds=120.0)
    tenant.ledger.clear()
    assert (await tenant.pull(database, full=True)).complete
    assert f"/v1.0/{stream}?$select=id&$top=999" in asked, "the list begins anew"
    assert tenant.ledger.requests() < 80
    assert count(database) == (PEOPLE, 5, PEOPLE)


@pytest.mark.parametrize("form", ["unsupported_query", "sync_state_not_found", "gone"])
@pytest.mark.parametrize("stream", ["users", "groups"])
@pytest.mark.parametrize("first", [True, False])
async def test_a_first_round_whose_link_died_begins_anew(
    database: Database, form: Any, stream: str, first: bool
) -> None:
    """A round of delta that was interrupted for too long, on an empty store and on a filled one, in every form."""
    tenant = make_tenant()
    if not first:
        await tenant.pull(database)
        forget_news(database)
    latest = Fault("status", "graph", path="latest", count=-1, status=400, body=make_error("BadRequest"))
    tenant.faults.add(latest)  # no lists: rounds of delta from the beginning
    tenant.knobs.expiry_form, tenant.knobs.initial_round_lifetime = form, 60.0
    asked = stall(tenant, f"{stream}/delta?$skiptoken", seconds=120.0)
    tenant.ledger.clear()
    assert (await tenant.pull(database, full=True)).complete
    assert sum(f"{stream}/delta?$select" in target for target in asked) == 1, "it begins anew once"
    assert tenant.ledger.requests() < 60
    assert count(database) == (PEOPLE, 1, PEOPLE)


async def test_a_bad_query_is_no_endless_full_pull(database: Database) -> None:
    """A property that Graph refuses fails the run with its name, once per run, and keeps what is stored."""
    tenant = make_tenant()
    await tenant.pull(database)
    source = tenant.open_source(user_attributes=("displyName",))
    for _ in range(2):
        tenant.ledger.clear()
        with pytest.raises(Rejected, match=r"it names displyName: take that out of the mapping"):
            await tenant.pull(database, source=source)
        assert tenant.deltas().count("users first") == 1
    assert count(database) == (PEOPLE, 1, PEOPLE)


async def test_a_reading_that_ends_early_without_a_word_is_not_swept(database: Database) -> None:
    """Whatever lets the fetching end before its last page: nothing is removed, and the next run reads it again."""
    tenant = make_tenant()
    await tenant.pull(database)
    asked = 0

    def give_up(target: str) -> None:
        nonlocal asked
        asked += "users/delta" in target
        if asked == 2:
            raise asyncio.CancelledError

    tenant.before = give_up
    with pytest.raises(Interrupted, match="'read changes of users' was cancelled"):
        await tenant.pull(database, full=True)
    assert count(database) == (PEOPLE, 1, PEOPLE)
    tenant.before = None
    assert (await tenant.pull(database)).complete
    assert count(database) == (PEOPLE, 1, PEOPLE)


@pytest.mark.parametrize("how", ["soft", "hard"])
async def test_a_hard_deletion_takes_memberships_at_once_and_a_soft_one_keeps_them(
    database: Database, how: Literal["soft", "hard"]
) -> None:
    """Graph tells the end of memberships of the hard-deleted late or never; the soft-deleted come back with theirs."""
    tenant = make_tenant()
    tenant.knobs.purge_links_after = None  # never told
    await tenant.pull(database)
    tenant.directory.leave("p0", how)
    await tenant.pull(database)
    assert count(database) == (PEOPLE - 1, 1, PEOPLE if how == "soft" else PEOPLE - 1)
