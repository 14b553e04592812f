"""An account passes to another person only with proof that both are the same, or when somebody says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import structlog

from syncd.errors import Unavailable
from syncd.model.run import Approval, PullKind, RunRecord, RunRequest
from syncd.plan.planfile import open_plan
from syncd.plan.rules import LicenceRule
from syncd.store.reports.explain import Explanations
from syncd.store.reports.handovers import HandoverCards
from syncd.store.reports.status import Report
from syncd.sync.planning.proposal import FromFile
from syncd.sync.planning.undo import Undo
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World, open_world

pytestmark = pytest.mark.both_engines

ANNA = "anna@x.com"
WAITS = "handover user anna@x.com held"


@pytest.fixture
async def world(store_url: str) -> AsyncIterator[World]:
    """Anna manages two people, is in two groups, has a licence by a rule and one by hand; the portal is in step."""
    structlog.reset_defaults()
    made = open_world(store_url)
    made.rules = make_rules(licences=(LicenceRule("Sales", "PowerUser"),))
    source = made.source
    source.put_user("boss", userPrincipalName="boss@x.com", displayName="Boss", mail="boss@x.com")
    anna: dict[str, Any] = {"displayName": "Anna", "mail": ANNA, "jobTitle": "Lead", "employeeId": "7"}
    source.put_user("anna", userPrincipalName=ANNA, manager="boss", **anna)
    for name in ("bob", "cid"):
        source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com", manager="anna")
    for group in ("Sales", "Club"):
        source.put_group(group.lower(), displayName=group, mailNickname=f"{group.lower()}@grp")
        source.link(group.lower(), "anna")
    source.link("club", "bob")
    assert (await made.sync("full")).status == "succeeded"
    made.portal.licences[ANNA]["Designer"] = {}
    assert (await made.sync("full")).status == "succeeded"
    yield made
    made.database.close()


def leave(world: World, how: str) -> None:
    """Let Anna go."""
    if how in ("soft", "hard"):
        world.source.remove_user("anna", hard=how == "hard")
    elif how == "disabled":
        world.source.put_user("anna", accountEnabled=False)
    else:
        world.source.put_user("anna", userType="Guest")


def come(world: World, **attributes: Any) -> None:
    """Let somebody begin who gets Anna's login."""
    plain = {"userPrincipalName": "ANNA@x.com", "displayName": "Anna New", "mail": "anna.new@x.com"}
    world.source.put_user("new", **{**plain, **attributes})
    world.source.link("club", "new")


async def approve(world: World, run: RunRecord, *actions: str) -> RunRecord:
    """Approve what a run held."""
    approval = Approval(run_id=run.id, actions=actions)
    request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=approval)
    return await world.runs.execute(request, world.open_sides())


def find_state(world: World, source_id: str) -> tuple[str, str]:
    """Return state and reason of one person."""
    lines = Report(world.database, world.rules.policy, now=world.clock.now()).iterate("user", needle=source_id)
    return next((line.state, line.reason) for line in lines if line.source_id == source_id)


def find_owner(world: World) -> str:
    """Return by the name in the portal whose account it is."""
    return world.portal.accounts[ANNA].name or ""


@pytest.mark.parametrize("policy", ["revoke", "keep", "delete"])
@pytest.mark.parametrize("how", ["soft", "hard", "disabled", "out_of_scope"])
async def test_without_proof_the_account_waits_and_passes_with_an_approval(world: World, how: str, policy: str) -> None:
    """Whatever became of the former owner: nothing of hers is the newcomer's unless the tenant says so."""
    world.rules = make_rules(
        licences=world.rules.licences,
        policy=make_policy(deleted_users=policy, disabled_users=policy, out_of_scope=policy),
    )
    await world.sync("full")
    leave(world, how)
    come(world)
    held = await world.sync("delta")
    assert held.status == "held", held.error
    assert "1 handover, guard.max_handovers allows 0" in held.error
    assert WAITS in world.changes(held)
    assert find_owner(world) == "Anna"
    assert world.portal.accounts["bob@x.com"].manager == ANNA
    kept = policy == "keep"
    assert (ANNA in world.portal.picture()["club@grp"]) == kept
    assert find_state(world, "new")[0] == "held"
    assert "waits for approval" in find_state(world, "new")[1]
    assert find_state(world, "anna")[0] == "leaving"
    again = await world.sync("full")
    assert (again.status, WAITS in world.changes(again)) == ("held", True)
    assert find_owner(world) == "Anna"
    run = await approve(world, again, "handover")
    assert run.status == "succeeded", run.error
    assert find_owner(world) == "Anna New"
    assert world.portal.accounts[ANNA].job_title is None
    assert world.portal.accounts[ANNA].manager is None
    assert {world.portal.accounts[f"{name}@x.com"].manager for name in ("bob", "cid")} == {None}
    assert world.portal.picture() == {"sales@grp": set(), "club@grp": {ANNA, "bob@x.com"}}
    assert world.portal.licences.get(ANNA, {}) == {}
    assert find_state(world, "new") == ("active", "")
    last = await world.sync("full")
    assert (last.status, world.changes(last)) == ("succeeded", [])


