"""Licences of ours that somebody took by hand: noted, so that ``policy.drift`` decides about them like about members.

Such a note stands in ``target_licences`` with an origin of its own, and is no licence that anybody holds. It goes when
the licence is granted again, when no rule gives it to the person any more, and with the account.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, delete, exists, or_, select, update

from syncd.plan.drift import Drift
from syncd.plan.licences import LICENCE_ROLE
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import decode_json
from syncd.store.schema.tables import (
    changes,
    desired_users,
    scope_members,
    source_objects,
    target_licences,
    target_principals,
    target_users,
)

MOVING = "moving"
TAKEN = "taken"
LET_GO = "let go"
"""Taken, and a person or the policy took that as it is."""

GONE = (TAKEN, LET_GO)
_SHOWN_WITHIN = timedelta(hours=1)
"""So long the portal may take to show what we granted; it speaks of seconds."""


def is_held() -> ColumnElement[bool]:
    """Return the condition that a row is a licence which somebody holds, and no note about one."""
    return or_(target_licences.c.origin.is_(None), target_licences.c.origin.not_in((MOVING, *GONE)))


class TakenLicences(StorePart):
    """Its methods are called in the store's thread, or by commands."""

    def forget_taken_licences(self, found: Collection[tuple[int, str]]) -> None:
        """No rule gives these people these licences any more: nothing is left to remember."""
        if found:
            with self._database.transaction() as connection:
                for key, kind in sorted(found):
                    connection.execute(_FORGET_NOTE, {"holder": key, "of": kind})

    def iterate_taken_licences(self) -> Iterator[list[Drift]]:
        """Yield the licences that somebody took, and that nobody has accepted as taken."""
        rows = self._database.load_rows(_SELECT_TAKEN)
        yield [
            Drift(object="licence", bps_id=row.bps_id, field=row.type, ours=row.type,
            theirs=None, source_key=row.source_key, source_id=row.id, wanted=row.covered,
                  fields=decode_json(row.written) if row.written else {})
            for row in rows
        ]  # fmt: skip

    @in_thread
    def accept_taken_licences(self) -> None:
        """Take it as it is that somebody took these licences, until the source or the rules say something else."""
        with self._database.transaction() as connection:
            connection.execute(_LET_GO_ALL)


def note_taken(connection: Connection, gone: Collection[tuple[int, str]], *, now: datetime) -> None:
    """A complete reading lacks these licences: those of ours that we did not touch ourselves were taken by somebody.

    What we granted so lately that the portal need not show it, or may have revoked ourselves, is only forgotten.
    """
    asked = {"people": {key for key, _ in gone}, "shown_since": now - _SHOWN_WITHIN}
    taken = {(row[0], row[1]) for row in connection.execute(_SELECT_OURS_TAKEN, asked)} & set(gone)
    for key, kind in sorted(taken):
        connection.execute(_NOTE_TAKEN, {"holder": key, "of": kind})
    for key, kind in sorted(set(gone) - taken):
        connection.execute(_FORGET, {"holder": key, "of": kind})


def forget_notes(connection: Connection, keys: Collection[int]) -> None:
    """These accounts were made anew, adopted or deleted: what was noted about their licences is over."""
    if keys and connection.scalar(_HAS_NOTES):
        connection.execute(_FORGET_NOTES, {"keys": keys})


def load_taken(connection: Connection, keys: Collection[int]) -> dict[int, dict[str, bool]]:
    """Return the types that somebody took by hand, each with whether that was accepted."""
    found = dict[int, dict[str, bool]]()
    for key, kind, origin in connection.execute(_SELECT_NOTES, {"keys": keys}) if keys else ():
        found.setdefault(key, {})[kind] = origin == LET_GO
    return found


# ---- statements -----------------------------------------------------------------------------------------------------


def _select_taken() -> Select[Any]:
    t = target_licences
    covered = exists().where(
        desired_users.c.principal_key == t.c.key,
        desired_users.c.state == "wanted",
        scope_members.c.key == desired_users.c.key,
        scope_members.c.role.startswith(LICENCE_ROLE),
    )
    return (
        select(
            t.c.type, t.c.written, target_principals.c.bps_id, target_users.c.source_key, source_objects.c.id,
            covered.label("covered"),
        )
        .join(target_principals, target_principals.c.key == t.c.key)
        .join(target_users, target_users.c.key == t.c.key)
        .outerjoin(source_objects, source_objects.c.key == target_users.c.source_key)
        .where(t.c.origin == TAKEN, target_users.c.origin.is_not(None))
        .order_by(target_principals.c.bps_fold, t.c.type)
    )  # fmt: skip


def _select_ours_taken() -> Select[Any]:
    t = target_licences
    unsettled = or_(
        and_(changes.c.action == "revoke", changes.c.status.in_(("started", "failed"))),
        changes.c.finished_at > bindparam("shown_since"),
    )
    return (
        select(t.c.key, t.c.type)
        .join(target_users, target_users.c.key == t.c.key)
        .where(
            among_bound(t.c.key, "people"),
            t.c.origin == "granted",
            ~exists().where(
                changes.c.record_key == t.c.key,
                changes.c.object == "licence",
                changes.c.target == t.c.type,
                unsettled,
            ),
        )
    )


_ONE = target_licences.c.key == bindparam("holder"), target_licences.c.type == bindparam("of")
_IS_NOTE = target_licences.c.origin.in_(GONE)
_HERE = among_bound(target_licences.c.key, "keys")
_SELECT_TAKEN = _select_taken()
_SELECT_OURS_TAKEN = _select_ours_taken()
_SELECT_NOTES = select(target_licences.c.key, target_licences.c.type, target_licences.c.origin).where(_HERE, _IS_NOTE)
_HAS_NOTES = select(exists().where(_IS_NOTE))
_NOTE_TAKEN = update(target_licences).where(*_ONE).values(origin=TAKEN, settings=None)
_LET_GO_ALL = update(target_licences).where(target_licences.c.origin == TAKEN).values(origin=LET_GO)
_FORGET = delete(target_licences).where(*_ONE)
_FORGET_NOTE = delete(target_licences).where(*_ONE, _IS_NOTE)
_FORGET_NOTES = delete(target_licences).where(_HERE, _IS_NOTE)
