"""The chain of run records: an entry is added in the transaction that ends a run. `syncd.store.runs.verify` walks it.

What a run left open may be settled by a later run or a person. How it stood is kept beside it (`settlements`), so that
the hash of the first run can always be found again; what became of it is an entry of its own, added when the next run
ends. What it costs grows with the changes of the run, and with what is open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Text,
    bindparam,
    exists,
    insert,
    literal_column,
    null,
    select,
    type_coerce,
    update,
)

from syncd.model.chain import OPEN_STATUSES, SETTLED_STATUS, Digest, EntryKind, digest_content, hash_entry
from syncd.model.run import HELD_FOR
from syncd.store.db.parameters import among_bound, gather, read_gathered
from syncd.store.db.sql import encode_json, encode_rows
from syncd.store.schema.tables import UtcTime, changes, run_chain, runs, settlements

AT_ONCE = 1000
"""Changes that are read at once."""
_SETTLED_WITHIN = HELD_FOR + timedelta(days=1)
Standing = tuple[str, str, str]
"""How a change stood when its run ended: status, cause and sentence."""


def append_run(connection: Connection, ended: Row[Any]) -> str:
    """Add the entry of a run that has ended, and of what became of earlier ones; return the hash of the chain.

    ``ended``: the run with `CHAINED`, within the transaction that ends it.
    """
    previous = ended.previous or ""
    if ended.unsettled:
        previous = _append_settled(connection, previous)
        connection.execute(_GIVE_UP, {"before": ended.finished_at - _SETTLED_WITHIN})
    digest = digest_run(connection, ended, with_changes=bool(ended.changed), stood={})
    if ended.changed and ended.kind != "plan":  # of what was only looked at nothing becomes anything
        connection.execute(_NOTE_OPEN, {"run": ended.id})
    return append(connection, "run", digest, previous=previous, run_id=ended.id)


def append_ended(connection: Connection, run_id: int) -> str:
    """Add the entry of a run that was just marked as ended."""
    return append_run(connection, connection.execute(SELECT_ENDED, {"run": run_id}).one())


def append(
    connection: Connection, kind: EntryKind, digest: str, *, previous: str, run_id: int | None = None, content: str = ""
) -> str:
    """Add an entry behind the one with the hash ``previous``; return its own."""
    found = hash_entry(previous=previous, kind=kind, run_id=run_id, digest=digest)
    values = {"kind": kind, "run_id": run_id, "content": content, "digest": digest, "previous": previous, "hash": found}
    connection.execute(_ADD, values)
    return found


def append_content(connection: Connection, kind: EntryKind, content: object) -> str:
    """Add an entry that is about nothing but itself; return its hash."""
    text = encode_json(content)
    return append(connection, kind, digest_content(text), previous=load_head(connection), content=text)


def load_head(connection: Connection) -> str:
    """Return the hash of the last entry."""
    return str(connection.scalar(_SELECT_HEAD) or "")


def digest_run(connection: Connection, run: Row[Any], *, with_changes: bool, stood: Mapping[int, Standing]) -> str:
    """Return the digest of a run's record with its changes. ``stood``: those that stood otherwise when it ended."""
    digest = Digest()
    digest.add(encode_rows([_describe_run(run)]))
    if with_changes:
        for rows in _iterate_changes(connection, run.id):
            if stood:
                for row in rows:
                    row[-4:-1] = stood.get(row[0], row[-4:-1])
            digest.add(encode_rows(rows))
    return digest.finish()


def digest_settled(rows: list[Row[Any]]) -> str:
    """Return the digest of what became of changes."""
    digest = Digest()
    digest.add(encode_rows([[row.seq, row.status, row.error_cause, row.error] for row in rows]))
    return digest.finish()


def _describe_run(run: Row[Any]) -> list[object]:
    return [
        run.id, run.kind, run.trigger, run.status, run.started_at.isoformat(),
        run.finished_at.isoformat() if run.finished_at else None, run.counts, run.phases, run.error, run.proof,
    ]  # fmt: skip


def _iterate_changes(connection: Connection, run_id: int) -> Iterator[list[list[Any]]]:
    after = -1
    while rows := read_gathered(connection.scalar(_SELECT_CHANGES, {"run": run_id, "after": after})):
        yield rows
        after = rows[-1][0]


