"""The target as values: what the portal holds. Field names are the portal's concepts in our spelling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal, get_args

Status = Literal["Synchronized", "WaitingForSynchronization"]

ACCOUNT_FIELDS: tuple[str, ...] = ("name", "email", "phone", "job_title", "manager")
"""The writable fields of an account. ``manager`` is the BPS id of the manager."""

GROUP_FIELDS: tuple[str, ...] = ("name", "email")
"""The writable fields of a group."""

Fields = Mapping[str, str | None]

ManagerManner = Literal["creation", "synchronized", "second_pass"]
"""How a portal wants the manager of a new account: in the creation; there as well, when it has synchronised the
manager's account; or afterwards."""

MANAGER_MANNERS: Mapping[str, ManagerManner] = {manner: manner for manner in get_args(ManagerManner)}

NO_RIGHTS = "InsufficientAccountPermissions"
"""WEBCON's code of a 403 that is about the rights of the account, not about the scope of the API application."""

NO_SCOPE = "InvalidScope"
"""WEBCON's code of a 403 that is about a scope of the API application, and so about every such request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user record of the portal. Empty and absent values are both None."""

    bps_id: str
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    job_title: str | None = None
    manager: str | None = None
    status: Status = "Synchronized"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalGroup:
    """A group record of the portal."""

    bps_id: str
    name: str | None = None
    email: str | None = None
    status: Status = "Synchronized"


@dataclass(frozen=True, slots=True)
class PortalMember:
    """A member of a portal group; ``type`` is the portal's account type (User, AdGroup, BpsGroup, …)."""

    bps_id: str
    type: str = "User"


@dataclass(frozen=True, slots=True)
class MalformedRecord:
    """A record that could not be understood. ``bps_id`` is empty where it has none that can be read."""

    bps_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """What one reading of a list had to skip: how many records, and the first few of them."""

    count: int = 0
    first: tuple[MalformedRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupDetail:
    """A group with its members and owners."""

    group: PortalGroup
    members: tuple[PortalMember, ...]
    owners: tuple[PortalMember, ...]


class Creation(Enum):
    """How a creation ended."""

    CREATED = "created"
    """The portal confirmed it."""
    SETTLED = "settled"
    """An answer was lost on the way; a read then found the record with the values that were sent."""
    EXISTS = "exists"
    """The portal refused: the BPS id was in use before we asked."""


@dataclass(frozen=True, slots=True)
class MembersResult:
    """What became of a batch of members, by BPS id: done, not ready yet (retry later), refused with the reason."""

    done: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()


def fold(bps_id: str) -> str:
    """Return the form in which BPS ids are compared: without case."""
    return bps_id.casefold()
