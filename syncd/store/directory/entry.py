"""One object as the directory keeps it: how an entry of the source changes it, and who is there again. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Table

from syncd.model.source import Removal, Role, Stream, Value
from syncd.store.db.sql import decode_json
from syncd.store.schema.tables import seen_members, seen_owners, source_groups, source_users

TABLES: dict[Stream, Table] = {"users": source_users, "groups": source_groups}
SEEN: dict[Role, Table] = {"members": seen_members, "owners": seen_owners}

ALIVE = ("active", "parked", "unreadable")
"""The states of what the tenant has. ``parked``: it told only part of it; ``unreadable``: never anything understood."""
GONE = ("soft_deleted", "deleted")
"""The states of what it does not have any more."""

TOLD = "told"
"""How a removal is known: the tenant said so of that very object."""
CONFIRMED = "confirmed"
"""It was missing from a reading, and a direct reading of that very object did not find it either."""


def told_removed(at: datetime | None) -> dict[str, datetime | str | None]:
    """Return the columns that say since when the tenant told that an object is gone; None: it is there."""
    return {"removed_at": at, "removed_as": None if at is None else TOLD}


@dataclass(frozen=True, slots=True)
class DirectoryRow:
    """A directory row as it is compared; ``extra`` is the manager's key of a user, the re-read mark of a group."""

    state: str
    attributes: str
    extra: Any

    def remove(self, reason: Removal) -> DirectoryRow:
        """Return the row after the source has removed the object: soft-deleted first, and never back from deleted."""
        state = "deleted" if "deleted" in (reason, self.state) else "soft_deleted"
        return DirectoryRow(state, self.attributes, False if isinstance(self.extra, bool) else self.extra)


def find_returned(
    changed: Collection[int], fresh: Mapping[int, DirectoryRow], old: Mapping[int, DirectoryRow], *, baseline: bool
) -> list[int]:
    """Return who is there again after a deletion, and outside of a baseline who is new: perhaps deleted before."""
    alive = [key for key in changed if fresh[key].state not in GONE]
    return [key for key in alive if (old[key].state in GONE if key in old else not baseline)]


def merge(kept: DirectoryRow | None, stated: Mapping[str, Value]) -> dict[str, Value]:
    """Return the attributes after an entry: stated ones win, None clears, the others are kept."""
    attributes: dict[str, Value] = decode_json(kept.attributes) if kept else {}
    for name, value in stated.items():
        if value is None or value == []:  # an empty collection is none: delta leaves it out, and lists show it
            attributes.pop(name, None)
        else:
            attributes[name] = value
    return attributes
