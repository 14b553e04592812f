"""Every write and every answer that tells nothing of it: settled by a reading, or remembered as "may be there".

In each case the answer is unclear for a whole run, and the tenant takes the change back before the next one or later.
Delta runs alone must bring the portal in step each time: a full run, which reads everything, writes nothing then.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import structlog

from syncd.errors import RemoteError, Timeout, Unavailable
from syncd.plan.rules import LicenceRule
from syncd.sandbox.wire.faults import Fault
from syncd.sandbox.wire.http import Answer
from syncd.store.store import Store
from tests.contract.office import DAY, Office, make_office_rules
from tests.fakes.rules import make_policy, make_rules
from tests.fakes.source import FakeSource
from tests.fakes.world import World, open_world

PAGE = b"<!DOCTYPE html><html><body><h1>Service Unavailable</h1></body></html>"


@dataclass(frozen=True, kw_only=True)
class Write:
    """One kind of write: what the tenant does that makes it, and what takes that back."""

    route: tuple[str, str]
    act: Callable[[FakeSource], object]
    back: Callable[[FakeSource], object]
    prepare: Callable[[FakeSource], object] = lambda source: None
    due: bool = False
    """It is made when the grace is over."""


def put(name: str, **attributes: Any) -> Callable[[FakeSource], object]:
    """Set attributes of somebody."""
    return lambda source: source.put_user(name, **attributes)


def hire_eve(source: FakeSource) -> None:
    """Let eve begin, in no group."""
    source.put_user("eve", userPrincipalName="eve@x.com", displayName="Eve", mail="eve@x.com", accountEnabled=True)


def part(source: FakeSource) -> None:
    """Let ben and cleo report to nobody: a handover writes their names and addresses alone then."""
    for name in ("ben", "cleo"):
        source.put_user(name, manager="")


def swap(source: FakeSource, *, back: bool = True) -> None:
    """Let ben and cleo exchange their logins, or take that back."""
    for name, login in (("ben", "ben"), ("cleo", "cleo")) if back else (("ben", "cleo"), ("cleo", "ben")):
        source.put_user(name, userPrincipalName=f"{login}@x.com")


WRITES: dict[str, Write] = {
    "create user": Write(
        route=("POST", r"/admin/users$"), act=hire_eve, back=lambda source: source.remove_user("eve", hard=True)
    ),
    "update user": Write(
        route=("PATCH", r"/admin/user\?"), act=put("ben", jobTitle="Chief"), back=put("ben", jobTitle="Clerk")
    ),
    "handover": Write(
        route=("PATCH", r"/admin/user\?"),
        prepare=part,
        act=lambda source: swap(source, back=False),
        back=swap,
    ),
    "delete user": Write(
        route=("DELETE", r"/admin/user\?"),
        act=put("cleo", accountEnabled=False),
        back=put("cleo", accountEnabled=True),
        due=True,
    ),
    "create group": Write(
        route=("POST", r"/admin/groups$"),
        act=lambda source: source.put_group("j", displayName="Group j", mailNickname="j@grp"),
        back=lambda source: source.remove_group("j"),
    ),
    "update group": Write(
        route=("PATCH", r"/admin/group\?"),
        act=lambda source: source.put_group("i", mail="i@x.com"),
        back=lambda source: source.put_group("i", mail="other@x.com"),
        prepare=lambda source: source.put_group("i", mail="other@x.com"),
    ),
    "delete group": Write(
        route=("DELETE", r"/admin/group\?"),
        act=lambda source: source.remove_group("i"),
        back=lambda source: source.put_group("i", displayName="Group i", mailNickname="i@grp"),
        due=True,
    ),
    "add member": Write(
        route=("POST", "members/add"),
        act=lambda source: source.link("i", "ben"),
        back=lambda source: source.unlink("i", "ben"),
    ),
    "remove member": Write(
        route=("POST", "members/remove"),
        act=lambda source: source.unlink("i", "dora"),
        back=lambda source: source.link("i", "dora"),
    ),
    "add owner": Write(
        route=("POST", "owners/add"),
        act=lambda source: source.own("h", "ben"),
        back=lambda source: source.disown("h", "ben"),
    ),
    "remove owner": Write(
        route=("POST", "owners/remove"),
        act=lambda source: source.disown("g", "ann"),
        back=lambda source: source.own("g", "ann"),
    ),
    "grant": Write(
        route=("POST", "licenses/assign"),
        prepare=hire_eve,
        act=lambda source: source.link("h", "eve"),
        back=lambda source: source.unlink("h", "eve"),
    ),
    "revoke": Write(
        route=("POST", "licenses/assign"),
        act=lambda source: source.unlink("h", "dora"),
        back=lambda source: source.link("h", "dora"),
    ),
    "create substitution": Write(
        route=("POST", "/admin/substitutions$"),
        act=put("ben", accountEnabled=False),
        back=put("ben", accountEnabled=True),
    ),
    "delete substitution": Write(
        route=("DELETE", "/admin/substitutions/"),
        prepare=put("ben", accountEnabled=False),
        act=put("ben", accountEnabled=True),
        back=put("ben", accountEnabled=False),
    ),
}
ANSWERS: dict[str, Answer | type[RemoteError]] = {
    "a lost connection": Unavailable,
    "no answer in time": Timeout,
    "a web page": Answer(200, PAGE, "text/html"),
    "a text": Answer(200, b"OK", "text/plain"),
    "an object": Answer(200, b'{"status":"ok"}', "application/json"),
    "an error as a success": Answer(200, b'{"type":"InternalError","description":"broken","errorGuid":"1"}'),
    "half of a text": Answer(200, b'"ann@x.', "application/json"),
    "broken": Answer(500, b'{"type":"InternalError","description":"broken","errorGuid":"1"}'),
    "a bad gateway": Answer(502, PAGE, "text/html"),
    "a slow gateway": Answer(504, PAGE, "text/html"),
    "a redirect": Answer(302, b"", headers={"Location": "https://login.example/maintenance"}),
}


def spoil(
    office: Office, route: tuple[str, str], answer: Answer | type[RemoteError], *, effect: bool, deaf: bool
) -> None:
    """Answer every such write like this; ``deaf``: and no reading afterwards, as long as that lasts."""
    wire, struck = office.wire, [False]

    def hits(method: str, target: str) -> bool:
        hit = method == route[0] and re.search(route[1], target) is not None
        struck[0] = struck[0] or hit
        return hit or (deaf and struck[0] and method == "GET" and "/admin/" in target)

    def fail(method: str, target: str) -> None:
        if hits(method, target) and isinstance(answer, type):
            raise answer("nobody answers")

    def place(method: str, target: str, given: Answer) -> Answer:
        return answer if hits(method, target) and isinstance(answer, Answer) else given

    if isinstance(answer, Answer) and not effect:
        wire.faults.add(
            Fault(
                "status", method=route[0], path=route[1], status=answer.status, body=answer.body, count=-1,
                content_type=answer.content_type, headers=answer.headers,
            )
        )  # fmt: skip
    elif effect:
        wire.after, wire.spoil = fail, place
    else:
        wire.before = fail


def heal(office: Office) -> None:
    """Let the portal answer again."""
    office.wire.faults.clear()
    office.wire.before = office.wire.after = office.wire.spoil = None


async def settle(office: Office) -> None:
    """Bring the portal in step by two delta runs, and prove it by a full one."""
    for _ in range(2):
        await office.clock.sleep(300)
        run = await office.sync()
    assert run.status == "succeeded", run.error
    office.take_asked()
    if office.rules.policy.substitute == "manager":
        disabled = office.source.users["ben"].attributes.get("accountEnabled") is False
        assert len(office.wire.service.substitutions.entries) == int(disabled)
    await office.clock.sleep(2 * 3600)
    run = await office.sync("full")
    assert run.status == "succeeded", run.error
    assert office.take_asked() == []


async def strike(office: Office, write: Write, answer: Answer | type[RemoteError], *, effect: bool, deaf: bool) -> None:
    """Let the tenant make the change, and the portal answer as it does."""
    write.act(office.source)
    if write.due:
        assert (await office.sync()).status == "succeeded"
        await office.clock.sleep(4 * DAY)
    spoil(office, write.route, answer, effect=effect, deaf=deaf)
    run = await office.sync()
    assert run.status in ("partial", "failed", "succeeded"), run.error
    assert "unexpected" not in run.error
    heal(office)


async def found(office: Office, write: str) -> Write:
    """Bring both sides in step, ready for that write."""
    office.rules = make_office_rules(deleted_users="delete", substitute="manager" if "sub" in write else "none")
    case = WRITES[write]
    case.prepare(office.source)
    assert (await office.sync("full")).status == "succeeded"
    assert (await office.sync("full")).status == "succeeded"
    office.take_asked()
    return case


@pytest.mark.both_engines
@pytest.mark.parametrize("effect", [True, False], ids=["done", "not done"])
@pytest.mark.parametrize("write", WRITES)
async def test_no_unclear_answer_is_taken_for_done_or_for_not_done(office: Office, write: str, effect: bool) -> None:
    """Taken back at once or not: delta runs end with what the tenant wants, and a full run finds nothing to do.

    The answers follow each other in one company. Which of them the tenant takes back at once alternates, so that each
    write meets all four ways, done or not and taken back or not, and so does each answer.
    """
    case = await found(office, write)
    for number, (name, answer) in enumerate(ANSWERS.items(), start=list(WRITES).index(write) + effect):
        try:
            await strike(office, case, answer, effect=effect, deaf=False)
            if number % 2:
                await settle(office)
            case.back(office.source)
            await settle(office)
        except BaseException as error:
            error.add_note(f"when the portal answered with {name}")
            raise


@pytest.mark.parametrize("write", WRITES)
async def test_what_nobody_can_look_up_at_once_is_settled_all_the_same(office: Office, write: str) -> None:
    """Done without an answer, and no reading until the run is over: taken back by the tenant, and then not."""
    case = await found(office, write)
    await strike(office, case, Unavailable, effect=True, deaf=True)
    case.back(office.source)
    await settle(office)
    await strike(office, case, Unavailable, effect=True, deaf=True)
    await settle(office)


@pytest.mark.parametrize(
    "write", [name for name in WRITES if name not in ("create substitution", "delete substitution")]
)
async def test_an_empty_answer_without_effect_is_found_by_the_next_full_run(office: Office, write: str) -> None:
    """Nobody can tell it from a success; nothing is lost for longer than until everything is read."""
    office.rules = make_office_rules(deleted_users="delete")
    case = WRITES[write]
    case.prepare(office.source)
    assert (await office.sync("full")).status == "succeeded"
    await strike(office, case, Answer(200, b""), effect=False, deaf=False)
    await office.clock.sleep(2 * 3600)
    for _ in range(3):
        await office.sync("full")
        office.take_asked()
        await office.clock.sleep(300)
    await office.sync("full")
    assert office.take_asked() == []


async def test_who_may_be_in_a_group_is_taken_out_before_the_next_attempt_is_due(office: Office) -> None:
    """The daemon waits with what failed; it does not wait with taking somebody out who may be in."""
    assert (await office.sync("full")).status == "succeeded"
    office.source.link("i", "ben")
    spoil(office, ("POST", "members/add"), Unavailable, effect=True, deaf=True)
    await office.sync()
    heal(office)
    assert "ben@x.com" in office.members("i@grp")
    office.source.remove_user("ben", hard=True)
    run = await office.sync(retry_failed=False)
    assert run.status == "succeeded", run.error
    assert "ben@x.com" not in office.members("i@grp")


class Killed(BaseException):
    """Stands for a kill: nothing of the process goes on."""


@pytest.mark.parametrize("write", [name for name in WRITES if "substitution" not in name])
async def test_what_a_killed_run_had_sent_is_taken_back_all_the_same(office: Office, write: str) -> None:
    """The write took effect, nobody recorded it, and the tenant has changed its mind before the next run."""
    case = await found(office, write)
    case.act(office.source)
    if case.due:
        assert (await office.sync()).status == "succeeded"
        await office.clock.sleep(4 * DAY)

    def kill(method: str, target: str) -> None:
        if method == case.route[0] and re.search(case.route[1], target):
            raise Killed

    office.wire.after = kill
    with pytest.raises((Killed, BaseExceptionGroup)):
        await office.sync()
    heal(office)
    await Store(office.database).runs.interrupt_open()
    case.back(office.source)
    await settle(office)


# ---- in both databases ----------------------------------------------------------------------------------------------


@pytest.fixture
async def world(store_url: str) -> AsyncIterator[World]:
    """Ann in a group, ben in none, and eve who is to have a licence; both sides agree."""
    structlog.reset_defaults()
    made = open_world(store_url)
    for name in ("ann", "ben", "eve"):
        made.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
    for name in ("sales", "power"):
        made.source.put_group(name, displayName=name, mailNickname=f"{name}@grp")
    made.source.link("sales", "ann")
    made.rules = make_rules(licences=(LicenceRule("power", "PowerUser"),))
    assert (await made.sync("full")).status == "succeeded"
    assert (await made.sync("full")).status == "succeeded"
    yield made
    made.database.close()


@pytest.mark.both_engines
@pytest.mark.parametrize("killed", [False, True])
async def test_the_store_remembers_what_is_in_doubt(
    world: World, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """A member added, one removed, a value and a licence written, all without an answer; then the tenant undoes it."""
    error: type[BaseException] = Killed if killed else Unavailable

    def silence(name: str) -> None:
        act = getattr(world.portal, name)

        async def send(*args: Any, **kwargs: Any) -> Any:
            await act(*args, **kwargs)
            raise error("nobody answers")

        monkeypatch.setattr(world.portal, name, send)

    async def fail(*args: Any, **kwargs: Any) -> Any:
        raise Unavailable("nobody answers")

    source, portal = world.source, world.portal
    steps: tuple[tuple[str, Callable[[FakeSource], object], Callable[[FakeSource], object]], ...] = (
        ("add_members", lambda s: s.link("sales", "ben"), lambda s: s.unlink("sales", "ben")),
        ("remove_members", lambda s: s.unlink("sales", "ann"), lambda s: s.link("sales", "ann")),
        ("update_account", put("ben", jobTitle="X"), put("ben", jobTitle=None)),
        ("change_licences", lambda s: s.link("power", "eve"), lambda s: s.unlink("power", "eve")),
    )
    for name, act, back in steps:
        silence(name)
        for reading in ("fetch_account", "fetch_group", "fetch_holder", "fetch_licences"):
            monkeypatch.setattr(portal, reading, fail)
        act(source)
        if killed:
            with pytest.raises((Killed, BaseExceptionGroup)):
                await world.sync()
            await world.store.runs.interrupt_open()
        else:
            await world.sync()
        monkeypatch.undo()
        back(source)
        await world.sync()
        await world.sync()
        assert set(portal.members["sales@grp"]) == {"ann@x.com"}
        assert portal.accounts["ben@x.com"].job_title is None
        assert not portal.licences.get("eve@x.com")
    world.clock.ahead += timedelta(hours=2)
    assert world.changes(await world.sync("full")) == []


async def test_a_value_that_differs_in_case_alone_is_not_there_yet(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading after a lost answer shows the old name: it is written again, whatever the policy for drift says."""
    world.rules = make_rules(policy=make_policy(drift="report"))
    world.source.put_user("u1", userPrincipalName="u1@x.com", displayName="ann kowalska", mail="u1@x.com")
    await world.sync("full")

    async def lose(bps_id: str, fields: object) -> None:
        raise Timeout("no answer came", sent=True)

    monkeypatch.setattr(world.portal, "update_account", lose)
    world.source.put_user("u1", displayName="Ann Kowalska")
    run = await world.sync("delta")
    assert world.changes(run) == ["update user u1@x.com failed"]
    monkeypatch.undo()
    await world.sync("delta")
    assert world.portal.accounts["u1@x.com"].name == "Ann Kowalska"
