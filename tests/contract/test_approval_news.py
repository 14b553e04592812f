"""An approval looks at both sides: what has changed since it was shown is refused by name, and the rest is applied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.errors import Unavailable
from syncd.model.run import Approval, RunRecord, RunRequest
from syncd.model.target import MembersResult
from syncd.plan.rules import LicenceRule, Rules
from syncd.sync.planning.undo import Undo
from tests.fakes.history import reopen_run
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World

_FREE = make_limits(max_removal_percent=None, max_update_percent=None, max_creation_percent=None)
_NONE = replace(_FREE, max_removals=0)


async def found_company(world: World) -> None:
    """Six people in two groups, one of which gives a licence; nothing is removed unasked."""
    world.portal.totals = {"User": 9}
    world.rules = make_licensed(make_limits(max_creation_percent=None, max_removals=0))
    for name in ("all", "power"):
        world.source.put_group(name, displayName=name, mailNickname=f"{name}@grp")
    for number in range(6):
        hire(world, f"u{number}")
    assert (await world.sync("full")).status == "succeeded"


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines]


def make_licensed(limits: object, **policy: object) -> Rules:
    """Return rules that give the members of one group a licence."""
    return make_rules(limits=limits, policy=make_policy(**policy), licences=(LicenceRule("power", "User"),))


def hire(world: World, name: str, **attributes: str) -> None:
    """Let somebody begin, in both groups."""
    login = f"{name}@x.com"
    world.source.put_user(name, userPrincipalName=login, displayName=name, mail=login, **attributes)
    for group in ("all", "power"):
        world.source.link(group, name)


async def approve(world: World, run: RunRecord, *, only: tuple[str, ...] = ()) -> RunRecord:
    """Approve what a run held, beside a store that has read nothing since."""
    request = RunRequest(
        pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run.id, only=only)
    )
    world.portal.writes.clear()
    return await world.runs.execute(request, world.open_sides())


def refused(world: World, run: RunRecord) -> dict[str, str]:
    """Return what an approval refused, and why."""
    found: dict[str, str] = {}
    for chunk in world.store.plans.iterate_changes(run.id, statuses=["dropped"]):
        for planned, _, _ in chunk:
            if planned.error.cause == "overtaken":
                change = planned.change
                found[f"{change.action} {change.bps_id} {change.target}".rstrip()] = planned.error.text
    return found


async def test_nobody_who_came_back_in_the_tenant_is_removed(world: World) -> None:
    """A mistake that was put right there is no longer carried out here, although no run came between."""
    for number in range(4):
        world.source.put_user(f"u{number}", accountEnabled=False)
    held = await world.sync("delta")
    assert held.status == "held"
    for number in range(4):
        world.source.put_user(f"u{number}", accountEnabled=True)
    before = world.portal.picture()
    run = await approve(world, held)
    assert run.status == "failed"
    assert "no longer as they were shown" in run.error
    assert "nothing was applied" in run.error
    assert "unlink all@grp u0@x.com (refused: the tenant, or a rule, says otherwise by now)" in run.error
    assert (world.portal.picture(), world.portal.writes) == (before, [])
    assert "User" in world.portal.licences["u0@x.com"]
    assert (await world.sync("delta")).status == "succeeded"
    assert world.portal.picture() == before


async def test_the_rest_is_applied_and_what_changed_is_refused_by_name(world: World) -> None:
    """One of two is enabled again: the other one leaves, as it was approved."""
    for name in ("u0", "u1"):
        world.source.put_user(name, accountEnabled=False)
    held = await world.sync("delta")
    world.source.put_user("u0", accountEnabled=True)
    world.source.put_user("u5", accountEnabled=False)
    run = await approve(world, held)
    assert run.status == "partial", run.error
    assert set(refused(world, run)) == {
        "unlink all@grp u0@x.com",
        "unlink power@grp u0@x.com",
        "revoke u0@x.com User",
    }
    assert world.portal.picture()["all@grp"] == {f"u{number}@x.com" for number in (0, 2, 3, 4, 5)}
    assert world.portal.licences["u1@x.com"] == {}
    assert "User" in world.portal.licences["u0@x.com"]
    held = await world.sync("delta")
    assert held.status == "held"
    assert "u5@x.com" in world.portal.picture()["all@grp"], "who was never shown waits for a word of its own"


@pytest.mark.parametrize("dead", [False, True])
async def test_a_restored_store_does_not_remove_who_is_active_now(world: World, dead: bool) -> None:
    """What it holds is old news, and so is its checkpoint: expired, everything is read before anything is done."""
    for number in range(3):
        world.source.put_user(f"u{number}", accountEnabled=False)
    held = await world.sync("delta")
    for number in range(2):
        world.source.put_user(f"u{number}", accountEnabled=True)
    hire(world, "newcomer")
    world.source.dead = dead
    run = await approve(world, held)
    assert run.status == "partial", run.error
    assert {"u0@x.com", "u1@x.com"} <= world.portal.picture()["all@grp"]
    assert "u2@x.com" not in world.portal.picture()["all@grp"]
    assert "newcomer@x.com" not in world.portal.accounts, "an approval does nothing that was not shown"


async def test_without_the_tenant_nothing_is_approved(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence says so, and the hold stays as it is."""
    world.source.put_user("u0", accountEnabled=False)
    held = await world.sync("delta")

    async def refuse(*_: object) -> None:
        raise Unavailable("the tenant does not answer", sent=False)

    with monkeypatch.context() as patched:
        patched.setattr(world.source, "fetch_page", refuse)
        run = await approve(world, held)
    assert run.status == "failed"
    assert run.error == (
        "nothing was approved, because the tenant could not be asked what is new: the tenant does not answer"
    )
    assert world.portal.writes == []
    assert world.store.decisions.load_holding_runs(now=world.clock.now()) == [held.id]
    assert (await approve(world, held)).status == "succeeded"
    assert world.portal.picture()["all@grp"].isdisjoint({"u0@x.com"})