async def test_what_the_former_owner_owned_and_stood_in_for_goes_before_the_account_passes(world: World) -> None:
    """Memberships, ownerships, licences and substitutions, each by a request of its own."""
    mapping = replace(world.rules.mapping, owners=True)
    policy = make_policy(deleted_users="keep", substitute="manager")
    world.rules = make_rules(licences=world.rules.licences, mapping=mapping, policy=policy)
    world.source.tracks_owners = True
    for group in ("sales", "club"):
        world.source.own(group, "anna")
    world.source.own("club", "bob")
    await world.sync("full")
    leave(world, "soft")
    come(world)
    held = await world.sync("delta")
    assert world.portal.ownership() == {"sales@grp": {ANNA}, "club@grp": {ANNA, "bob@x.com"}}
    world.portal.writes.clear()
    run = await approve(world, held, "handover")
    assert run.status == "succeeded", run.error
    assert world.portal.ownership() == {"club@grp": {"bob@x.com"}}
    assert world.portal.picture() == {"sales@grp": set(), "club@grp": {ANNA, "bob@x.com"}}
    assert world.portal.licences.get(ANNA, {}) == {}
    passed = next(place for place, write in enumerate(world.portal.writes) if write == f"update {ANNA}")
    taken = [place for place, write in enumerate(world.portal.writes) if write.startswith(("unlink", "disown", "lic"))]
    assert len(taken) == 4, world.portal.writes
    assert max(taken) < passed, world.portal.writes


async def test_somebody_who_begins_under_the_newcomer_never_reports_to_the_former_owner(world: World) -> None:
    """The account is named as manager when it has passed, and not a moment before."""
    leave(world, "soft")
    come(world)
    world.source.put_user("dan", userPrincipalName="dan@x.com", displayName="Dan", mail="dan@x.com", manager="new")
    world.rules = make_rules(limits=make_limits(max_removal_percent=None, max_handovers=None))
    world.portal.writes.clear()
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert world.portal.accounts["dan@x.com"].manager == ANNA
    writes = world.portal.writes
    assert writes.index("create dan@x.com") < writes.index(f"update {ANNA}") < writes.index("update dan@x.com")


@pytest.mark.parametrize("kind", ["delta", "full"])
async def test_a_rejected_handover_leaves_the_account_and_skips_the_newcomer(world: World, kind: PullKind) -> None:
    """Until somebody takes that back."""
    leave(world, "soft")
    come(world)
    held = await world.sync("delta")
    assert world.store.decisions.reject(Approval(run_id=held.id)) == 1
    for _ in range(2):
        run = await world.sync(kind)
        assert run.status == "succeeded", run.error
        assert find_owner(world) == "Anna"
        state, reason = find_state(world, "new")
        assert (state, "rejected" in reason) == ("skipped", True)
    world.source.put_user("new", mobilePhone="123")
    assert (await world.sync("delta")).status == "succeeded", "another number is no other person"
    assert world.store.decisions.withdraw_rejections(Approval(run_id=held.id)) == 1
    assert (await world.sync("delta")).status == "held"


