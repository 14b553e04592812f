"""Licences under other rules: the same as a run under them would plan, and nothing is written for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from syncd.bootstrap.as_if import OtherRules, foresee_licences, read_other_rules
from syncd.cli.commands.licences import _describe_as_if
from syncd.errors import ConfigError
from syncd.plan.cel.expressions import Expression
from syncd.plan.report.licences_as_if import AsIf
from syncd.plan.rules import LicenceRule, Rules, ScopeRules
from tests.contract.test_licences import POWER, USER, found_company
from tests.documents import check_document
from tests.fakes.daemon import make_settings
from tests.fakes.rules import make_rules, make_scope
from tests.fakes.world import World

pytestmark = pytest.mark.company(founded_by=found_company)


def foresee(world: World, *licences: LicenceRule, scope: ScopeRules | None = None) -> AsIf:
    """Return what would be under other rules, and see to it that the store is as it was."""
    before = world.store.runs.load_runs(10), world.store.desired.load_group_names()
    other = replace(world.rules, licences=licences, scope=scope or world.rules.scope)
    found = foresee_licences(
        world.store, world.rules, OtherRules(other, scoped=scope is not None), now=world.clock.now()
    )
    assert (world.store.runs.load_runs(10), world.store.desired.load_group_names()) == before
    return found


async def plan(world: World, rules: Rules) -> set[str]:
    """Return the licence changes that a plan under these rules has, without the seats: ``action id type``."""
    world.rules = rules
    run = await world.sync("none", write=False)
    assert run.status in ("succeeded", "held", "partial"), run.error
    found = [change.split(" ") for change in world.changes(run)]
    return {f"{action} {rest[0]} {rest[1]}" for action, what, *rest in found if what == "licence"}


def tell(found: AsIf) -> set[str]:
    """Return the moves in the same words."""
    gains = {f"grant {move.bps_id} {move.gains}" for move in found.moves if move.gains}
    return gains | {f"revoke {move.bps_id} {kind}" for move in found.moves for kind in move.losses}


@pytest.mark.both_engines
@pytest.mark.parametrize(
    "licences",
    [(), (USER,), (USER, POWER), (LicenceRule("Power", "ExternalUser"), USER), (LicenceRule("All", "PowerUser"),)],
    ids=["none", "one", "other order", "other type", "everybody"],
)
async def test_what_is_foretold_is_what_a_plan_says(world: World, licences: tuple[LicenceRule, ...]) -> None:
    """Who gets and who loses what, with licences by hand, somebody who is disabled and somebody new among them."""
    world.portal.licences["u2@x.com"] = {"PowerUser": {}}
    assert (await world.sync("full")).status == "succeeded"
    world.source.put_user("u3", accountEnabled=False)
    world.source.put_user("u9", userPrincipalName="u9@x.com", displayName="New", mail="u9@x.com")
    world.source.link("g2", "u9")
    await world.sync("delta", write=False)
    found = foresee(world, *licences)
    assert tell(found) == await plan(world, replace(world.rules, licences=licences))


@pytest.mark.both_engines
async def test_another_scope_is_decided_anew(world: World) -> None:
    """Whom it leaves out loses what the rules gave, and whom it lets in gets it, as a plan says."""
    world.rules = make_rules(licences=(POWER, USER), scope=make_scope(users=Expression('user.displayName != "User 4"')))
    assert (await world.sync("full")).status == "succeeded"
    scope = make_scope(users=Expression('user.displayName != "User 2"'))
    found = foresee(world, POWER, USER, scope=scope)
    assert tell(found) == {"revoke u2@x.com User", "grant u4@x.com User"}
    told = [_describe_as_if(each, found, None, world.rules) for each in found.types]
    check_document(["licences", "--as-if"], told)
    assert tell(found) == await plan(world, replace(world.rules, scope=scope))
    inside = make_scope(include_groups=("Power",))
    found = foresee(world, POWER, USER, scope=inside)
    assert tell(found) == {"revoke u2@x.com User", "revoke u3@x.com User"}


@pytest.mark.both_engines
async def test_seats_and_rules_are_counted(world: World) -> None:
    """Who finds no seat waits and keeps what is held; each rule tells whom it covers, and whom it gives to."""
    world.portal.totals = {"PowerUser": 3, "User": 10}
    assert (await world.sync("full")).status == "succeeded"
    found = foresee(world, LicenceRule("All", "PowerUser"), USER)
    power, user = (next(each for each in found.types if each.type == kind) for kind in ("PowerUser", "User"))
    assert (power.seats, power.by_rule, power.gains, power.waiting) == (3, 3, 1, 2)
    assert (user.by_rule, user.losses) == (2, 1)
    assert [(rule.covers, rule.gives, rule.gains) for rule in found.rules] == [(5, 5, 3), (5, 0, 0)]
    assert [move.waits for move in found.moves] == [False, True, True]


async def test_a_group_that_nobody_knows_is_told_by_its_key(world: World) -> None:
    """With the place of the rule in the file."""
    assert (await world.sync("full")).status == "succeeded"
    with pytest.raises(ConfigError, match=r"licences\[1\]\.group"):
        foresee(world, USER, LicenceRule("Nowhere", "User"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("licences = 3", "licences"),
        ('[[licences]]\ngroup = "All"', "licences[0].type"),
        ('[[licences]]\ngroup = "All"\ntypo = "User"\ntype = "User"', "licences[0].typo"),
        ('[[licences]]\ngroup = "All"\ntype = "User"\n[policy]\nmode = "sync"', "policy: is not looked at"),
        ('[[licences]]\ngroup = "All"\ntype = "User"\n[polcy]\nmode = "sync"', "polcy"),
        ("", "licences: is missing"),
        ('[scope]\nusers = "user.department == 3 &&"', "scope.users"),
        ("[scope]\nusers = 'user.faxNumber != \"1\"'", "scope.users: looks at faxNumber"),
        ("[[licences]", ""),
    ],
)
def test_a_bad_file_is_refused_with_the_key(tmp_path: Path, text: str, said: str) -> None:
    """Unknown keys and sections included: numbers under half a file would be wrong."""
    path = tmp_path / "other.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_other_rules(make_settings(f"sqlite:///{tmp_path / 'store.db'}"), path)
    assert any(problem.startswith(said) for problem in refused.value.problems), refused.value.problems
