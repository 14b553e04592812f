"""Licences as values: who holds which, how many seats there are, and what a request to the portal asks for.

A type is whatever name the portal's own summary gives it. Those that WEBCON's API document of 2024 lists, and their
settings, are known by name; agreements of 2026 know others. Settings are plain texts, so that they fit into a change:
``project_creation`` and ``project_publishing`` ("true", "false") of a designer desk licence, ``processes`` of a single
solution licence: "DATABASE/ID/GUID" for each process, separated by blanks, either of id and guid possibly empty.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

LICENCE_TYPES = ("User", "PowerUser", "DesignerDeskUser", "SingleSolutionUser", "ExternalUser")
"""Those of the API document, in its order."""

_NUMBERS: Mapping[str, int] = {name: -number for number, name in enumerate(LICENCE_TYPES, 1)}

Settings = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Licence:
    """One licence of one person. ``settings`` None: the portal did not tell any."""

    type: str
    settings: Settings | None = None


@dataclass(frozen=True, slots=True)
class LicenceHolder:
    """A person of the portal with all licences; it may be one whose account is deleted."""

    bps_id: str
    licences: tuple[Licence, ...]


@dataclass(frozen=True, slots=True)
class LicenceList:
    """Everybody who holds a licence. ``complete`` False: a part could not be read, so what is missing says nothing."""

    holders: tuple[LicenceHolder, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Seats:
    """The seats of one licence type that the portal offers; ``total`` None: not limited, or not told."""

    type: str
    total: int | None
    assigned: int

    @property
    def used_up(self) -> bool:
        """Return whether none can be assigned any more."""
        return self.total is not None and self.assigned >= self.total


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One licence to assign or to take from a person.

    ``settings``: what to assign it with, or, of one to take, what of it (empty: all of it).
    """

    bps_id: str
    type: str
    settings: Settings = field(default_factory=dict)
    remove: bool = False


Verdict = Literal["done", "pending", "short", "failed"]
"""done: it is as asked for · pending: the portal does not show the account (yet) · short: no free seat · failed."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of a step, with the portal's reason."""

    verdict: Verdict
    reason: str = ""


def number_type(name: str) -> int:
    """Return the number that stands for a licence type where the store keeps the key of a member.

    It is negative, and the same for ever: types outside of the API document get seven bytes of a digest of their name.
    """
    known = _NUMBERS.get(name)
    if known is not None:
        return known
    return -0x100 - int.from_bytes(blake2b(name.encode(), digest_size=7).digest())


def say_unoffered(unknown: Collection[str], offered: Collection[str]) -> str:
    """Return in words that the portal's summary of licences does not name some types, and which it names."""
    return (
        f"the portal offers no licences of type {', '.join(sorted(unknown))} (it offers {', '.join(sorted(offered))})"
    )


# ---- what became of a step -------------------------------------------------------------------------------------------


def is_settled(step: Step, holder: LicenceHolder) -> bool:
    """Return whether a person's licences are as a step asks for, as far as the portal tells."""
    present = next((licence for licence in holder.licences if licence.type == step.type), None)
    if present is None:
        return step.remove
    if present.settings is None:
        return not step.remove
    if step.remove:
        return bool(step.settings) and _lacks(step.settings, present.settings)
    return _contains(present.settings, step.settings)


def _lacks(gone: Settings, there: Settings) -> bool:
    wanted = gone.get("processes") or ""
    return subtract_processes(wanted, there.get("processes") or "").split() == sorted(wanted.split())


def _contains(there: Settings, wanted: Settings) -> bool:
    for name, value in wanted.items():
        if name == "processes":
            if subtract_processes(value or "", there.get(name) or ""):
                return False
        elif there.get(name) != value:
            return False
    return True


# ---- processes of a single solution licence --------------------------------------------------------------------------


def format_process(db_id: int, process_id: int | None, guid: str | None) -> str:
    """Return a process in the form in which settings hold it."""
    return f"{db_id}/{process_id or ''}/{(guid or '').casefold()}"


def join_processes(processes: Iterable[str]) -> str:
    """Return several processes as one setting."""
    return " ".join(sorted(set(processes)))


def split_process(process: str) -> tuple[int, int | None, str | None]:
    """Return database, id and guid of a process."""
    database, number, guid = process.split("/")
    return int(database), int(number) if number else None, guid or None


def is_same_process(one: str, other: str) -> bool:
    """Return whether two descriptions mean one process: same database, and the same id or guid."""
    database, number, guid = split_process(one)
    other_database, other_number, other_guid = split_process(other)
    if database != other_database:
        return False
    return bool((number and number == other_number) or (guid and guid == other_guid))


def subtract_processes(one: str, other: str) -> str:
    """Return those processes of ``one`` that ``other`` does not contain."""
    rest = other.split()
    return join_processes(item for item in one.split() if not any(is_same_process(item, there) for there in rest))
