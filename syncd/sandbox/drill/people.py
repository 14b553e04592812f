"""Mistakes with people in the tenant, which somebody puts right later: nobody really left."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

from syncd.sandbox.drill.days import LEFT_GROUP, ORDINARY, hire_like
from syncd.sandbox.drill.play import Day, Play, Scenario, pick

_MANY, _ENOUGH, _SLICE, _ALLOWED = 0.4, 0.125, 0.06, 0.2
_GROWTH, _DOUBLED = 0.6, 1.2
_LEAST = 20
"""Of fewer records no percentage is taken (guard.min_population)."""


async def _mass_disabled(play: Play) -> None:
    people = _choose(play, _MANY)
    for person in people:
        play.sandbox.directory.disable(person)
    await play.delta()
    await play.full()
    for person in people:
        play.sandbox.directory.enable(person)


async def _mass_deleted(play: Play) -> None:
    people = _choose(play, _MANY)
    for person in people:
        play.sandbox.directory.soft_delete(person)
    await play.delta()
    await play.full()
    for person in people:
        play.sandbox.directory.restore(person)


async def _everybody_deleted(play: Play) -> None:
    people = [user.id for user in play.sandbox.directory.active_users()]
    for person in people:
        play.sandbox.directory.soft_delete(person)
    await play.delta()
    await play.delta()
    for person in people:
        play.sandbox.directory.restore(person)


async def _mass_renamed(play: Play) -> None:
    """A script gives everybody the same name; nobody's account may be changed before a person has looked at that."""
    directory = play.sandbox.directory
    names = {person: directory.get(person).properties.get("displayName") for person in play.people}
    for person in names:
        directory.set_attributes(person, displayName="Imported person")
    await play.delta()
    await play.full()
    _look_at_changed(play)
    for person, name in names.items():
        directory.set_attributes(person, displayName=name)


def _look_at_changed(play: Play) -> None:
    """Note whose account was made or changed before anybody looked: in a company so large that shares are counted."""
    if len(play.base.accounts) > _LEAST:
        play.look_what_was_given(play.base)


async def _company_doubled(play: Play) -> None:
    """Another company is imported by mistake: more people than there are. Nobody of it may get an account unasked."""
    directory = play.sandbox.directory
    people = sorted(play.people)
    newcomers = [
        hire_like(directory, directory.get(people[number % len(people)]), number)
        for number in range(math.ceil(len(people) * _DOUBLED))
    ]
    play.strangers = True
    await play.delta()
    await play.full()
    _look_at_changed(play)
    for person in newcomers:
        directory.hard_delete(person)


async def _protected(play: Play) -> None:
    """People on the protect list are deleted, disabled and taken out of their groups: they keep everything."""
    directory = play.sandbox.directory
    deleted, disabled, moved = (*pick(play, 3), *[""] * 3)[:3]
    if not moved:
        return
    play.program.protect([play.people[person] for person in (deleted, disabled, moved)])
    groups = [group.id for group in directory.groups_of(moved)]
    directory.soft_delete(deleted)
    directory.disable(disabled)
    for group in groups:
        directory.remove_member(group, moved)
    await play.delta()
    await play.full()
    directory.restore(deleted)
    directory.enable(disabled)
    for group in groups:
        directory.add_member(group, moved)


async def _held_then_grown(play: Play) -> None:
    """Too many are disabled; so many are hired before anybody looks that they are not too many any more."""
    directory = play.sandbox.directory
    people = _choose(play, _ENOUGH)
    for person in people:
        directory.disable(person)
    await play.delta()
    _hire(play, math.ceil(len(play.people) * _GROWTH))
    await play.delta()
    await play.delta()
    for person in people:
        directory.enable(person)


async def _in_slices(play: Play) -> None:
    """A script disables six in a hundred at a time. The first twenty are meant: they are on leave."""
    gone: list[str] = []
    for people, share in _cut_up(play):
        if share <= _ALLOWED:
            play.mean(people)
        for person in people:
            play.sandbox.directory.disable(person)
        gone += people
        await play.delta()
    for person in gone:
        play.sandbox.directory.enable(person)


async def _late_approval(play: Play) -> None:
    """Disabled by mistake, held, enabled again; and only then somebody approves what was held."""
    people = _choose(play, _MANY)
    for person in people:
        play.sandbox.directory.disable(person)
    held = await play.delta()
    for person in people:
        play.sandbox.directory.enable(person)
    if held.held:
        await play.approve(held.run)


async def _overtaken_approval(play: Play) -> None:
    """Many really leave, and are held. Others are disabled by mistake before a person releases what was held."""
    directory = play.sandbox.directory
    leavers = _choose(play, _MANY)
    others = sorted(play.people.keys() - set(leavers))[::2]
    play.mean(leavers)
    for person in leavers:
        directory.disable(person)
    held = await play.delta()
    for person in others:
        directory.disable(person)
    if held.held:
        await play.approve(held.run)
    await play.delta()
    for person in (*leavers, *others):
        directory.enable(person)


async def _login_again(play: Play) -> None:
    """Somebody else begins with the login of a person who left."""
    play.happen()
    play.kept |= play.meant
    await play.delta()
    directory = play.sandbox.directory
    former = next(directory.get(person) for person in play.day_people)
    login = str(former.properties["userPrincipalName"])[32:]
    colleague = directory.get(pick(play, 1, apart=[former.id])[0])
    newcomer = hire_like(directory, colleague, 1, groups=directory.groups_of(colleague.id))
    directory.set_attributes(newcomer, userPrincipalName=login, mail=former.properties.get("mail"))
    await play.delta()
    await play.full()
    play.settle()
    play.strangers = True
    directory.hard_delete(newcomer)


