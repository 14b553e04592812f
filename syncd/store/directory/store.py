"""The directory and the bookkeeping of full reads, as a pull sees them."""

from __future__ import annotations

from syncd.model.source import Checkpoint, Stream
from syncd.store.db.database import Database
from syncd.store.directory.checkpoints import load_checkpoint
from syncd.store.directory.full_read import Baseline
from syncd.store.directory.lists import ListedObjects
from syncd.store.directory.member_counts import MemberChecks
from syncd.store.directory.members import Members
from syncd.store.directory.one_object import Singles
from syncd.store.directory.purge import Purged


class SourceStore(ListedObjects, Baseline, Members, MemberChecks, Singles, Purged):
    """Everything that a pull reads and writes. One instance per process."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.call = database.call

    def load_checkpoint(self, stream: Stream) -> Checkpoint | None:
        """Return where the stream stands."""
        return load_checkpoint(self._database, stream)