@pytest.mark.parametrize("how", ["soft", "hard"])
@pytest.mark.parametrize("attribute", ["employeeId", "onPremisesImmutableId", "onPremisesSecurityIdentifier"])
async def test_with_proof_the_account_passes_at_once(world: World, attribute: str, how: str) -> None:
    """The same human being under a new object: places and licences are those of the new object, nobody is inherited."""
    world.source.put_user("anna", **{attribute: "S-1"})
    await world.sync("delta")
    leave(world, how)
    come(world, **{attribute: "S-1"})
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert "handover user anna@x.com done" in world.changes(run)
    assert find_owner(world) == "Anna New"
    assert world.portal.accounts["bob@x.com"].manager is None
    assert world.portal.picture() == {"sales@grp": set(), "club@grp": {ANNA, "bob@x.com"}}
    assert world.portal.licences[ANNA] == {"Designer": {}}, "given by hand to the same human being"
    assert world.changes(await world.sync("full")) == []


@pytest.mark.parametrize("value", ["", None, "8"])
async def test_nothing_is_proven_by_what_is_empty_or_another(world: World, value: str | None) -> None:
    """Two people without an employee number are not one."""
    if value != "8":
        world.source.put_user("anna", employeeId=value)
        await world.sync("delta")
    leave(world, "soft")
    come(world, employeeId=value)
    assert (await world.sync("delta")).status == "held"


async def test_a_wider_limit_lets_pass_what_nobody_held(world: World) -> None:
    """guard.max_handovers counts; what waits goes on waiting."""
    world.rules = make_rules(limits=make_limits(max_removal_percent=None, max_handovers=1))
    leave(world, "soft")
    come(world)
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert find_owner(world) == "Anna New"


async def test_what_is_held_stays_held_under_a_wider_limit_and_in_a_run_over_one_object(world: World) -> None:
    """A person decides, nobody else."""
    leave(world, "soft")
    come(world)
    held = await world.sync("delta")
    world.rules = make_rules(licences=world.rules.licences, limits=make_limits(max_handovers=None))
    for run in (await world.sync("full"), await world.sync_one("user", "new")):
        assert run.status == "held"
        assert f"held since run {held.id} (" in run.error
    assert find_owner(world) == "Anna"


async def test_an_approval_of_something_else_hands_nothing_over(world: World) -> None:
    """Only what was released is done."""
    world.rules = make_rules(limits=make_limits(max_removals=0))
    leave(world, "soft")
    come(world)
    held = await world.sync("delta")
    assert held.status == "held"
    run = await approve(world, held, "unlink")
    assert "handover user anna@x.com done" not in world.changes(run)
    assert find_owner(world) == "Anna"
    assert ANNA not in world.portal.picture()["club@grp"]


async def test_a_renamed_person_moves_and_a_newcomer_with_the_old_login_waits(world: World) -> None:
    """The old account holds the tasks of somebody who is still there."""
    world.source.put_user("anna", userPrincipalName="anna.k@x.com")
    come(world)
    run = await world.sync("delta")
    assert run.status == "held"
    assert world.portal.picture()["club@grp"] == {"anna.k@x.com", "bob@x.com"}
    assert world.portal.accounts["bob@x.com"].manager == "anna.k@x.com"
    assert world.portal.stand_ins() == {ANNA: "anna.k@x.com"}
    assert find_owner(world) == "Anna"
    done = await approve(world, run, "handover")
    assert done.status == "succeeded", done.error
    assert find_owner(world) == "Anna New"
    assert world.portal.stand_ins() == {}
    assert world.portal.picture()["club@grp"] == {"anna.k@x.com", ANNA, "bob@x.com"}
    assert world.portal.accounts["bob@x.com"].manager == "anna.k@x.com"
    assert world.changes(await world.sync("full")) == []


async def test_who_takes_a_leavers_login_keeps_the_own_account_while_it_waits(world: World) -> None:
    """Bob is given Anna's login: nothing is taken from him for that, and later he moves as a whole."""
    leave(world, "soft")
    world.source.put_user("bob", userPrincipalName=ANNA)
    held = await world.sync("delta")
    assert held.status == "held"
    assert "bob@x.com" in world.portal.picture()["club@grp"]
    run = await approve(world, held, "handover")
    assert run.status == "succeeded", run.error
    await world.sync("delta")
    assert world.portal.picture()["club@grp"] == {ANNA}
    assert find_owner(world) == "bob"
    assert world.changes(await world.sync("full")) == []


