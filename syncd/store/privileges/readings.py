"""What a reading of a place says about the own record of privileges.

A reading names the group, not the privilege. Of several of a group at one place it shows none by itself, and what
somebody took stays taken, whatever else the group has there. What we sent without learning how it ended may be what the
reading shows, or somebody gave that since: nobody can tell. What was shown once and is not any more was taken by
somebody; so was what should be shown by now, where readings name groups at all. What nobody knows to have been there is
forgotten when the group is not named any more, and so is what went with its group; what was sent without learning how
it ended not within the hour, for it may take effect late, unless a reading has named the group meanwhile. Neither is
what the portal refused to take (409): its readings may be behind.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from syncd.model.privilege import Holders, Place
from syncd.plan.privileges import GONE, OURS
from syncd.store.db.markers import PRIVILEGES_TELLING, save_marker
from syncd.store.db.sql import insert_missing, upsert
from syncd.store.inventory.bps_ids import intern_bps_ids
from syncd.store.privileges import statements as ask
from syncd.store.schema.tables import privilege_holders, privilege_places

SHOWN_WITHIN = timedelta(hours=1)
"""So long the portal may take to do what we sent, and to show it; it speaks of seconds."""


def take_over(connection: Connection, place: Place, found: Holders, *, now: datetime, only: int | None = None) -> None:
    """Take over who has something at a place, within a transaction.

    ``only``: it says something about this group alone, for what is being sent for others may not be there yet.
    """
    upsert(connection, privilege_places, [{"place": place.token, "state": "read", "said": ""}])
    keys = set(intern_bps_ids(connection, found.bps_ids, spelling=True).values())
    if keys and connection.scalar(ask.NAMES_A_GROUP, {"keys": keys}):
        save_marker(connection, PRIVILEGES_TELLING, "yes")
    telling = bool(connection.scalar(ask.NAMES_GROUPS))
    rows = connection.execute(ask.SELECT_OWN_AT, {"of": place.token}).all()
    rows = [row for row in rows if only in (None, row.group_key)]
    there = (
        set(connection.scalars(ask.SELECT_GROUPS_THERE, {"keys": {row.group_key for row in rows}})) if rows else set()
    )
    for row in rows:
        one = {"group": row.group_key, "target": row.target_key}
        if row.group_key in keys:
            if row.state not in OURS:
                continue
            others = [each for each in rows if each.group_key == row.group_key and each is not row]
            doubtful = row.state == "sent" and not any(is_ours(each) for each in others)
            seen = row.shown or not any(each.state not in GONE for each in others)
            connection.execute(ask.UPDATE, {**one, "beside": row.beside or doubtful, "shown": seen})
            continue
        if not found.complete:
            continue
        late = row.written_at < now - SHOWN_WITHIN
        if row.group_key not in there or (telling and _is_unproven(row, late=late)):
            connection.execute(ask.FORGET, one)
        elif row.state in ("granted", "unsure") and (row.shown or (telling and late)):
            connection.execute(ask.UPDATE, {**one, "state": "taken", "beside": False, "shown": False})
    if found.complete:
        connection.execute(ask.FORGET_HOLDERS, {"of": place.token})
    insert_missing(connection, privilege_holders, [{"place": place.token, "key": key} for key in sorted(keys)])


def is_ours(row: Any) -> bool:
    """Return whether a row is of something that was given by us, and by nobody else as far as anybody can know."""
    return bool(row.state == "granted" and not row.beside)


def _is_unproven(row: Any, *, late: bool) -> bool:
    """Return whether nobody can say that it ever was there, or that it was by us; ``late``: and it comes no more."""
    if row.state in ("sent", "left"):
        return late or bool(row.shown)  # beside is also what was there before it was sent
    return bool(row.state == "unsure" and (row.beside or not row.shown))
