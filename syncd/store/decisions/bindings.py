"""Records of the portal that somebody bound to a person or group by hand, and records that somebody let go.

Both are decisions of a person about single records: they are written at once, in one transaction, while no run goes on,
and nothing is sent to the portal for them.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, text, update

from syncd.model.history import Turn
from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.store.db.markers import FULL_PUSH_DUE, save_marker
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart
from syncd.store.db.sql import encode_json
from syncd.store.inventory.drift_notes import forget_links_of, forget_vanished
from syncd.store.inventory.history import TABLES, note_records
from syncd.store.schema.tables import (
    bindings,
    failures,
    rejections,
    runs,
    substitutions,
    target_licences,
    target_principals,
)


class Bindings(StorePart):
    """Its methods are called in the store's thread, or by commands."""

    def load_bindings(self) -> dict[int, str]:
        """Return the BPS id that was bound to each source object by hand."""
        return {row[0]: row[1] for row in self._database.load_rows(_SELECT_BINDINGS)}

    def find_records(self, folded: str) -> list[tuple[RecordKind, Any]]:
        """Return the portal's records of a BPS id: none, one, or one of each kind."""
        found: list[tuple[RecordKind, Any]] = []
        for kind in RECORD_KINDS:
            row = self._database.load_row(_SELECT_RECORD[kind], {"folded": folded})
            if row is not None:
                found.append((kind, row))
        return found

    def load_owned(self, kind: RecordKind, source: int) -> list[str]:
        """Return the BPS ids of the records that we own for a source object."""
        return self._database.load_values(_SELECT_OWNED[kind], {"source": source})

    def bind(self, kind: RecordKind, *, record: int, source: int, by: str, now: datetime) -> int | None:
        """Make a record ours for a source object, whatever the mapping says; its values are written by the next run.

        Return the run that goes on instead, in the middle of which nobody may decide; None when it is done.
        """
        with self._database.transaction() as connection:
            if (running := _find_running(connection)) is not None:
                return running
            connection.execute(_UNBIND, {"records": [record]})
            connection.execute(_UNBIND_SOURCE, {"source": source})
            values = {"source_key": source, "record_key": record, "bound_by": by, "bound_at": now}
            connection.execute(insert(bindings).values(**values))
            owned = {"origin": "adopted", "source_key": source, "written": encode_json({}), "accepted": None}
            connection.execute(_UPDATE[kind].values(leaving_at=None, leaving_as=None, **owned), {"records": [record]})
            note_records(connection, kind, [record], Turn.BOUND.value, now=now)
            _forget_decisions(connection, [record])
        return None

    def release(self, kind: RecordKind, records: Collection[int], *, now: datetime) -> int | None:
        """Forget that records are ours; nothing of them is touched in the portal. Return as `bind` does."""
        with self._database.transaction() as connection:
            if (running := _find_running(connection)) is not None:
                return running
            given_up = {"origin": None, "source_key": None, "written": None, "accepted": None}
            connection.execute(
                _UPDATE[kind].values(leaving_at=None, leaving_as=None, synced_at=None, **given_up),
                {"records": records},
            )
            connection.execute(_UNBIND, {"records": records})
            if kind == "user":
                for statement in _LEAVE_TO_OTHERS:
                    connection.execute(statement, {"records": records})
            forget_links_of(connection, kind, list(records))
            forget_vanished(connection, records)
            note_records(connection, kind, records, Turn.RELEASED.value, now=now)
            _forget_decisions(connection, records)
        return None


def _find_running(connection: Connection) -> int | None:
    """Return the run that goes on, and let none begin before the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE runs IN SHARE ROW EXCLUSIVE MODE"))
    found: int | None = connection.scalar(_SELECT_RUNNING)
    return found


def _forget_decisions(connection: Connection, records: Collection[int]) -> None:
    """What failed or was rejected was about a record of another's; the next run looks at everybody."""
    for statement in _FORGET:
        connection.execute(statement, {"records": records})
    save_marker(connection, FULL_PUSH_DUE, "yes")


# ---- statements -----------------------------------------------------------------------------------------------------

_SELECT_BINDINGS = select(bindings.c.source_key, target_principals.c.bps_id).join(
    target_principals, target_principals.c.key == bindings.c.record_key
)
_SELECT_RECORD = {
    kind: select(table.c.key, table.c.origin, table.c.source_key, table.c.name, target_principals.c.bps_id)
    .join(target_principals, target_principals.c.key == table.c.key)
    .where(target_principals.c.bps_fold == bindparam("folded"))
    for kind, table in TABLES.items()
}
_SELECT_OWNED = {
    kind: select(target_principals.c.bps_id)
    .join(table, table.c.key == target_principals.c.key)
    .where(table.c.source_key == bindparam("source"), table.c.origin.is_not(None))
    .order_by(target_principals.c.bps_fold)
    for kind, table in TABLES.items()
}
_UPDATE = {kind: update(table).where(among_bound(table.c.key, "records")) for kind, table in TABLES.items()}
_UNBIND = delete(bindings).where(among_bound(bindings.c.record_key, "records"))
_UNBIND_SOURCE = delete(bindings).where(bindings.c.source_key == bindparam("source"))
_LICENCES = among_bound(target_licences.c.key, "records"), target_licences.c.origin.is_not(None)
_LEAVE_TO_OTHERS = (
    update(target_licences).where(*_LICENCES, target_licences.c.origin == "granted").values(origin=None, written=None),
    delete(target_licences).where(*_LICENCES),  # what is left are notes about licences that nobody holds
    delete(substitutions).where(among_bound(substitutions.c.original_key, "records")),
)
_FORGET = (
    delete(failures).where(among_bound(failures.c.record_key, "records")),
    delete(rejections).where(among_bound(rejections.c.record_key, "records")),
)
_SELECT_RUNNING = select(runs.c.id).where(runs.c.status == "running").order_by(runs.c.id.desc()).limit(1)