async def test_a_handover_that_would_be_another_by_now_is_refused(world: World) -> None:
    """An approval is for what was shown."""
    leave(world, "soft")
    come(world)
    held = await world.sync("delta")
    world.source.put_user("new", displayName="Somebody Else")
    await world.sync("delta", write=False)
    run = await approve(world, held, "handover")
    assert run.status == "failed"
    assert "it would be done with other values by now" in run.error
    assert find_owner(world) == "Anna"


async def test_proof_that_comes_later_decides(world: World) -> None:
    """The number is filled in while the handover waits: the question is answered."""
    leave(world, "soft")
    come(world)
    assert (await world.sync("delta")).status == "held"
    world.source.put_user("new", employeeId="7")
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert find_owner(world) == "Anna New"


async def test_nobody_hands_over_in_the_gentler_modes(world: World) -> None:
    """A newcomer gets nothing of hers, and is told why."""
    leave(world, "soft")
    come(world)
    for mode in ("upsert_only", "create_only"):
        world.rules = make_rules(policy=make_policy(mode=mode), limits=make_limits(max_handovers=None))
        run = await world.sync("full")
        assert run.status == "succeeded", run.error
        assert find_owner(world) == "Anna"
        assert find_state(world, "new")[0] == "skipped"


async def test_an_account_is_not_deleted_while_somebody_is_asked_about_it(world: World) -> None:
    """And when it was rejected it goes like that of any leaver; then the login is free."""
    world.rules = make_rules(policy=make_policy(deleted_users="delete", grace=timedelta(days=3)))
    await world.sync("full")
    leave(world, "soft")
    come(world)
    await world.sync("delta")
    world.clock.ahead += timedelta(days=4)
    held = await world.sync("delta")
    assert ANNA in world.portal.accounts
    assert find_owner(world) == "Anna"
    world.store.decisions.reject(Approval(run_id=held.id, actions=("handover",)))
    await world.sync("delta")
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert find_owner(world) == "Anna New"
    assert "create user anna@x.com done" in [change.lower() for change in world.changes(run)]


@pytest.mark.parametrize("proven", [True, False])
async def test_a_handover_is_undone_as_a_whole(world: World, proven: bool) -> None:
    """Values, places and licences are the former owner's again; and it is not proposed once more."""
    before = world.portal.accounts[ANNA]
    leave(world, "soft")
    come(world, employeeId="7" if proven else None)
    run = await world.sync("delta")
    if not proven:
        run = await approve(world, run, "handover")
    assert find_owner(world) == "Anna New"
    undone = await world.carry_out(Undo(run_id=run.id))
    assert undone.status == "succeeded", undone.error
    after = world.portal.accounts[ANNA]
    assert (after.name, after.email, after.job_title, after.manager) == (
        before.name,
        before.email,
        before.job_title,
        before.manager,
    )
    assert world.portal.accounts["bob@x.com"].manager == ANNA
    assert "Designer" in world.portal.licences[ANNA]
    assert world.by_hand == set()
    again = await world.sync("full")
    assert again.status == "succeeded", again.error
    assert find_owner(world) == "Anna"
    assert find_state(world, "new")[0] == "skipped"
    assert find_state(world, "anna")[0] == "leaving"
    world.store.decisions.withdraw_rejections(Approval(run_id=undone.id))
    assert (await world.sync("delta")).status == ("succeeded" if proven else "held")


