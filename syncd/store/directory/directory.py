"""The stored copy of the tenant, put together of its parts."""

from __future__ import annotations

from syncd.model.source import Checkpoint, Stream
from syncd.store.db.part import in_thread
from syncd.store.directory.checkpoints import has_checkpoints, load_checkpoints
from syncd.store.directory.contradictions import Contradictions
from syncd.store.directory.direct_reads import DirectReads
from syncd.store.directory.lists import ListedObjects
from syncd.store.directory.member_counts import MemberChecks
from syncd.store.directory.members import Members
from syncd.store.directory.purge import Purged
from syncd.store.directory.selected import SelectedAttributes
from syncd.store.directory.tenant import TenantBinding


class Directory(ListedObjects, DirectReads, Purged, Contradictions, TenantBinding, SelectedAttributes):
    """The stored copy of the tenant."""

    @in_thread
    def load_checkpoints(self) -> dict[Stream, Checkpoint]:
        """Return where the streams stand; one that was never pulled is missing."""
        return load_checkpoints(self._database)

    @in_thread
    def has_checkpoints(self) -> bool:
        """Return whether every stream has completed a round once."""
        return has_checkpoints(self._database)


class Memberships(Members, MemberChecks):
    """The members of single groups."""
