"""When a member that the readings of a group lack may be dropped: the last witness before a membership goes.

Two readings that lack somebody can both have been cut short, so the tenant's own count of the group's members has a
say: it must not exceed what the readings met. The count comes from an index that lags, includes types of objects that
v1.0's list leaves out (service principals), and may be refused for a group that hides its members.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from syncd.errors import Forbidden
from syncd.model.source import Link
from syncd.sync.caller import Caller
from syncd.sync.ports import Source


class MemberStore(Caller, Protocol):
    """The stored members of single groups."""

    def load_members(self, group_id: str) -> dict[str, bool]:
        """Return stored members that a list would show, with whether we know them as user or group."""
        ...

    def count_members(self, group_id: str) -> tuple[int, int]:
        """Return how many these are, and how many more the tenant is known to count."""
        ...

    def add_members(self, group_id: str, links: Sequence[Link]) -> int:
        """Store members; return how many are new."""
        ...

    def drop_members(self, group_id: str, members: Collection[str]) -> int:
        """Remove memberships."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether members that were not met may be dropped. ``doubt`` says why not; empty: they may.

    ``read`` is how many members were met, ``counted`` what the tenant counts (None: it was not asked).
    """

    doubt: str
    read: int
    counted: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What readings of a whole group showed, whom of the stored members they lacked, and the verdict about these."""

    links: tuple[Link, ...]
    missing: tuple[str, ...]
    verdict: Verdict


def tolerate_members(count: int, *, least: int) -> int:
    """Return by how many members the count may exceed a reading: ``least``, or one in 200 when that is more."""
    return max(least, count // 200)


async def judge_missing(
    source: Source,
    store: MemberStore,
    group_id: str,
    links: Sequence[Link],
    missing: Mapping[str, bool],
    *,
    least: int = 1,
) -> Verdict:
    """Judge whether members that two readings lacked are gone. ``links`` is the later reading.

    ``missing`` are all stored members that were not met, with whether we know them as user or group: of an object of
    another type a list's silence says nothing, so that it does not count against the reading. ``least``: see
    `tolerate_members`.
    """
    stored, unexplained = await store.call(store.count_members, group_id)
    met = max(len(links), stored - len(missing))
    try:
        counted = await source.fetch_member_count(group_id)
    except Forbidden:
        return Verdict("the tenant does not let us count its members", met)
    if counted is None:
        return Verdict("the group vanished while it was read", met)
    unlisted = unexplained + sum(not known for known in missing.values())
    if counted > met + unlisted + tolerate_members(counted, least=least):
        return Verdict(f"the tenant counts {counted} members, and the readings met {met}", met, counted)
    return Verdict("", met, counted)


async def read_members(source: Source, store: MemberStore, group_id: str, *, least: int = 1) -> Reading | None:
    """Read the members of a group, and once more where one that is stored is missing; None: there is no such group.

    Stores nothing. Raises Forbidden for a group that may not be read.
    """
    first = await source.fetch_members(group_id)
    if first is None:
        return None
    shown = {link.member_id: link for link in first}
    stored = await store.call(store.load_members, group_id)
    missing = {member: known for member, known in stored.items() if member not in shown}
    if missing:
        second = await source.fetch_members(group_id)
        if second is None:
            return None
        shown |= {link.member_id: link for link in second}
        missing = {member: known for member, known in missing.items() if member not in shown}
    links = tuple(shown.values())
    verdict = Verdict("", len(links))
    if missing:
        verdict = await judge_missing(source, store, group_id, links, missing, least=least)
    return Reading(links, tuple(missing), verdict)


async def store_members(store: MemberStore, group_id: str, reading: Reading) -> tuple[int, int]:
    """Correct the directory by a reading; return how many members came and went. In doubt nobody goes."""
    added = await store.call(store.add_members, group_id, reading.links)
    if not reading.missing or reading.verdict.doubt:
        return added, 0
    return added, await store.call(store.drop_members, group_id, reading.missing)