@pytest.mark.parametrize("stop", range(8))
async def test_killed_between_any_two_steps_it_converges_and_nothing_is_inherited(
    world: World, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The portal goes down after any number of writes; what was done counts, and the approval is asked for again."""
    leave(world, "soft")
    come(world)
    held = await world.sync("delta")
    left = [stop]
    note = world.portal._note

    def fail(verb: str, bps_id: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Unavailable("the portal is down", status=503)
        note(verb, bps_id)

    monkeypatch.setattr(world.portal, "_note", fail)
    await approve(world, held, "handover")
    monkeypatch.undo()
    for _ in range(2):
        run = await world.sync("delta", retry_failed=True)
        if run.status == "held":
            assert find_owner(world) == "Anna"
            run = await approve(world, run, "handover")
    assert run.status == "succeeded", run.error
    assert find_owner(world) == "Anna New"
    assert world.portal.picture() == {"sales@grp": set(), "club@grp": {ANNA, "bob@x.com"}}
    assert world.portal.licences.get(ANNA, {}) == {}
    assert {world.portal.accounts[f"{name}@x.com"].manager for name in ("bob", "cid")} == {None}
    last = await world.sync("full")
    assert (last.status, world.changes(last)) == ("succeeded", [])


@pytest.mark.parametrize("stop", range(10))
async def test_swapped_logins_are_swapped_at_once_and_also_after_a_kill_between_the_two(
    world: World, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked about people who are all there, and nobody is left without an account."""
    for one, other in (("anna", "bob"), ("bob", "anna")):
        login = f"{other}@x.com"
        world.source.put_user(one, userPrincipalName=login)
    left = [stop]
    note = world.portal._note

    def fail(verb: str, bps_id: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Unavailable("the portal is down", status=503)
        note(verb, bps_id)

    monkeypatch.setattr(world.portal, "_note", fail)
    await world.sync("delta")
    monkeypatch.undo()
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert (world.portal.accounts["bob@x.com"].name, find_owner(world)) == ("Anna", "bob")
    assert world.portal.picture() == {"sales@grp": {"bob@x.com"}, "club@grp": {ANNA, "bob@x.com"}}
    assert world.portal.accounts["cid@x.com"].manager == "bob@x.com"
    assert world.portal.accounts[ANNA].manager == "bob@x.com"
    last = await world.sync("full")
    assert (last.status, world.changes(last)) == ("succeeded", [])


async def test_a_plan_in_a_file_holds_the_handover_and_hands_over_nothing(world: World) -> None:
    """What the guard withheld when the plan was made stays withheld."""
    leave(world, "soft")
    come(world)
    plan = await world.sync("delta", write=False)
    lines = world.make_file(plan)
    run = await world.carry_out(FromFile(open_plan(lambda: lines)))
    assert run.status == "held", run.error
    assert WAITS in world.changes(run)
    assert find_owner(world) == "Anna"
    done = await approve(world, run, "handover")
    assert done.status == "succeeded", done.error
    assert find_owner(world) == "Anna New"


async def test_the_card_tells_who_what_and_why(world: World) -> None:
    """What a person should know before saying yes."""
    leave(world, "soft")
    come(world, employeeId="8")
    held = await world.sync("delta")
    cards = HandoverCards(world.database, world.rules, now=world.clock.now())
    ((_, card),) = cards.iterate(held.id, ["held"])
    assert (card["object"], card["bps_id"]) == ("user", ANNA)
    assert (card["former"]["id"], card["newcomer"]["id"]) == ("anna", "new")
    assert card["former"]["gone_since"] is not None
    assert card["former"]["became"] == "deleted", "the day is told once, beside it"
    assert card["hangs_on_it"]["licences"] == [{"type": "Designer", "granted": "by hand"}]
    assert card["hangs_on_it"]["reports"] == ["bob@x.com", "cid@x.com"]
    assert "another employeeId (7, and 8)" in card["evidence"]["against"]
    for kind, source in (("user", "anna"), ("user", "new")):
        found = Explanations(world.database)
        (who,) = found.find(source)
        assert cards.find("user", found.find_records(who), who.key) == card, kind


async def test_nobody_gets_tasks_by_a_login_that_somebody_had(world: World) -> None:
    """Bob's tasks went to Anna, his manager; they do not go to whoever gets her login."""
    world.rules = make_rules(policy=make_policy(substitute="manager"), limits=make_limits(max_handovers=None))
    world.source.remove_user("bob")
    await world.sync("delta")
    assert world.portal.stand_ins() == {"bob@x.com": ANNA}
    leave(world, "soft")
    come(world)
    run = await world.sync("delta")
    assert run.status == "succeeded", run.error
    assert find_owner(world) == "Anna New"
    assert world.portal.stand_ins() == {"bob@x.com": "boss@x.com"}, "the next one up"
    assert world.portal.accounts["bob@x.com"].manager is None, "also a leaver reports to nobody by a mere id"
