"""Where each stream stands. A checkpoint is only ever written in the transaction of the page it follows."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from syncd.model.source import STREAMS, Checkpoint, Stream
from syncd.store.db.database import Database
from syncd.store.db.sql import upsert
from syncd.store.schema.tables import checkpoints

_LOAD_CHECKPOINTS = select(checkpoints)


def load_checkpoints(database: Database) -> dict[Stream, Checkpoint]:
    """Return where the streams stand; one that was never pulled is missing."""
    return {
        row.stream: Checkpoint(
            stream=row.stream,
            fingerprint=row.fingerprint,
            delta_link=row.delta_link,
            next_link=row.next_link,
            baseline=row.baseline,
            tracked=row.tracked,
            listing=row.listing,
        )
        for row in database.load_rows(_LOAD_CHECKPOINTS)
    }


def load_checkpoint(database: Database, stream: Stream) -> Checkpoint | None:
    """Return the stream's checkpoint, None when it was never pulled."""
    return load_checkpoints(database).get(stream)


def save_checkpoint(connection: Connection, checkpoint: Checkpoint, *, now: datetime) -> None:
    """Write a checkpoint within the caller's transaction."""
    row = {
        "stream": checkpoint.stream,
        "fingerprint": checkpoint.fingerprint,
        "delta_link": checkpoint.delta_link,
        "next_link": checkpoint.next_link,
        "baseline": checkpoint.baseline,
        "tracked": checkpoint.tracked,
        "listing": checkpoint.listing,
        "updated_at": now,
    }
    upsert(connection, checkpoints, [row])


def has_checkpoints(database: Database) -> bool:
    """Return whether every stream has completed a round once: if not, the next pull is full."""
    stored = load_checkpoints(database).values()
    return {each.stream for each in stored if each.delta_link is not None} >= set(STREAMS)
