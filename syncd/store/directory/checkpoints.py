"""Where each stream stands. A checkpoint is only ever written in the transaction of the page it follows."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from syncd.model.source import STREAMS, Checkpoint, Stream
from syncd.store.db.database import Database, reading
from syncd.store.db.sql import upsert
from syncd.store.schema.tables import checkpoints


def load_checkpoint(database: Database, stream: Stream) -> Checkpoint | None:
    """Return the stream's checkpoint, None when it was never pulled."""
    with reading(database) as connection:
        row = connection.execute(select(checkpoints).where(checkpoints.c.stream == stream)).first()
    if row is None:
        return None
    return Checkpoint(
        stream=stream,
        fingerprint=row.fingerprint,
        delta_link=row.delta_link,
        next_link=row.next_link,
        baseline=row.baseline,
        tracked=row.tracked,
        listing=row.listing,
    )


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
    with reading(database) as connection:
        found = connection.execute(select(checkpoints.c.stream).where(checkpoints.c.delta_link.is_not(None))).all()
    return {row.stream for row in found} >= set(STREAMS)
