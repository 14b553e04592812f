"""A full planning decides only about those who, or whose rules, are others than when it was last decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.plan.desired import Desired
from syncd.store.desired.decisions import DesiredState
from tests.fakes.world import World


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many people and groups the plannings from now on decide about."""
    found: list[int] = []

    def note(name: str) -> None:
        store = getattr(DesiredState, name)

        def count(self: DesiredState, decisions: Sequence[Desired], *, touch: bool) -> int:
            found.append(len(decisions))
            return int(store(self, decisions, touch=touch))

        monkeypatch.setattr(DesiredState, name, count)

    note("store_users")
    note("store_groups")
    return found


def _fill(world: World) -> None:
    world.source.put_group("g1", displayName="One", mailNickname="g1@grp")
    for number in range(3):
        name = f"u{number}@x.com"
        world.source.put_user(f"u{number}", userPrincipalName=name, displayName=name, mail=name)
        world.source.link("g1", f"u{number}")


async def test_nobody_is_decided_about_twice(world: World, decided: list[int]) -> None:
    """A second full run finds what it decided the last time."""
    _fill(world)
    await world.sync("full")
    assert sum(decided) == 4
    decided.clear()
    await world.sync("full")
    assert sum(decided) == 0


async def test_another_rule_decides_about_everybody(world: World, decided: list[int]) -> None:
    """Whatever the rules say of people, it is decided anew when they say something else."""
    _fill(world)
    await world.sync("full")
    decided.clear()
    rules = world.rules
    world.rules = replace(rules, policy=replace(rules.policy, grace=rules.policy.grace + timedelta(days=1)))
    await world.sync("full")
    assert sum(decided) == 4


async def test_who_is_another_is_decided_about(world: World, decided: list[int]) -> None:
    """An attribute, a manager or a group is seen by the next full planning, whatever the pull said of it."""
    _fill(world)
    await world.sync("full")
    decided.clear()
    world.source.put_user("u1", userPrincipalName="u1@x.com", displayName="Other", mail="u1@x.com", manager="u0")
    await world.sync("full")
    assert sum(decided) == 1
    assert world.portal.accounts["u1@x.com"].name == "Other"


async def test_groups_of_one_bps_id_are_decided_about_again(world: World) -> None:
    """Which of two groups lost a BPS id is asked in each full planning: the other one may have given it up."""
    for name in ("g1", "g2"):
        world.source.put_group(name, displayName=name, mailNickname="same@grp")
    await world.sync("full")
    assert not world.portal.groups
    world.source.put_group("g2", displayName="g2", mailNickname="own@grp")
    await world.sync("full")
    assert world.portal.groups.keys() == {"same@grp", "own@grp"}
