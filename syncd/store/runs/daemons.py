"""Which daemons are up: each says so again and again, so that a command in another process can tell."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import bindparam, delete, select

from syncd.store.db.part import StorePart
from syncd.store.db.sql import upsert
from syncd.store.schema.tables import daemons

SAID_EVERY = 15.0
"""Seconds between two words of a daemon that it is up."""
_SILENT = timedelta(seconds=90)
"""Who said nothing for so long is gone: killed, or cut off."""
_FORGOTTEN = timedelta(days=1)

DaemonRole = Literal["working", "standby"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSeen:
    """A daemon that is up, and when its schedule has it start the next full and delta run."""

    role: DaemonRole
    host: str
    pid: int
    since: datetime
    next_full: datetime | None = None
    next_delta: datetime | None = None


class Daemons(StorePart):
    """Its methods may be called in any thread."""

    def say_up(self, name: str, seen: DaemonSeen, *, now: datetime) -> None:
        """Say that a daemon is up, and forget those that ended without a word long ago."""
        row = {"name": name, "seen_at": now, **asdict(seen)}
        with self._database.transaction() as connection:
            upsert(connection, daemons, [row])
            connection.execute(_FORGET_SILENT, {"since": now - _FORGOTTEN})

    def say_gone(self, name: str) -> None:
        """Say that a daemon ends."""
        with self._database.transaction() as connection:
            connection.execute(_FORGET, {"of": name})

    def load_up(self, *, now: datetime) -> list[DaemonSeen]:
        """Return the daemons that are up, the working one first."""
        rows = self._database.load_rows(_SELECT_UP, {"since": now - _SILENT})
        found = [
            DaemonSeen(
                role=row.role,
                host=row.host,
                pid=row.pid,
                since=row.since,
                next_full=row.next_full,
                next_delta=row.next_delta,
            )
            for row in rows
        ]
        return sorted(found, key=lambda seen: (seen.role != "working", seen.since))


# ---- statements -----------------------------------------------------------------------------------------------------

_FORGET = delete(daemons).where(daemons.c.name == bindparam("of"))
_FORGET_SILENT = delete(daemons).where(daemons.c.seen_at < bindparam("since"))
_SELECT_UP = select(daemons).where(daemons.c.seen_at > bindparam("since"))