async def _frozen_login(play: Play) -> None:
    """A login becomes one that no portal takes; then that person is taken out of a group."""
    directory = play.sandbox.directory
    (person,) = pick(play, 1)
    before = {name: directory.get(person).properties.get(name) for name in ("userPrincipalName", "mail")}
    login, _, domain = str(before["userPrincipalName"]).partition("@")
    directory.set_attributes(person, **dict.fromkeys(before, f"{login}+x@{domain}"))
    await play.delta()
    play.happen()
    await play.delta()
    play.settle()
    directory.set_attributes(person, **before)


async def _agents(play: Play) -> None:
    """Services create accounts of agents, stated and unstated, which no count counts; then the day happens."""
    directory = play.sandbox.directory
    groups = [group for group in directory.active_groups() if group.id in play.places][:3]
    agents = [directory.create_agent(f"Agent {n}", f"agent-{n}@{directory.domain}") for n in range(12)]
    for agent in agents:
        for group in groups:
            directory.add_member(group.id, agent)
    play.strangers = True
    play.sandbox.tenant_knobs.subtypes_counted = False
    await play.full()
    play.sandbox.tenant_knobs.subtypes_stated = False
    play.happen()
    await play.delta()
    play.settle()
    await play.full()
    for agent in agents:
        directory.hard_delete(agent)


def _choose(play: Play, share: float) -> list[str]:
    """Return people who have an account, in an order that has nothing to do with what they have."""
    people = sorted(play.people)
    return people[:: max(1, round(1 / share))] if share <= 0.5 else people


def _cut_up(play: Play) -> Iterator[tuple[list[str], float]]:
    """Yield slices of people, with the share of what they have that has been cut off by then.

    Of accounts, places and licences the smallest share: each of them is counted for itself.
    """
    sums = [dict.fromkeys(play.base.accounts, 1)]
    for pairs in (play.base.members, play.base.licences):
        held = dict.fromkeys(play.base.accounts, 0)
        for _, who in pairs:
            held[who] = held.get(who, 0) + 1
        if len(pairs) > _LEAST:
            sums.append(held)
    wholes, cut, told = [sum(each.values()) for each in sums], [0] * len(sums), 0.0
    part: list[str] = []
    for person in sorted(play.people):
        part.append(person)
        cut = [number + each.get(play.people[person], 0) for number, each in zip(cut, sums, strict=True)]
        shares = [number / whole for number, whole in zip(cut, wholes, strict=True)]
        if max(shares) - told >= _SLICE:
            told = max(shares)
            yield part, min(shares)
            part = []
            if told > _MANY:
                return


def _hire(play: Play, number: int) -> None:
    """Let so many begin, each like somebody who is there, and in the same groups."""
    directory = play.sandbox.directory
    people = sorted(play.people)
    groups_of: dict[str, list[str]] = {}
    for group in directory.active_groups():
        for member in group.members:
            groups_of.setdefault(member, []).append(group.id)
    for place in range(number):
        like = directory.get(people[place % len(people)])
        groups = [directory.group(group) for group in groups_of.get(like.id, ())]
        hire_like(directory, like, place, groups=groups)
    play.strangers = True


def _leave(play: Play) -> Collection[str]:
    (person,) = pick(play, 1)
    play.sandbox.directory.soft_delete(person)
    return (person,)


_LEFT = Day("one is deleted", _leave)

PEOPLE = (
    Scenario(name="mass-disabled", says="four in ten are disabled by mistake", play=_mass_disabled, side="tenant"),
    Scenario(name="mass-deleted", says="four in ten are deleted by mistake", play=_mass_deleted, side="tenant"),
    Scenario(
        name="everybody-deleted", says="delta tells of everybody that they are deleted", play=_everybody_deleted,
        side="tenant",
    ),
    Scenario(name="mass-renamed", says="everybody gets another name by mistake", play=_mass_renamed, side="tenant"),
    Scenario(
        name="company-doubled", says="another company is imported by mistake", play=_company_doubled, side="tenant"
    ),
    Scenario(
        name="protected-people", says="people on the protect list leave", play=_protected, side="tenant"
    ),
    Scenario(
        name="held-then-grown", says="what was held is a small share after many are hired", play=_held_then_grown,
        side="tenant",
    ),
    Scenario(
        name="in-slices", says="a script disables people by mistake, a few with each run", play=_in_slices,
        side="tenant",
    ),
    Scenario(
        name="late-approval", says="what was held is approved after it was put right", play=_late_approval,
        side="tenant",
    ),
    Scenario(
        name="overtaken-approval", says="what was held is approved while others are disabled by mistake",
        play=_overtaken_approval,
        side="tenant",
    ),
    Scenario(
        name="login-again", says="somebody new gets the login of a leaver", play=_login_again,
        side="tenant", day=_LEFT,
    ),
    Scenario(
        name="frozen-login", says="a login becomes unusable, then its owner leaves a group", play=_frozen_login,
        side="tenant",
        day=LEFT_GROUP,
    ),
    Scenario(
        name="agents", says="accounts of agents appear, in lists and in no count", play=_agents,
        side="tenant", day=ORDINARY,
    ),
)  # fmt: skip