async def test_a_read_without_proof_in_between_removes_nobody_who_only_seems_to_be_missing(world: World) -> None:
    """What was concluded from an absence is refused as long as absences prove nothing."""
    world.source.unlink("all", "u0")
    world.source.put_user("u1", accountEnabled=False)
    held = await world.sync("full")
    assert held.status == "held"
    world.source.dead, world.source.count_lie = True, 4
    await approve(world, held)
    assert "u1@x.com" not in world.portal.picture()["all@grp"], "what the tenant states needs no proof"


def _delete(world: World) -> None:
    world.rules = make_licensed(_NONE, disabled_users="delete", grace=timedelta())
    world.source.put_user("u0", accountEnabled=False)


def _reenable(world: World) -> None:
    world.source.put_user("u0", accountEnabled=True)


def _stand_in(world: World) -> None:
    world.rules = make_licensed(_NONE, substitute="manager")
    world.source.put_user("u0", manager="u1", accountEnabled=False)


def _retitle(world: World) -> None:
    world.rules = make_licensed(replace(_FREE, max_update_percent=0, min_population=1))
    world.source.put_user("u0", jobTitle="Clerk")


def _retitle_again(world: World) -> None:
    world.source.put_user("u0", jobTitle="Director")


def _find(world: World) -> None:
    world.rules = make_licensed(_FREE)
    world.portal.add_account("ann@x.com", name="By hand", email="ann@x.com")
    hire(world, "ann")


def _leave(world: World) -> None:
    world.source.put_user("ann", accountEnabled=False)


def _arrive(world: World) -> None:
    world.rules = make_licensed(replace(_FREE, max_creation_percent=0, min_population=1))
    hire(world, "ann")


def _stop_rule(world: World) -> None:
    world.source.unlink("power", "u0")


def _start_rule(world: World) -> None:
    world.source.link("power", "u0")


