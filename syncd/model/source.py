"""The source as values: what a reader of Graph hands to the directory. Ids are lower-case text and opaque."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Literal

Stream = Literal["users", "groups"]
STREAMS: tuple[Stream, ...] = ("users", "groups")
ACTIVE: dict[Stream, str] = {"users": "users who are not disabled", "groups": "groups"}
"""What a stream has to show of, so that it is not taken for emptied."""

Role = Literal["members", "owners"]
"""In which relation to a group somebody stands."""

Removal = Literal["changed", "deleted"]
"""``changed``: soft-deleted, can be restored; ``deleted``: gone for good. Both mean: not active."""

KIND = "@odata.type"
"""Under this name a user's attributes tell which subtype of user it is (``agentUser``); absent: none was stated."""
OTHER_KINDS = frozenset(
    {
        "administrativeUnit", "agentIdentity", "agentIdentityBlueprint", "agentIdentityBlueprintPrincipal",
        "application", "contract", "device", "directoryRole", "group", "orgContact", "organization", "servicePrincipal",
    }
)  # fmt: skip
"""Types of directory objects that are no users. A type of any other name among users is a subtype of user (OData 4.0,
"Derived types" and "odata.type": a derived type is stated, the declared one is not)."""

Value = str | int | float | bool | None | list["Value"] | dict[str, "Value"]
"""What a JSON attribute can be."""


@dataclass(frozen=True, slots=True)
class Link:
    """One entry of a group's changes of members or owners: somebody of any type, added or removed."""

    member_id: str
    kind: str
    removed: bool = False


@dataclass(frozen=True, slots=True)
class ManagerSet:
    """The manager was stated; ``manager_id`` None means that there is none any more."""

    manager_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserItem:
    """What one entry of the users stream says. ``attributes`` holds only what was stated (None: cleared)."""

    id: str
    attributes: Mapping[str, Value]
    manager: ManagerSet | None = None
    removed: Removal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupItem:
    """What one entry of the groups stream says. ``links`` (members) and ``owners`` are changes to apply, never full."""

    id: str
    attributes: Mapping[str, Value]
    links: tuple[Link, ...] = ()
    removed: Removal | None = None
    owners: tuple[Link, ...] = ()


Item = UserItem | GroupItem


@dataclass(frozen=True, slots=True)
class BadObject:
    """An entry that could not be read, or several of one ``reason``; ``id`` is empty when they had none.

    What it states for certain all the same: that somebody is ``disabled``, and whose membership (or ownership) ended.
    """

    id: str
    reason: str
    _: KW_ONLY
    count: int = 1
    disabled: bool = False
    ended: tuple[tuple[Role, str], ...] = ()


def is_person(kind: str) -> bool:
    """Return whether a stated type of a member is that of a user, or of a subtype of user."""
    return kind not in OTHER_KINDS and kind not in ("", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a stream. Exactly one of the links is set: ``next_link`` goes on, ``delta_link`` ends the round."""

    items: tuple[Item, ...]
    bad: tuple[BadObject, ...]
    next_link: str | None
    delta_link: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Where a stream stands.

    ``delta_link``: the last completed round. ``next_link``: the page at which an unfinished round goes on; whether that
    round is a full baseline says ``baseline``. ``fingerprint`` names tenant, client, endpoint and selected properties:
    a checkpoint of another fingerprint is dead. ``tracked``: the baseline began on a directory that was not empty, so
    that what it sees is remembered for the sweep. ``listing``: the baseline is read by lists, and ``next_link`` leads
    to what changed since it began; it is not finished, whatever the links say.
    """

    stream: Stream
    fingerprint: str
    delta_link: str | None = None
    next_link: str | None = None
    baseline: bool = False
    tracked: bool = False
    listing: bool = False

    def advance(self, page: Page) -> Checkpoint:
        """Return the checkpoint after a page: within a round the start stays known, at its end it moves on."""
        if page.delta_link is not None:
            return replace(self, next_link=None, delta_link=page.delta_link)
        return replace(self, next_link=page.next_link)