def _append_settled(connection: Connection, previous: str) -> str:
    by_run: dict[int, list[Row[Any]]] = {}
    for row in connection.execute(_SELECT_FRESH):
        by_run.setdefault(row.run_id, []).append(row)
    for run_id, rows in sorted(by_run.items()):
        previous = append(connection, "settled", digest_settled(rows), previous=previous, run_id=run_id)
        connection.execute(_SETTLE, {"run": run_id, "seqs": [row.seq for row in rows], "hash": previous})
    return previous


# ---- statements -----------------------------------------------------------------------------------------------------


def _select_changes() -> Select[Any]:
    few = (
        select(
            changes.c.seq, changes.c.phase, changes.c.action, changes.c.object, changes.c.record_key,
            changes.c.target_key, changes.c.target, changes.c.source_key, changes.c.before, changes.c.after,
            changes.c.cause, changes.c.reason, changes.c.held_since, changes.c.held_seq, changes.c.status,
            changes.c.error_cause, type_coerce(changes.c.error, Text).label("error"), changes.c.finished_at,
        )
        .where(changes.c.run_id == bindparam("run"), changes.c.seq > bindparam("after"))
        .order_by(changes.c.seq)
        .limit(AT_ONCE)
    )  # fmt: skip
    return gather(few)


_LAST = select(run_chain.c.hash).order_by(run_chain.c.seq.desc()).limit(1)
_UNSETTLED: ColumnElement[bool] = settlements.c.entry.is_(null())
RUN = (
    runs.c.id, runs.c.kind, runs.c.trigger, runs.c.status, runs.c.started_at, runs.c.finished_at, runs.c.counts,
    runs.c.phases, type_coerce(runs.c.error, Text).label("error"), runs.c.proof,
)  # fmt: skip
"""The record of a run as it is hashed."""
CHAINED = (
    *RUN,
    _LAST.scalar_subquery().label("previous"),
    exists().where(changes.c.run_id == bindparam("run")).label("changed"),
    exists().where(_UNSETTLED).label("unsettled"),
)
"""What is asked of a run ``:run`` that ends."""
SELECT_ENDED = select(*CHAINED).where(runs.c.id == bindparam("run"))
_SELECT_HEAD = _LAST
_SELECT_CHANGES = _select_changes()
_ADD = insert(run_chain)
_NOTE_OPEN = insert(settlements).from_select(
    ["run_id", "seq", "status", "error_cause", "error"],
    select(
        changes.c.run_id, changes.c.seq, changes.c.status, changes.c.error_cause, type_coerce(changes.c.error, Text)
    ).where(changes.c.run_id == bindparam("run"), changes.c.status.in_(OPEN_STATUSES)),
)
_SETTLED = select(
    settlements.c.run_id,
    settlements.c.seq,
    changes.c.status,
    changes.c.error_cause,
    type_coerce(changes.c.error, Text).label("error"),
).join(changes, (changes.c.run_id == settlements.c.run_id) & (changes.c.seq == settlements.c.seq))
_SELECT_FRESH = _SETTLED.where(
    literal_column("settlements.entry IS NULL"), changes.c.status == SETTLED_STATUS
).order_by(settlements.c.run_id, settlements.c.seq)
SELECT_SETTLED = _SETTLED.where(
    settlements.c.run_id == bindparam("run"), settlements.c.entry == bindparam("entry")
).order_by(settlements.c.seq)
"""What an entry ``:entry`` says became of changes of a run ``:run``."""
_LAST_OLD = (
    select(runs.c.id)
    .where(runs.c.finished_at < bindparam("before", type_=UtcTime()))
    .order_by(runs.c.finished_at.desc())
    .limit(1)
)
_GIVE_UP = (
    update(settlements)
    .where(
        literal_column("settlements.entry IS NULL"),
        settlements.c.status != "started",
        settlements.c.run_id <= _LAST_OLD.scalar_subquery(),
    )
    .values(entry=0)
)
"""Nobody can release any more what was left open so long ago: it stays as it was."""
_SETTLE = (
    update(settlements)
    .where(settlements.c.run_id == bindparam("run"), among_bound(settlements.c.seq, "seqs"))
    .values(entry=select(run_chain.c.seq).where(run_chain.c.hash == bindparam("hash")).scalar_subquery())
)
STOOD = select(settlements.c.seq, settlements.c.status, settlements.c.error_cause, settlements.c.error).where(
    settlements.c.run_id == bindparam("run")
)
"""How the changes of a run ``:run`` stood when it ended that may be settled later."""