CASES: Sequence[tuple[str, Callable[[World], None], Callable[[World], None]]] = (
    ("delete u0@x.com", _delete, _reenable),
    ("update u0@x.com", _retitle, _retitle_again),
    ("create u0@x.com u1@x.com", _stand_in, _reenable),
    ("adopt ann@x.com", _find, _leave),
    ("create ann@x.com", _arrive, _leave),
    ("revoke u0@x.com User", _stop_rule, _start_rule),
    ("unlink power@grp u0@x.com", _stop_rule, _start_rule),
)


@pytest.mark.parametrize(("what", "cause", "turn"), CASES, ids=[case[0].replace(" ", "-") for case in CASES])
@pytest.mark.parametrize("kind", ["delta", "full"])
async def test_every_kind_of_change_is_refused_when_the_tenant_has_turned(
    world: World, what: str, cause: Callable[[World], None], turn: Callable[[World], None], kind: str
) -> None:
    """Deletions, updates, adoptions, creations, licences and memberships alike: nothing old is written."""
    cause(world)
    if kind == "delta" and what.startswith("adopt"):
        await world.sync("full", write=False)  # what the portal has is met by reading it
    held = await world.sync(kind)  # type: ignore[arg-type]  # the kinds of a pull
    assert held.status == "held", held.error
    turn(world)
    run = await approve(world, held)
    assert run.status == "failed", run.error
    assert what in refused(world, run)
    assert world.portal.writes == []


async def test_what_is_held_with_other_values_by_now_stays_held(world: World) -> None:
    """The record to be deleted was renamed by hand since: a deletion that nobody was shown must not slip through."""
    world.rules = make_licensed(replace(_FREE, max_removals=1), disabled_users="delete", grace=timedelta())
    for name in ("u0", "u1"):
        world.source.put_user(name, accountEnabled=False)
    held = await world.sync("delta")
    world.portal.accounts["u0@x.com"] = replace(world.portal.accounts["u0@x.com"], phone="1")
    run = await approve(world, held)
    assert run.status == "partial", run.error
    assert refused(world, run)["delete u0@x.com"] == "refused: it would be done with other values by now"
    assert "u0@x.com" in world.portal.accounts
    assert "u1@x.com" not in world.portal.accounts
    assert (await world.sync("delta")).status == "held"
    assert "u0@x.com" in world.portal.accounts


async def test_an_undo_that_was_held_spares_whom_the_tenant_wants_by_now(world: World) -> None:
    """What nobody wanted when it was shown, and is wanted at the approval, is not what was approved."""
    world.rules = make_licensed(_FREE)
    for name in ("ann", "ben"):
        hire(world, name)
    joined = await world.sync("delta")
    for name in ("ann", "ben"):
        world.source.put_user(name, accountEnabled=False)
    world.rules = replace(world.rules, policy=make_policy(disabled_users="keep"))
    assert (await world.sync("delta")).status == "succeeded"
    world.rules = replace(world.rules, limits=_NONE)
    held = await world.carry_out(Undo(run_id=joined.id))
    assert held.status == "held", held.error
    world.source.put_user("ann", accountEnabled=True)
    run = await approve(world, held)
    assert run.status == "partial", run.error
    assert refused(world, run)["unlink all@grp ann@x.com"] == "refused: the tenant wants it there by now"
    assert "ann@x.com" in world.portal.picture()["all@grp"]
    assert "ben@x.com" not in world.portal.picture()["all@grp"]
    assert "User" in world.portal.licences["ann@x.com"]


async def test_an_undo_against_the_tenant_says_so_and_can_be_approved(world: World) -> None:
    """Whoever undoes a run that did what the tenant wants is told, and means it."""
    world.rules = make_licensed(_FREE)
    hire(world, "ann")
    joined = await world.sync("delta")
    world.rules = replace(world.rules, limits=_NONE)
    held = await world.carry_out(Undo(run_id=joined.id))
    reasons = {
        planned.change.reason.cause
        for chunk in world.store.plans.iterate_changes(held.id, statuses=["held"])
        for planned, _, _ in chunk
    }
    assert reasons == {"undone_still_wanted"}
    run = await approve(world, held)
    assert run.status == "succeeded", run.error
    assert "ann@x.com" not in world.portal.picture()["all@grp"]


