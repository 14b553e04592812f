"""A privilege of the own record under another identity: what was known by a number has its guid now.

It keeps its number in plans. Where both identities were given, they were one thing: what is there by our doing stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from syncd.model.privilege import Privilege
from syncd.plan.privileges import OURS
from syncd.store.db.sql import encode_json, upsert
from syncd.store.schema.tables import privilege_targets, privileges


def respell(connection: Connection, old: Privilege, new: Privilege) -> None:
    """Let ``new`` be what ``old`` was, within a transaction."""
    key, known = (connection.scalar(_SELECT_KEY, {"named": each.token}) for each in (old, new))
    if key is None:
        return
    if known is None:
        values = {"token": new.token, "place": new.place.token, "fields": encode_json(new.values())}
        connection.execute(_UPDATE_TARGET, {"row_key": key, **values})
        return
    both = (
        [dict(row) for row in connection.execute(_SELECT_ROWS, {"target": each}).mappings()] for each in (key, known)
    )
    mine, theirs = ({row["group_key"]: row for row in rows} for rows in both)
    for group, row in mine.items():
        merged = _merge(row, theirs[group]) if group in theirs else row
        upsert(connection, privileges, [merged | {"target_key": known}])
    connection.execute(_FORGET_ROWS, {"target": key})


def _merge(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of one thing that was known by two names.

    What was there when the second one was given, or stood in its way, was the first one.
    """
    both = sorted((one, other), key=lambda row: row["written_at"])
    best = next((row for state in ("granted", *OURS) for row in both if row["state"] == state), both[0])
    return {**best, "shown": one["shown"] or other["shown"]}


_SELECT_KEY = select(privilege_targets.c.key).where(privilege_targets.c.token == bindparam("named"))
_UPDATE_TARGET = update(privilege_targets).where(privilege_targets.c.key == bindparam("row_key"))
_SELECT_ROWS = select(privileges).where(privileges.c.target_key == bindparam("target"))
_FORGET_ROWS = delete(privileges).where(privileges.c.target_key == bindparam("target"))
