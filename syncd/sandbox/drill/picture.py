"""What the portal holds at one moment, and what the difference between two moments means for whom.

Keys are BPS ids in the form in which they are compared. Nothing here knows a rule: it is the arithmetic of an observer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from syncd.sandbox.server import Sandbox

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The owned part as values that compare equal when nothing differs; ``foreign``: everything else, to the byte."""

    accounts: Mapping[str, tuple[str | None, ...]]
    groups: Mapping[str, tuple[str, str]]
    members: frozenset[Pair]
    owners: frozenset[Pair]
    licences: frozenset[Pair]
    privileges: frozenset[tuple[str, str]]
    foreign: Mapping[str, object]

    def count_removable(self) -> int:
        """Return how many single things somebody could lose."""
        return len(self.accounts) + len(self.members) + len(self.owners) + len(self.licences) + len(self.privileges)


def take_picture(sandbox: Sandbox) -> Picture:
    """Return what the portal holds now."""
    portal = sandbox.portal
    owned = {key: group for key, group in portal.groups.items() if group.origin == "rest"}
    foreign: dict[str, object] = {
        key: (tuple(account.values.values()), account.account_type, account.active)
        for key, account in portal.accounts.items()
        if account.origin != "rest"
    }
    foreign |= {
        key: (group.name, group.email, tuple(group.members), tuple(group.owners))
        for key, group in portal.groups.items()
        if group.origin != "rest"
    }
    return Picture(
        accounts={
            key: tuple(account.values[name] for name in sorted(account.values))
            for key, account in portal.accounts.items()
            if account.origin == "rest"
        },
        groups={key: (group.name, group.email) for key, group in owned.items()},
        members=frozenset((key, member) for key, group in owned.items() for member in group.members),
        owners=frozenset((key, owner) for key, group in owned.items() for owner in group.owners),
        licences=frozenset(
            (kind, key) for key, holder in sandbox.portal_service.licences.holders.items() for kind in holder.licences
        ),
        privileges=frozenset((given.key, f"{given.place} {given.level}") for given in portal.privileges),
        foreign=foreign,
    )


@dataclass(slots=True)
class Harm:
    """Who lost and who got what nobody meant, by key, over a whole play. ``groups``: what was lost with a group."""

    accounts: set[str] = field(default_factory=set)
    places: set[str] = field(default_factory=set)
    licences: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    gained: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)
    unasked: set[str] = field(default_factory=set)
    """What had to wait until a person looks at it, and did not."""

    def removed(self) -> set[str]:
        """Return everybody, and every group, that lost something."""
        return self.accounts | self.places | self.licences | self.groups

    def everybody(self) -> set[str]:
        """Return all of them."""
        return self.removed() | self.gained | self.passed | self.foreign | self.unasked


def list_losses(before: Picture, now: Picture) -> Iterator[tuple[str, str]]:
    """Yield what was there before and is not now, as (kind, whose): accounts, places, licences, groups."""
    yield from (("accounts", key) for key in before.accounts.keys() - now.accounts.keys())
    yield from (("places", member) for _, member in before.members - now.members)
    yield from (("places", owner) for _, owner in before.owners - now.owners)
    yield from (("licences", key) for _, key in before.licences - now.licences)
    yield from (("groups", key) for key in before.groups.keys() - now.groups.keys())
    yield from (("groups", key) for key, _ in before.privileges - now.privileges)


def list_gains(known: Collection[Picture], now: Picture) -> Iterator[str]:
    """Yield whose place or licence is in none of the known pictures, of accounts that all of them may have."""
    accounts = set().union(*(picture.accounts.keys() for picture in known))
    groups = set().union(*(picture.groups.keys() for picture in known))
    for name in ("members", "owners"):
        had: frozenset[Pair] = frozenset().union(*(getattr(picture, name) for picture in known))
        yield from (who for group, who in getattr(now, name) - had if who in accounts and group in groups)
    held = frozenset().union(*(picture.licences for picture in known))
    yield from (who for _, who in now.licences - held if who in accounts)


def list_given(before: Picture, now: Picture) -> Iterator[str]:
    """Yield who was made, changed or given something since, by key."""
    for name in ("accounts", "groups"):
        was, found = getattr(before, name), getattr(now, name)
        yield from (key for key, values in found.items() if was.get(key) != values)
    for name in ("members", "owners", "licences"):
        yield from (who for _, who in getattr(now, name) - getattr(before, name))
    yield from (key for key, _ in now.privileges - before.privileges)


def find_difference(wanted: Picture, now: Picture, *, strangers: bool = False) -> list[str]:
    """Return where the portal differs from what it should hold, by kind and key; nothing: it is right.

    ``strangers``: accounts and groups beyond the wanted ones may be there, with whatever is theirs.
    """
    found = []
    for name in ("accounts", "groups"):
        ours, theirs = getattr(wanted, name), getattr(now, name)
        keys = ours.keys() if strangers else ours.keys() | theirs.keys()
        found += [f"{name} {key}" for key in sorted(keys) if ours.get(key) != theirs.get(key)]
    mine = wanted.accounts.keys() | wanted.groups.keys() | wanted.foreign.keys()
    for name in ("members", "owners", "licences", "privileges"):
        pairs = sorted(getattr(wanted, name) ^ getattr(now, name))
        found += [f"{name} {one} {other}" for one, other in pairs if not strangers or _concerns(name, one, other, mine)]
    keys = wanted.foreign.keys() | now.foreign.keys()
    return found + [f"foreign {key}" for key in sorted(keys) if wanted.foreign.get(key) != now.foreign.get(key)]


def _concerns(name: str, one: str, other: str, mine: Collection[str]) -> bool:
    """Return whether a difference is about wanted records alone."""
    return (name == "licences" or one in mine) and (name == "privileges" or other in mine)
