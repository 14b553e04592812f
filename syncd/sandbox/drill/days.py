"""What really happens in a company between two runs. Whoever loses something by it is named; nobody else may."""

from __future__ import annotations

import re
from collections.abc import Collection

from syncd.sandbox.drill.play import Day, Play, pick
from syncd.sandbox.tenant.directory import Directory
from syncd.sandbox.tenant.objects import Group, Node

_OWN = (
    "employeeId", "identities", "mailNickname", "mobilePhone", "onPremisesDistinguishedName", "onPremisesImmutableId",
    "onPremisesSamAccountName", "onPremisesSecurityIdentifier", "onPremisesUserPrincipalName", "otherMails",
    "proxyAddresses",
)  # fmt: skip
"""Attributes of a colleague that somebody new does not take over."""


_RENAMED = 8
"""Enough that their lost names and titles cannot pass for changes by hand, too few for guard.max_update_percent."""


def hire_like(directory: Directory, colleague: Node, number: int, *, groups: Collection[Group] = ()) -> str:
    """Let somebody new begin, who is like a colleague for every rule; return the id."""
    properties = {name: value for name, value in colleague.properties.items() if name not in _OWN}
    login, _, domain = str(colleague.properties.get("userPrincipalName")).partition("@")
    upn = f"newcomer-{number}.{re.sub(r'[^a-zA-Z0-9]', '', login)[:20]}@{domain}"
    properties.update(displayName=f"Newcomer {number}", userPrincipalName=upn, mail=upn, accountEnabled=True)
    created = directory.create_user(properties)
    if colleague.manager is not None:
        directory.set_manager(created, colleague.manager)
    for group in groups:
        directory.add_member(group.id, created)
    return created


def _ordinary(play: Play) -> Collection[str]:
    """One is deleted, one is disabled, one leaves a group, one joins one, one is renamed, one has another title."""
    directory = play.sandbox.directory
    people = pick(play, 6)
    names = [people[place % len(people)] for place in range(6)]
    left, disabled, moved, joined, renamed, retitled = names
    groups = [group for group in directory.active_groups() if group.id in play.places]
    colleague = directory.get(retitled)
    for group in directory.groups_of(moved)[:1]:
        directory.remove_member(group.id, moved)
    for group in [group for group in groups if joined not in group.members][:1]:
        directory.add_member(group.id, joined)
    directory.set_attributes(renamed, displayName="Another Name")
    directory.set_attributes(retitled, jobTitle="Another title")
    hire_like(directory, colleague, 1, groups=directory.groups_of(colleague.id))
    directory.disable(disabled)
    directory.soft_delete(left)
    return (left, disabled, moved)


ORDINARY = Day("an ordinary day", _ordinary)


def _busy(play: Play) -> Collection[str]:
    """An ordinary day, on which many get another name and title: more than changes by hand could be taken for."""
    for person in pick(play, 6 + _RENAMED)[6:]:
        play.sandbox.directory.set_attributes(person, displayName=f"Name {person[:8]}", jobTitle="Title of that day")
    return _ordinary(play)


BUSY = Day("an ordinary day on which many are renamed", _busy)


def _leave_group(play: Play) -> Collection[str]:
    (person,) = pick(play, 1)
    directory = play.sandbox.directory
    for group in directory.groups_of(person):
        if group.state == "active":
            directory.remove_member(group.id, person)
            break
    return (person,)


LEFT_GROUP = Day("one leaves a group", _leave_group)
