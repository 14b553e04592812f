"""What the use cases need from our own store, by use. ``call`` runs a method in the store's thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import ParamSpec, Protocol, TypeVar

from syncd.model.source import Checkpoint, GroupItem, Link, Page, Stream, UserItem

P = ParamSpec("P")
T = TypeVar("T")


class Caller(Protocol):
    """Runs the store's blocking methods off the event loop, one at a time."""

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run and wait."""
        ...


class PageCounted(Protocol):
    """What storing a page changed."""

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

    def begin_baseline(self, stream: Stream, fingerprint: str, *, now: datetime) -> Checkpoint:
        """Start a full read."""
        ...

    def store_page(self, page: Page, checkpoint: Checkpoint, *, now: datetime) -> PageCounted:
        """Apply a page and its checkpoint in one transaction."""
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

    def replace_members(self, group_id: str, links: Sequence[Link]) -> int:
        """Make the members of a group those of a direct read."""
        ...

    def mark_gone(self, stream: Stream, ids: Sequence[str], *, now: datetime) -> int:
        """Remember objects as deleted."""
        ...

    def count_seen(self, checkpoint: Checkpoint) -> int:
        """Return how many existing objects the full read met."""
        ...

    def load_unseen(self, checkpoint: Checkpoint) -> list[str]:
        """Return stored objects that the full read did not meet."""
        ...

    def load_groups_with_unseen_members(self, checkpoint: Checkpoint) -> list[str]:
        """Return groups with stored members that the full read did not meet."""
        ...

    def drop_unseen_members(self, group_id: str, witnessed: Sequence[str]) -> int:
        """Remove members that neither read contains."""
        ...

    def finish_baseline(self, checkpoint: Checkpoint, *, now: datetime) -> None:
        """Close a full read."""
        ...
