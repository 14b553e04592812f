"""The directory as a pull writes it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from syncd.model.source import Checkpoint, GroupItem, Link, Page, Role, Stream, UserItem
from syncd.sync.ports.caller import Caller


class PageCounted(Protocol):
    """What storing pages changed."""

    read: int
    added: int
    changed: int
    removed: int
    links: int


class PullStore(Caller, Protocol):
    """The directory as a pull writes it."""

    def load_checkpoint(self, stream: Stream) -> Checkpoint | None:
        """Return where the stream stands."""
        ...

    def begin_baseline(self, stream: Stream, fingerprint: str, *, now: datetime, owners: bool = False) -> Checkpoint:
        """Start a full read; ``owners``: it tells the owners of groups."""
        ...

    def store_pages(self, pages: Sequence[Page], checkpoint: Checkpoint, *, now: datetime) -> PageCounted:
        """Apply consecutive pages and the checkpoint after the last of them in one transaction."""
        ...

    def load_parked(self) -> list[str]:
        """Return users known only in part."""
        ...

    def load_parked_groups(self) -> list[str]:
        """Return groups known only in part."""
        ...

    def load_rereads(self) -> list[str]:
        """Return groups whose members must be read directly."""
        ...

    def store_object(self, item: UserItem | GroupItem, *, now: datetime) -> PageCounted:
        """Apply one object that was read directly."""
        ...

    def replace_members(self, group_id: str, links: Sequence[Link], *, role: Role = "members") -> int:
        """Make the members (or owners) of a group those of a direct read."""
        ...

    def keep_members(self, group_id: str) -> None:
        """Leave the members of a group as they are stored: they cannot be read."""
        ...

    def mark_gone(self, stream: Stream, ids: Sequence[str], *, now: datetime) -> int:
        """Remember objects as deleted."""
        ...

    def purge(self, stream: Stream, ids: Sequence[str]) -> int:
        """Remember deleted objects as deleted for good."""
        ...

    def load_expired(self, stream: Stream, *, before: datetime) -> list[str]:
        """Return what was found deleted so long ago."""
        ...

    def count_seen(self, checkpoint: Checkpoint) -> int:
        """Return how many existing objects the full read met."""
        ...

    def load_unseen(self, checkpoint: Checkpoint) -> list[str]:
        """Return stored objects that the full read did not meet."""
        ...

    def load_groups_with_unseen_members(self, checkpoint: Checkpoint, *, role: Role = "members") -> list[str]:
        """Return groups with stored members (or owners) that the full read did not meet."""
        ...

    def drop_unseen_members(self, group_id: str, witnessed: Sequence[str], *, role: Role = "members") -> int:
        """Remove members (or owners) that neither read contains."""
        ...

    def is_empty_believed(self, stream: Stream) -> bool:
        """Return, once, whether a person said that this stream is truly empty."""
        ...

    def note_emptied(self, stream: Stream, *, emptied: bool) -> None:
        """Remember that the stream read empty although objects are stored, or that it does not any more."""
        ...

    def load_emptied(self) -> list[Stream]:
        """Return the streams that read empty and have shown nothing since."""
        ...

    def load_unproven(self) -> dict[Stream, str]:
        """Return the streams whose last full read had no proof, with the reason."""
        ...

    def finish_baseline(self, checkpoint: Checkpoint, *, unproven: str, now: datetime) -> None:
        """Close a full read."""
        ...
