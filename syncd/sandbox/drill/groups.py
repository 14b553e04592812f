"""Mistakes with groups in the tenant, which somebody puts right later: nobody really left one."""

from __future__ import annotations

from syncd.sandbox.drill.days import ORDINARY
from syncd.sandbox.drill.play import Play, Scenario
from syncd.sandbox.tenant.objects import Group

_MANY = 0.4
_STRANGERS = 5


async def _emptied(play: Play) -> None:
    directory = play.sandbox.directory
    emptied = {group.id: list(group.members) for group in _choose(play)}
    for group in emptied:
        directory.empty_group(group)
    await play.delta()
    await play.full()
    for group, members in emptied.items():
        for member in members:
            directory.add_member(group, member)


async def _deleted(play: Play) -> None:
    groups = [group.id for group in _choose(play)]
    for group in groups:
        play.sandbox.directory.delete_group(group)
    await play.delta()
    await play.full()
    for group in groups:
        play.sandbox.directory.restore(group)


async def _doubled(play: Play) -> None:
    """Other groups get the names of those that matter, with members who are in none of these; then the day happens."""
    directory = play.sandbox.directory
    twins = []
    for group in _choose(play):
        strangers = [user.id for user in directory.active_users() if user.id not in group.members]
        name = group.properties.get("displayName")
        twins.append(directory.create_group({"displayName": name}, members=strangers[:_STRANGERS]))
    play.strangers = True
    await play.delta()
    play.happen()
    await play.delta()
    play.settle()
    await play.full()
    for twin in twins:
        directory.hard_delete(twin)


async def _renamed(play: Play) -> None:
    directory = play.sandbox.directory
    names = {group.id: group.properties.get("displayName") for group in _choose(play)}
    for number, group in enumerate(names):
        directory.set_attributes(group, displayName=f"Renamed {number}")
    await play.delta()
    await play.full()
    for group, name in names.items():
        directory.set_attributes(group, displayName=name)


async def _remade(play: Play) -> None:
    """A group is deleted and made anew, with the same name and members; its rights in the portal must not be lost."""
    directory = play.sandbox.directory
    free = [group for group in directory.active_groups() if group.id in play.places and group.id not in play.named]
    before = max(free, key=lambda group: (len(group.members), group.id), default=None)
    if before is None:
        return
    above = directory.groups_of(before.id)
    members, properties = list(before.members), dict(before.properties)
    directory.delete_group(before.id)
    fresh = directory.create_group(properties, members=members)
    for group in above:
        directory.add_member(group.id, fresh)
    await play.delta()
    await play.full()


def _choose(play: Play) -> list[Group]:
    """Return the groups that a rule names, then the largest, until many of all places are in them."""
    directory = play.sandbox.directory
    named = [group for group in directory.active_groups() if group.id in play.named]
    rest = [group for group in directory.active_groups() if group.id not in play.named]
    rest.sort(key=lambda group: (-len(group.members), group.id))
    whole = sum(len(group.members) for group in directory.active_groups())
    chosen, reached = list(named), sum(len(group.members) for group in named)
    for group in rest:
        if reached >= whole * _MANY:
            break
        chosen.append(group)
        reached += len(group.members)
    return chosen


GROUPS = (
    Scenario(name="emptied-groups", says="the largest groups are emptied by mistake", play=_emptied, side="tenant"),
    Scenario(name="deleted-groups", says="the largest groups are deleted by mistake", play=_deleted, side="tenant"),
    Scenario(
        name="doubled-names",
        says="other groups get the names of groups that matter",
        play=_doubled,
        side="tenant",
        day=ORDINARY,
    ),
    Scenario(name="renamed-groups", says="groups that matter are renamed", play=_renamed, side="tenant"),
    Scenario(name="remade-group", says="a group is deleted and made anew", play=_remade, side="tenant"),
)
