"""What `syncd explain` says of everybody who keeps, gets or loses access by one of our rules: why, and what decides it.

The situations are those that `docs/explanation/access.md` has a row for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from syncd.errors import Timeout, Unavailable
from syncd.model.run import Approval, RunRequest
from syncd.model.source import KIND, BadObject
from syncd.model.target import GroupDetail, MembersResult, PortalGroup
from syncd.plan.rules import LicenceRule
from syncd.store.reports.explain import Explanations
from syncd.store.reports.explain_document import describe_explanation
from syncd.store.reports.handovers import HandoverCards
from syncd.store.reports.next_steps import load_steps
from syncd.store.reports.status import Report
from tests.fakes.office import hire, settle_in
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World

LICENCE = (LicenceRule("Sales", "PowerUser"),)


class Killed(BaseException):
    """The process is gone."""


async def found_company(world: World) -> None:
    """Eight people in three groups, all for ten days; nothing is limited, and who is disabled goes after three days."""
    settle_in(world.source)
    world.portal.totals = {"PowerUser": 9}
    world.rules = make_rules(
        licences=LICENCE, policy=make_policy(disabled_users="delete", grace=timedelta(days=3)), limits=make_limits()
    )
    limit(world)
    assert (await world.sync("full")).status == "succeeded"
    world.clock.ahead += timedelta(days=10)
    assert (await world.sync("full")).status == "succeeded"


pytestmark = pytest.mark.company(founded_by=found_company)


def limit(world: World, **limits: Any) -> None:
    """Let the guard withhold by these limits alone."""
    none = dict.fromkeys(
        (
            "max_removals",
            "max_removal_percent",
            "max_daily_removal_percent",
            "max_update_percent",
            "max_creation_percent",
        )
    )
    world.rules = replace(world.rules, limits=make_limits(**{**none, **limits}))


def explain(world: World, wanted: str) -> str:
    """Return everything that the command tells of somebody, as text."""
    explanations = Explanations(world.database)
    (found,) = explanations.find(wanted)
    explanation = explanations.explain(found, now=world.clock.now())
    now = world.clock.now()
    report = Report(world.database, world.rules.policy, now=now, protect=world.rules.scope.protect)
    lines = [line for line in report.iterate(found.kind, needle=found.id) if line.source_id == found.id]
    named = world.store.desired.load_group_names()
    document = describe_explanation(explanation, lines, world.rules, named=named, now=now)
    cards = HandoverCards(world.database, world.rules, now=now)
    card = cards.find(found.kind, explanations.find_records(found), found.key)
    return f"{document} {card} {load_steps(world.database, explanation, lines, now=now)}"


async def approve(world: World, run: int) -> None:
    """Approve what a run holds."""
    request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run))
    await world.runs.execute(request, world.open_sides())


# ---- the situations: each returns who is to be explained ------------------------------------------------------------


async def agent(world: World) -> str:
    hire(world.source, 20, **{KIND: "agentUser"})
    await world.sync("delta")
    return "u20"


async def unreadable(world: World) -> str:
    hire(world.source, 20)
    world.source.bad["u20"] = BadObject("u20", "its displayName is a number")
    await world.sync("full")
    return "u20"


async def list_behind(world: World) -> str:
    world.source.freeze()
    world.source.put_user("u1", accountEnabled=False)
    await world.sync("delta")
    await world.sync("full")
    return "u1"


async def no_counts(world: World) -> str:
    world.source.no_counts = Unavailable("no $count", status=503)
    world.source.users["u3"].state = "gone"
    await world.sync("full")
    return "u3"


async def frozen(world: World) -> str:
    world.source.put_user("u4", userPrincipalName="u4+spam@x.com")
    await world.sync("delta")
    return "u4"


async def emptied(world: World) -> str:
    for name in list(world.source.users):
        world.source.remove_user(name)
    await world.sync("delta")
    return "u1"


async def held_before(world: World) -> str:
    limit(world, max_removals=0)
    world.source.put_user("u4", accountEnabled=False)
    await world.sync("delta")
    limit(world)
    await world.sync("delta")
    await world.sync_one("user", "u4")
    return "u4"


async def slice_of_a_day(world: World) -> str:
    limit(world, max_daily_removals=1)
    world.source.unlink("g1", "u1")
    await world.sync("delta")
    world.source.unlink("g1", "u2")
    await world.sync("delta")
    return "u2"


async def enabled_before_the_approval(world: World) -> str:
    limit(world, max_removals=0)
    world.source.put_user("u1", accountEnabled=False)
    run = await world.sync("delta")
    world.source.put_user("u1", accountEnabled=True)
    await approve(world, run.id)
    return "u1"


async def login_used_again(world: World) -> str:
    world.source.remove_user("u1")
    world.source.put_user("new", userPrincipalName="u1@x.com", displayName="New", mail="n@x.com")
    await world.sync("delta")
    return "new"


async def group_made_anew(world: World) -> str:
    world.source.remove_group("g1")
    world.source.put_group("g9", displayName="All", mailNickname="other@grp")
    for number in range(4):
        world.source.link("g9", f"u{number}")
    world.source.link("g9", "g2", "group")
    await world.sync("delta")
    return "g9"


async def rival(world: World) -> str:
    world.source.put_group("g9", displayName="Sales", mailNickname="rival@grp")
    await world.sync("delta")
    return "g9"


async def burst(world: World) -> str:
    limit(world, max_creation_percent=10, min_population=3)
    for number in (20, 21):
        hire(world.source, number)
    await world.sync("delta")
    return "u20"


async def clock_ahead(world: World) -> str:
    world.source.put_user("u1", accountEnabled=False)
    await world.sync("delta")
    world.clock.wrong = timedelta(days=40)
    await world.sync("full")
    return "u1"


async def licence_by_hand(world: World) -> str:
    world.source.put_user("u1", accountEnabled=False)
    await world.sync("delta")
    world.portal.licences["u1@x.com"] = {"Designer": {}}
    world.clock.ahead += timedelta(days=4)
    await world.sync("delta")
    return "u1"


async def set_back(world: World) -> str:
    limit(world, max_removals=1)
    joined = [("g3", f"u{number}") for number in (5, 6, 7)] + [("g1", f"u{number}") for number in (5, 6, 7)]
    for group, name in joined:
        world.source.link(group, name)
    await world.sync("delta")
    world.clock.ahead += timedelta(days=1)
    for group, name in joined:
        world.source.unlink(group, name)
    await world.sync("delta")
    return "u5"


async def unclear_place(world: World) -> str:
    add = world.portal.add_members

    async def lose_answer(group_id: str, member_ids: Sequence[str]) -> MembersResult:
        await add(group_id, member_ids)
        raise Timeout("no answer came", sent=True)

    async def stay_silent(bps_id: str) -> GroupDetail | None:
        raise Unavailable("no answer came", sent=True)

    world.portal.add_members = lose_answer
    world.portal.fetch_group = stay_silent
    world.source.link("g3", "u5")
    await world.sync("delta")
    return "u5"


async def killed_approval(world: World) -> str:
    for name in ("u1", "u2"):
        world.source.link("g3", name)
    await world.sync("delta")
    limit(world, max_removals=0)
    for name in ("u1", "u2"):
        world.source.put_user(name, accountEnabled=False)
    held = await world.sync("delta")
    limit(world)
    remove, asked = world.portal.remove_members, 0

    async def die(group_id: str, member_ids: Sequence[str]) -> MembersResult:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise Killed
        return await remove(group_id, member_ids)

    world.portal.remove_members = die
    with pytest.raises((Killed, BaseExceptionGroup)):
        await approve(world, held.id)
    world.portal.remove_members = remove
    await world.store.runs.interrupt_open()
    return "u1"


async def another_tenant(world: World) -> str:
    world.source.tenant, world.source.tenant_id = "fabrikam.example", "99999999-2222-4333-8444-555555555555"
    await world.sync("delta")
    return "u1"


SITUATIONS: tuple[tuple[Callable[[World], Awaitable[str]], tuple[str, ...]], ...] = (
    (agent, ("'skipped'", 'scope.agents = "sync" lets accounts of agents in')),
    (unreadable, ("cannot be understood",)),
    (list_behind, ("'leaving'", "disabled")),
    (no_counts, ("'active'", "is missed: it has no proof", "'syncd sync full'")),
    (
        frozen,
        ("'skipped'", "mapping.user.bps_id", "what the tenant takes away is taken all the same"),
    ),
    (emptied, ("'held'", "nothing is taken away until somebody approves that ('syncd held')")),
    (held_before, ("'held'", "held since run", "until somebody approves or rejects it")),
    (slice_of_a_day, ("'held'", "guard.max_daily_removals")),
    (enabled_before_the_approval, ("'active'",)),
    (login_used_again, ("'held'", "waits for approval ('syncd held')", "u1@x.com", "'syncd approve ")),
    (group_made_anew, ("the group was made anew, and keeps its BPS group", "all@grp")),
    (rival, ("namesake_of", "'licences[0]'", "'means': 'g2'")),
    (burst, ("'held'", "guard.max_creation_percent")),
    (clock_ahead, ("'leaving'", "clock")),
    (licence_by_hand, ("given by hand; its account is deleted, and the portal would keep the seat",)),
    (another_tenant, ("'active'", "graph.tenant_id: the store belongs to the tenant", "'syncd status'")),
    (killed_approval, ("'leaving'", "'outcome': 'done'", "'outcome': 'planned'", "'held': []")),
    (unclear_place, ("'failing'", "whether it took effect is not known, and the next run looks", "is tried again")),
    (set_back, ("returns to the state before run",)),
)


@pytest.mark.parametrize(("happen", "words"), SITUATIONS, ids=lambda value: getattr(value, "__name__", ""))
async def test_each_situation_says_why_and_what_decides_it(
    world: World, happen: Callable[[World], Awaitable[str]], words: tuple[str, ...]
) -> None:
    """The state, the reason, and the key or the command that decides."""
    told = explain(world, await happen(world))
    missing = [word for word in words if word not in told]
    assert not missing, told


async def found_portal_in_use(world: World) -> None:
    """The portal has everybody and a group, with two people in it who do not belong there; nothing is ours yet."""
    settle_in(world.source)
    world.source.put_user("u1", accountEnabled=False)
    for name in world.source.users:
        world.portal.add_account(f"{name}@x.com", name=name)
    world.portal.groups["all@grp"] = PortalGroup(bps_id="all@grp", name="All")
    world.portal.members["all@grp"] = {key: key for key in ("u1@x.com", "u7@x.com")}
    world.rules = make_rules(limits=replace(make_limits(), max_adoptions=0))
    assert (await world.sync("full")).status == "held"


@pytest.mark.company(founded_by=found_portal_in_use)
@pytest.mark.parametrize(("who", "why"), [("u1", "disabled"), ("u7", "not a member in the tenant")])
async def test_what_follows_from_an_adoption_says_why_and_what_decides_it(world: World, who: str, why: str) -> None:
    """That it waits, what would be removed after it, the true reason, and the command that decides."""
    told = explain(world, who)
    words = (
        why,
        "follow in the run after the adoption",
        "that run 1 holds are approved",
        "'syncd reject 1 --kind adopt'",
    )
    missing = [word for word in words if word not in told]
    assert not missing, told