# ---- an approval that is killed --------------------------------------------------------------------------------------


async def kill_at(world: World, group: str, attempt: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an approval end without a word when it has taken somebody out of this group, before it has noted it."""
    remove = world.portal.remove_members

    dead = False

    async def die(group_id: str, member_ids: Sequence[str]) -> MembersResult:
        nonlocal dead
        found = None if dead else await remove(group_id, member_ids)
        dead = dead or group_id == group
        if found is None or dead:
            raise RuntimeError("killed")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(world.portal, "remove_members", die)
        with pytest.raises((RuntimeError, BaseExceptionGroup)):
            await attempt()  # type: ignore[misc]  # an approval
    (killed,) = world.store.runs.load_runs(1)
    reopen_run(world.database, killed.id)


def still_held(world: World) -> set[str]:
    """Return what `syncd held` would list."""
    return {
        f"{planned.change.action} {planned.change.bps_id} {planned.change.target}"
        for run in world.store.decisions.load_holding_runs(now=world.clock.now())
        for chunk in world.store.plans.iterate_changes(run, statuses=["held"])
        for planned, _, _ in chunk
    }


@pytest.mark.parametrize("then", ["", "delta"])
async def test_what_a_killed_approval_did_is_not_held_any_more(
    world: World, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    """The rest is approved the first time, also what the portal had done and nobody had noted."""
    world.source.put_group("zoo", displayName="zoo", mailNickname="zoo@grp")
    for name in ("u0", "u1"):
        world.source.link("zoo", name)
    world.rules = make_licensed(_NONE)
    await world.sync("delta")
    for name in ("u0", "u1"):
        for group in ("all", "power", "zoo"):
            world.source.unlink(group, name)
    held = await world.sync("delta")
    assert held.counts["held"] == 8
    await kill_at(world, "power@grp", lambda: approve(world, held), monkeypatch)
    left = still_held(world)
    assert {each for each in left if "all@grp" in each} == set(), "what was done and noted"
    assert {"unlink zoo@grp u0@x.com", "unlink zoo@grp u1@x.com"} <= left
    await world.store.runs.interrupt_open()
    assert {"power@grp", "zoo@grp"} <= set(await world.store.outcomes.load_doubtful_groups(most=9))
    assert await world.store.outcomes.load_doubtful_groups(most=1) == [], "of many only a full run reads"
    if then:
        held = await world.sync("delta")
        assert held.status == "held"
        left = {each for each in still_held(world) if each.startswith("unlink")}
        assert left == {"unlink zoo@grp u0@x.com", "unlink zoo@grp u1@x.com"}, "what was done and not noted"
    run = await approve(world, held)
    assert (run.status, run.error) == ("succeeded", "")
    assert all({"u0@x.com", "u1@x.com"}.isdisjoint(people) for people in world.portal.picture().values())
    assert still_held(world) == set()
    assert (await world.sync("full")).status == "succeeded"


async def test_a_killed_approval_of_an_undo_leaves_the_rest_held(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody plans an undo anew: what it held and was not done must be there to be approved."""
    world.rules = make_licensed(_FREE)
    hire(world, "ann")
    joined = await world.sync("delta")
    world.rules = make_licensed(_NONE)
    held = await world.carry_out(Undo(run_id=joined.id))
    assert held.counts["held"] == 3
    await kill_at(world, "all@grp", lambda: approve(world, held), monkeypatch)
    await world.store.runs.interrupt_open()
    assert "unlink power@grp ann@x.com" in still_held(world)
    run = await approve(world, held)
    assert (run.status, run.error) == ("succeeded", "")
    assert all("ann@x.com" not in people for people in world.portal.picture().values())
    assert still_held(world) == set()
