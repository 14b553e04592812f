"""Whose record is whose: conditions on the claims of source objects to records of the portal."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, exists, or_

from syncd.model.kinds import RecordKind
from syncd.store.schema.tables import (
    target_groups,
    target_users,
)


def is_taken(principal: ColumnElement[Any], kind: RecordKind) -> ColumnElement[bool]:
    """Return the condition that a record of a kind cannot have this BPS id: a stranger or the other kind has it."""
    same, other = (target_users, target_groups) if kind == "user" else (target_groups, target_users)
    stranger, different = same.alias("stranger"), other.alias("different")
    return or_(
        exists().where(stranger.c.key == principal, stranger.c.origin.is_(None)),
        exists().where(different.c.key == principal),
    )


def leaver_state(state: str | None, principal: int | None, key: int, blocked: Any) -> Any:
    """Return why nobody wants a record: its owner's state, or that the owner goes by another name now.

    blocked: by a name that a stranger has; the old record is all that its owner has.
    """
    if state == "wanted" and principal != key:
        return "blocked" if blocked else "renamed"
    return state or "unknown"
