"""The directory and the bookkeeping of full reads, as a pull sees them."""

from __future__ import annotations

from syncd.model.source import Checkpoint, Stream
from syncd.store.baseline import Baseline
from syncd.store.checkpoints import load_checkpoint
from syncd.store.db.database import Database
from syncd.store.listed import ListedObjects
from syncd.store.member_checks import MemberChecks
from syncd.store.members import Members
from syncd.store.purged import Purged
from syncd.store.singles import Singles


class SourceStore(ListedObjects, Baseline, Members, MemberChecks, Singles, Purged):
    """Everything that a pull reads and writes. One instance per process."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.call = database.call

    def load_checkpoint(self, stream: Stream) -> Checkpoint | None:
        """Return where the stream stands."""
        return load_checkpoint(self._database, stream)
