"""The streams that are held as a whole: the tenant shows none of them any more, and nobody has said that it is true."""

from __future__ import annotations

from syncd.model.source import STREAMS, Stream
from syncd.store.db.database import Database
from syncd.store.db.markers import EMPTIED, EMPTY_BELIEVED, load_markers
from syncd.store.runs.runlog import RunLog

_RECENT = 100
"""So many runs are looked through: each that reads the tenant tells it again, and others come in between."""


def load_emptied(database: Database) -> list[tuple[int, Stream]]:
    """Return each such stream behind the newest run that told it: what a person approves is what that run read."""
    markers = load_markers(database, *(name + stream for name in (EMPTIED, EMPTY_BELIEVED) for stream in STREAMS))
    open_ = [stream for stream in STREAMS if EMPTIED + stream in markers and EMPTY_BELIEVED + stream not in markers]
    if not open_:
        return []
    records = RunLog(database).load_runs(_RECENT)
    told = ((run.id, stream) for stream in open_ for run in records if f"{stream}_emptied" in run.counts)
    newest: dict[Stream, int] = {}
    for run_id, stream in told:
        newest.setdefault(stream, run_id)
    return [(newest[stream], stream) for stream in open_ if stream in newest]
