"""What a full planning saves changes nothing: plain links are planned in bulk, and unchanged records are not looked at.

A random company is planned so, and with each place and each record judged by itself, and compared row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from sqlalchemy import select

from syncd.model.change import LinkKind, PlainLinks
from syncd.model.target import PortalGroup, fold
from syncd.plan.membership import Doubt, GroupView
from syncd.plan.rules import Rules
from syncd.store.plans.changes import Plans
from syncd.store.plans.pairs import Pairing
from syncd.store.schema.tables import changes
from syncd.sync.planning.places import PlacePlanning
from tests.fakes.rules import make_policy, make_rules, make_scope
from tests.fakes.world import World, open_world

pytestmark = pytest.mark.both_engines

_PEOPLE, _GROUPS = 24, 12


def _name(kind: str, number: int) -> str:
    """Return BPS ids whose order differs between a plain sorting and that of a language."""
    return f"{'Z-' if number % 3 else 'ä_'}{kind}{number}@x.com"


def _found(world: World, random: Random) -> None:
    """Let a company begin, with strangers in the portal under some of its names."""
    for number in range(_GROUPS):
        world.source.put_group(
            f"g{number}", displayName=f"Group {number}", mailNickname=_name("g", number), mail=f"g{number}@x.com"
        )
    for number in range(_PEOPLE):
        name = _name("u", number)
        guest = "Guest" if random.random() < 0.1 else "Member"
        world.source.put_user(
            f"u{number}", userPrincipalName=name, displayName=name, mail=name, userType=guest,
            accountEnabled=random.random() > 0.1,
        )  # fmt: skip
        if random.random() < 0.1:
            world.portal.add_account(name, name=name, email=name)
        if random.random() < 0.05:
            world.portal.groups[fold(name)] = PortalGroup(bps_id=name, name=name, email=name)
    for number in range(_GROUPS):
        if random.random() < 0.15:
            name = _name("g", number)
            world.portal.groups[fold(name)] = PortalGroup(bps_id=name, name=name, email=name)
        if number and random.random() < 0.3:
            world.source.link(f"g{random.randrange(number)}", f"g{number}", "group")
    _move(world, random, most=_GROUPS * 6)


def _move(world: World, random: Random, *, most: int) -> None:
    """Let people join groups, own them and leave them."""
    for _ in range(most):
        group, user = f"g{random.randrange(_GROUPS)}", f"u{random.randrange(_PEOPLE)}"
        turn = random.random()
        if turn < 0.7:
            world.source.link(group, user)
        elif turn < 0.85:
            world.source.own(group, user)
        elif user in {link for link, _ in world.source.groups[group].members.items()}:
            world.source.unlink(group, user)


def _meddle(world: World, random: Random) -> None:
    """Let somebody put people into groups of the portal by hand, and take some out."""
    for members in world.portal.members.values():
        for key in list(members):
            if random.random() < 0.1:
                del members[key]
        if random.random() < 0.3:
            stranger = random.choice(list(world.portal.accounts.values())).bps_id
            members[fold(stranger)] = stranger


def _choose_rules(random: Random) -> Rules:
    protect = frozenset(fold(_name(random.choice("ug"), random.randrange(8))) for _ in range(random.randrange(3)))
    policy = make_policy(
        mode=random.choice(["sync", "sync", "upsert_only", "create_only"]),
        adopt=random.choice(["match", "never"]),
        drift=random.choice(["revert", "adopt", "report"]),
    )
    limits = replace(make_rules().limits, max_adoptions=random.choice([None, 0]))
    rules = make_rules(scope=make_scope(protect=protect), policy=policy, limits=limits)
    return replace(rules, mapping=replace(rules.mapping, owners=random.random() < 0.5))


async def _plan(world: World) -> list[tuple[Any, ...]]:
    """Return the rows of a plan of everything, without the run that they belong to."""
    await world.store.plans.require_full_push()
    run = await world.sync(write=False)
    assert run.status in ("succeeded", "held", "partial"), run.error
    statement = select(changes).where(changes.c.run_id == run.id).order_by(changes.c.seq)
    return [tuple(row)[1:] for row in world.database.load_rows(statement)]


def _plan_singly(
    self: PlacePlanning, kind: LinkKind, groups: Sequence[GroupView], doubts: Doubt, *, single: set[int]
) -> None:
    """Compare every group by itself."""
    assert single is not None
    for group in groups:
        self._plan_group(kind, group, doubts)


def _with_all(iterate: Callable[..., Iterator[list[Any]]], left: list[int]) -> Callable[..., Iterator[list[Any]]]:
    """Return that way to read records with none left out; ``left`` notes how many would have been."""

    def iterate_all(pairing: Pairing, *given: Any, differing: bool, **more: Any) -> Iterator[list[Any]]:
        rows = list(iterate(pairing, *given, differing=False, **more))
        if differing:
            few = sum(map(len, iterate(pairing, *given, differing=True, **more)))
            left.append(sum(map(len, rows)) - few)
        yield from rows

    return iterate_all


@pytest.mark.parametrize("seed", range(4))
async def test_a_plan_is_the_same_whether_plain_links_are_written_in_bulk(
    store_url: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, plain, left = Random(seed), list[int](), list[int]()
    world = open_world(store_url)
    world.rules = _choose_rules(random)
    _found(world, random)
    add_links = Plans.add_links

    def note(self: Plans, run_id: int, start: int, *, kind: LinkKind, links: Sequence[PlainLinks]) -> int:
        plain.extend(member for each in links for member in each.members)
        return add_links(self, run_id, start, kind=kind, links=links)

    async def compare() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Plans, "add_links", note)
            bulk = await _plan(world)
        with monkeypatch.context() as patch:
            patch.setattr(PlacePlanning, "_plan_page", _plan_singly)
            patch.setattr(Pairing, "iterate_user_pairs", _with_all(Pairing.iterate_user_pairs, left))
            patch.setattr(Pairing, "iterate_group_pairs", _with_all(Pairing.iterate_group_pairs, left))
            assert await _plan(world) == bulk

    try:
        await world.sync("full", write=False)
        await compare()
        assert plain, "nothing was planned in bulk"
        await world.sync("full")
        _move(world, random, most=20)
        _meddle(world, random)
        await world.sync("full", write=False)
        await compare()
        world.rules = _choose_rules(random)
        await compare()
        assert any(left), "no record was left out"
    finally:
        world.database.close()
