"""Sessions of the console, and sign-ins that were begun: each known by the hash of a secret that only a browser has."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import bindparam, delete, func, insert, or_, select, update

from syncd.store.db.part import StorePart
from syncd.store.schema.tables import console_sessions, console_sign_ins

ConsoleRole = Literal["viewer", "approver"]

IDLE = timedelta(minutes=30)
"""A session ends when nothing was asked for so long."""
ABSOLUTE = timedelta(hours=8)
"""A session ends so long after its beginning, whatever is asked: the roles of a person are looked up at sign-in."""
BEGUN = timedelta(minutes=10)
"""So long a sign-in may take."""
_SEEN_EVERY = timedelta(minutes=1)
_SIGN_INS_AT_MOST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSession:
    """Who is signed in. ``person_id``: the object id in the tenant; ``login``: the name to show and to record."""

    person_id: str
    login: str
    role: ConsoleRole
    created_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class SignIn:
    """A sign-in that was begun; ``flow`` is what its end needs."""

    flow: str


class ConsoleSessions(StorePart):
    """Its methods may be called in any thread."""

    def open(self, secret: str, session: ConsoleSession) -> None:
        """Write a new session, and forget those that are over."""
        row = {
            "id_hash": _hash(secret),
            "person_id": session.person_id,
            "login": session.login,
            "role": session.role,
            "created_at": session.created_at,
            "seen_at": session.seen_at,
        }
        now = session.created_at
        with self._database.transaction() as connection:
            connection.execute(_FORGET_OLD, {"idle": now - IDLE, "absolute": now - ABSOLUTE})
            connection.execute(insert(console_sessions).values(**row))

    def find(self, secret: str, *, now: datetime) -> ConsoleSession | None:
        """Return the session of a browser, and note that it was used; None when there is none, or it is over."""
        own = _hash(secret)
        row = self._database.load_row(_SELECT, {"own": own})
        if row is None or not now - IDLE < row.seen_at or not now - ABSOLUTE < row.created_at:
            return None
        if now - row.seen_at > _SEEN_EVERY:
            with self._database.transaction() as connection:
                connection.execute(_NOTE_SEEN, {"own": own, "now": now})
        return ConsoleSession(
            person_id=row.person_id, login=row.login, role=row.role, created_at=row.created_at, seen_at=now
        )

    def close(self, secret: str) -> None:
        """End a session."""
        with self._database.transaction() as connection:
            connection.execute(_FORGET, {"own": _hash(secret)})

    # ---- sign-ins ---------------------------------------------------------------------------------------------------

    def begin_sign_in(self, state: str, browser: str, flow: str, *, now: datetime) -> bool:
        """Remember what was begun, for one end in the same browser; False when too many have been begun."""
        with self._database.transaction() as connection:
            connection.execute(_FORGET_BEGUN, {"since": now - BEGUN})
            if (connection.scalar(_COUNT_BEGUN) or 0) >= _SIGN_INS_AT_MOST:
                return False
            row = {"state_hash": _hash(state), "browser_hash": _hash(browser), "flow": flow, "begun_at": now}
            connection.execute(insert(console_sign_ins).values(**row))
        return True

    def take_sign_in(self, state: str, browser: str, *, now: datetime) -> SignIn | None:
        """Return what was begun under that state in that browser, once; None for anything else.

        A state that comes from another browser is used up as well: somebody has got hold of it.
        """
        with self._database.transaction() as connection:
            row = connection.execute(_SELECT_BEGUN, {"state": _hash(state)}).first()
            if row is None:
                return None
            connection.execute(_TAKE, {"state": _hash(state)})
        if row.browser_hash != _hash(browser) or not now - BEGUN < row.begun_at:
            return None
        return SignIn(row.flow)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


# ---- statements -----------------------------------------------------------------------------------------------------

_OWN = console_sessions.c.id_hash == bindparam("own")
_SELECT = select(console_sessions).where(_OWN)
_NOTE_SEEN = update(console_sessions).where(_OWN).values(seen_at=bindparam("now"))
_FORGET = delete(console_sessions).where(_OWN)
_FORGET_OLD = delete(console_sessions).where(
    or_(console_sessions.c.seen_at <= bindparam("idle"), console_sessions.c.created_at <= bindparam("absolute"))
)
_STATE = console_sign_ins.c.state_hash == bindparam("state")
_SELECT_BEGUN = select(console_sign_ins).where(_STATE)
_TAKE = delete(console_sign_ins).where(_STATE)
_FORGET_BEGUN = delete(console_sign_ins).where(console_sign_ins.c.begun_at <= bindparam("since"))
_COUNT_BEGUN = select(func.count()).select_from(console_sign_ins)
