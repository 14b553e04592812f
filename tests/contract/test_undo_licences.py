"""`undo RUN`: licences. What a rule gave is taken, what was taken is given again, and what is manual is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from syncd.errors import Unavailable
from syncd.model.licence import Step, StepResult
from syncd.model.run import Approval, RunRecord, RunRequest
from syncd.plan.rules import LicenceRule
from syncd.sync.planning.undo import Undo
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World

POWER = LicenceRule("Power", "PowerUser")
USER = LicenceRule("All", "User")
DELETES = make_policy(deleted_users="delete", grace=make_policy().grace * 0)


async def found_company(world: World) -> None:
    """Three people in All, ann in Power as well; the first full run gives each a licence."""
    world.source.put_group("g1", displayName="All", mailNickname="all@grp")
    world.source.put_group("g2", displayName="Power", mailNickname="power@grp")
    for name in ("ann", "ben", "cleo"):
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
        world.source.link("g1", name)
    world.source.link("g2", "ann")
    world.rules = make_rules(licences=(POWER, USER))
    world.portal.totals = {"PowerUser": 5, "User": 5}
    assert (await world.sync("full")).status == "succeeded"
    assert held(world) == {"ann": "PowerUser", "ben": "User", "cleo": "User"}


pytestmark = pytest.mark.company(founded_by=found_company)


def held(world: World) -> dict[str, str]:
    """Return who holds what."""
    return {
        bps_id.removesuffix("@x.com"): " ".join(sorted(kinds))
        for bps_id, kinds in sorted(world.portal.licences.items())
        if kinds
    }


def left(world: World, run: RunRecord) -> dict[str, str]:
    """Return which licences a plan leaves alone, and why."""
    found = {}
    for chunk in world.store.plans.iterate_changes(run.id, statuses=["dropped"]):
        for planned, _, _ in chunk:
            change = planned.change
            if change.object == "licence":
                found[f"{change.action} {change.bps_id.removesuffix('@x.com')} {change.target}"] = planned.error.text
    return found


async def undo(world: World, run: int, *, delete_created: bool = False) -> RunRecord:
    """Undo a run, which succeeds."""
    done = await world.carry_out(Undo(run_id=run, delete_created=delete_created))
    assert done.status == "succeeded", done.error
    return done


async def test_a_grant_is_revoked_a_revoke_given_again_and_undoing_that_does_it_again(world: World) -> None:
    """Who changed the type has the old one again, in one request, and the next full run wants its own again."""
    world.source.link("g2", "ben")
    world.source.unlink("g1", "cleo")
    run = await world.sync()
    assert held(world) == {"ann": "PowerUser", "ben": "PowerUser"}
    world.portal.writes.clear()
    undone = await undo(world, run.id)
    assert held(world) == {"ann": "PowerUser", "ben": "User", "cleo": "User"}
    assert left(world, undone) == {}
    assert [write for write in world.portal.writes if write.startswith("licences")] == ["licences ben@x.com,cleo@x.com"]
    assert world.changes(await world.sync()) == []  # the tenant says nothing new
    await undo(world, undone.id)
    assert held(world) == {"ann": "PowerUser", "ben": "PowerUser"}
    assert world.changes(await world.sync("full")) == []


async def test_after_an_undo_the_next_full_run_does_it_again(world: World) -> None:
    """The rules still want it."""
    world.source.link("g2", "ben")
    run = await world.sync()
    await undo(world, run.id)
    await world.sync("full")
    assert held(world)["ben"] == "PowerUser"


async def test_what_is_manual_by_now_is_left_alone(world: World) -> None:
    """A licence that somebody gave by hand since is not taken, nor given twice."""
    world.source.unlink("g1", "cleo")
    world.source.put_user("dora", userPrincipalName="dora@x.com", displayName="dora", mail="dora@x.com")
    world.source.link("g1", "dora")
    run = await world.sync()
    world.portal.licences["cleo@x.com"] = {"User": {}}
    world.portal.licences["dora@x.com"] = {}
    await world.sync("full", write=False)  # meets that dora lost hers
    world.portal.licences["dora@x.com"] = {"User": {}}
    undone = await undo(world, run.id)
    assert held(world) == {"ann": "PowerUser", "ben": "User", "cleo": "User", "dora": "User"}
    assert left(world, undone) == {
        "revoke cleo User": "held again already",
        "grant dora User": "it was given by hand, and stays",
    }


async def test_what_is_gone_already_is_named(world: World) -> None:
    """A licence taken by hand, and an account that a later run deleted."""
    world.source.link("g2", "ben")
    world.source.link("g2", "cleo")
    run = await world.sync()
    world.portal.licences["ben@x.com"] = {}
    world.rules = replace(world.rules, policy=DELETES)
    world.source.remove_user("cleo")
    await world.sync("full")
    assert "cleo@x.com" not in world.portal.accounts
    world.portal.licences["ben@x.com"] = {}
    undone = await undo(world, run.id)
    assert left(world, undone) == {
        "grant ben PowerUser": "the licence is not there any more",
        "revoke cleo User": "the account is not there any more",
        "grant cleo PowerUser": "the account is not there any more",
    }
    assert held(world) == {"ann": "PowerUser", "ben": "User"}


async def test_without_a_seat_the_old_one_is_kept_and_the_shortage_named(world: World) -> None:
    """Seats are checked before the first write, as for any plan."""
    world.source.link("g2", "ben")
    run = await world.sync()
    world.portal.totals["User"] = 1
    undone = await undo(world, run.id)
    assert "User: 1 seat needed, no seat is free" in undone.error
    assert held(world)["ben"] == "PowerUser"


async def test_a_deleted_account_made_anew_has_its_licences_again_and_the_manual_one_stays_manual(world: World) -> None:
    """The membership and the licences come back with the account."""
    world.portal.licences["cleo@x.com"]["ExternalUser"] = {}
    await world.sync("full")
    world.rules = replace(world.rules, policy=DELETES)
    world.source.remove_user("cleo")
    first = await world.sync()
    run = first if "cleo@x.com" not in world.portal.accounts else await world.sync("full")
    assert held(world) == {"ann": "PowerUser", "ben": "User"}
    undone = await undo(world, run.id)
    assert held(world)["cleo"] == "ExternalUser User"
    assert "cleo@x.com" in world.portal.picture()["all@grp"]
    assert left(world, undone) == {}
    world.rules = replace(world.rules, policy=make_policy())
    await world.sync("full")
    assert held(world)["cleo"] == "ExternalUser"  # a leaver gives back what a rule gave, and keeps what is manual


@pytest.mark.both_engines
async def test_created_accounts_are_deleted_without_their_seats(world: World) -> None:
    """The portal would keep them; an account with a manual licence is in use, and stays."""
    world.portal.licences["ben@x.com"]["ExternalUser"] = {}
    undone = await undo(world, 1, delete_created=True)
    assert sorted(world.portal.accounts) == ["ben@x.com"]
    assert held(world) == {"ben": "ExternalUser"}
    reasons = {planned.error.text for chunk in world.store.plans.iterate_changes(undone.id, statuses=["dropped"])
               for planned, _, _ in chunk}  # fmt: skip
    assert reasons == {"the account stays: somebody gave it a licence by hand since (ExternalUser)"}


async def test_a_held_deletion_keeps_the_licences_and_an_approval_takes_both(world: World) -> None:
    """What the guard holds is held as a whole, and goes through as it was shown."""
    world.rules = replace(world.rules, limits=make_limits(max_removals=2, max_removal_percent=None))
    run = await world.carry_out(Undo(run_id=1, delete_created=True))
    assert run.status == "held"
    assert held(world) == {"ann": "PowerUser", "ben": "User", "cleo": "User"}
    request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run.id))
    approved = await world.runs.execute(request, world.open_sides())
    assert approved.status == "succeeded", approved.error
    assert (held(world), world.portal.accounts) == ({}, {})


@pytest.mark.both_engines
async def test_settings_and_processes_come_back(world: World) -> None:
    """Those before, as long as they are as we left them."""
    desk = LicenceRule("Power", "DesignerDeskUser", {"project_creation": "true", "project_publishing": "false"})
    solo = LicenceRule("All", "SingleSolutionUser", {"processes": "1/7/ 1/8/"})
    world.rules = replace(world.rules, licences=(desk, solo))
    await world.sync("full")
    before = {person: dict(kinds) for person, kinds in world.portal.licences.items()}
    changed = replace(desk, settings={"project_creation": "true", "project_publishing": "true"})
    world.rules = replace(world.rules, licences=(changed, replace(solo, settings={"processes": "1/8/ 1/9/"})))
    run = await world.sync("full")
    assert world.portal.licences != before
    world.portal.licences["cleo@x.com"]["SingleSolutionUser"] = {"processes": "1/5/"}
    undone = await undo(world, run.id)
    assert {**world.portal.licences, "cleo@x.com": {}} == {**before, "cleo@x.com": {}}
    assert world.portal.licences["cleo@x.com"]["SingleSolutionUser"] == {"processes": "1/5/ 1/7/"}
    assert left(world, undone) == {
        "grant cleo SingleSolutionUser": "changed again since, or not known as before, and left: processes"
    }


@pytest.mark.both_engines
async def test_a_licence_that_moved_with_a_rename_stays_with_the_person(world: World) -> None:
    """It was given by hand; what the rule gave goes back to the account before."""
    world.portal.licences["ben@x.com"]["ExternalUser"] = {}
    await world.sync("full")
    world.source.put_user("ben", userPrincipalName="benny@x.com")
    run = await world.sync()
    assert held(world) == {"ann": "PowerUser", "benny": "ExternalUser User", "cleo": "User"}
    undone = await undo(world, run.id)
    assert held(world) == {"ann": "PowerUser", "ben": "User", "benny": "ExternalUser", "cleo": "User"}
    assert left(world, undone) == {
        "revoke ben ExternalUser": "it was given by hand, and stays with the person, at the new account",
        "grant benny ExternalUser": "it was given by hand, and stays",
    }
    await world.sync("full")
    assert held(world)["benny"] == "ExternalUser User"
    assert "ben" not in held(world)


async def test_only_what_was_done_is_undone(world: World) -> None:
    """A grant that the portal refused is none: what it lost on the way is given back."""
    world.source.link("g2", "ben")
    world.source.link("g2", "cleo")
    world.portal.unlicensable.add("cleo@x.com")
    run = await world.sync()
    assert run.status == "partial"
    world.portal.unlicensable.clear()
    undone = await undo(world, run.id)
    assert held(world) == {"ann": "PowerUser", "ben": "User", "cleo": "User"}
    assert left(world, undone) == {}


async def test_a_grant_whose_answer_was_lost_is_undone_unless_a_later_run_granted_it_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the licences are read it turns out that it arrived; where it did not, the next run gave it."""
    send = type(world.portal).change_licences
    arrives = True

    async def lose(portal: Any, steps: Sequence[Step]) -> tuple[StepResult, ...]:
        if arrives:
            await send(portal, steps)
        raise Unavailable("the answer was lost", sent=True)

    runs = []
    for name, arrives in (("dora", True), ("emil", False)):  # noqa: B007 - `lose` reads it
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
        world.source.link("g1", name)
        with monkeypatch.context() as patch:
            patch.setattr(type(world.portal), "change_licences", lose)
            runs.append(await world.sync())
    await world.sync("full")
    assert held(world)["emil"] == held(world)["dora"] == "User"
    undone = await undo(world, runs[0].id)
    assert left(world, undone) == {}
    assert "dora" not in held(world)
    undone = await undo(world, runs[1].id)
    assert left(world, undone)["grant emil User"] == (
        "it is not known whether this run did it: a later run did it, too"
    )
    assert held(world)["emil"] == "User"


async def test_without_rules_any_more_a_run_that_granted_is_undone_all_the_same(world: World) -> None:
    """The licences are read for it; where the scope is missing they are left, and the rest is undone."""
    world.source.link("g2", "ben")
    run = await world.sync()
    world.rules = make_rules()
    world.portal.licences_forbidden = "all"
    undone = await undo(world, run.id)
    assert world.portal.picture()["power@grp"] == {"ann@x.com"}
    assert set(left(world, undone).values()) == {
        "the portal does not let us read licences: grant Admin.Licenses.ReadWrite to the API application"
    }
    world.portal.licences_forbidden = "write"
    undone = await undo(world, run.id)
    assert undone.counts["deferred"] == 2
    world.portal.licences_forbidden = ""
    await undo(world, run.id)
    assert held(world)["ben"] == "User"


async def test_a_dry_run_takes_nothing(world: World) -> None:
    """It reads and tells."""
    world.portal.writes.clear()
    planned = await world.carry_out(Undo(run_id=1), write=False)
    assert "revoke licence ann@x.com PowerUser dropped" in world.changes(planned) or planned.counts["planned"] > 0
    assert world.portal.writes == []
