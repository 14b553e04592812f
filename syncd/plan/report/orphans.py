"""What the portal has and the source does not know, by what can be done about it.

============  ======================================================================================================
class         meaning
============  ======================================================================================================
ours          we made or adopted it, and its person or group is gone from the tenant, or goes by another record now
would_match   not ours; one person or group of the tenant without a record has the same address or name
local         not ours: made by hand, or by another system
machine       an account of an application, not of a person
============  ======================================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from syncd.model.kinds import RecordKind
from syncd.model.target import fold

OrphanClass = Literal["ours", "would_match", "local", "machine"]
CLASSES: tuple[OrphanClass, ...] = ("ours", "would_match", "local", "machine")

_APPLICATION = re.compile(r"- Registered App$", re.IGNORECASE)
"""So the portal names the accounts of API applications (reference implementation of its Administration API)."""
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(@.*)?", re.IGNORECASE)
"""The login of an application is its client id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclaimed:
    """A record of the portal that no source object wants under this BPS id."""

    kind: RecordKind
    bps_id: str
    name: str | None
    email: str | None
    ours: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A source object that has no record in the portal. ``login`` is what ``syncd link`` takes for it."""

    login: str
    name: str | None
    addresses: tuple[str, ...] = ()


def classify(record: Unclaimed, candidates: Iterable[Candidate]) -> tuple[OrphanClass, str]:
    """Return the class of a record, and the login of whom it would match: of one only, and surer by address.

    ``candidates`` have an address or the name in common with it.
    """
    if record.ours:
        return "ours", ""
    if record.kind == "user" and is_machine(record.bps_id, record.name):
        return "machine", ""
    mine = {fold(text) for text in (record.bps_id, record.email) if text}
    among = list(candidates)
    by_address = {each.login for each in among if mine & {fold(address) for address in each.addresses}}
    by_name = {each.login for each in among if record.name and each.name and fold(each.name) == fold(record.name)}
    for found in (by_address, by_name):
        if len(found) == 1:
            return "would_match", found.pop()
        if found:
            break
    return "local", ""


def is_machine(bps_id: str, name: str | None) -> bool:
    """Return whether an account is an application's, as far as its id and its name tell."""
    return bool(_APPLICATION.search(name or "") or _GUID.fullmatch(bps_id))


def group_by_text(candidates: Iterable[Candidate]) -> Mapping[str, list[Candidate]]:
    """Return candidates by each folded address and name."""
    found: dict[str, list[Candidate]] = {}
    for each in candidates:
        for text in {fold(text) for text in (*each.addresses, each.name or "") if text}:
            found.setdefault(text, []).append(each)
    return found
