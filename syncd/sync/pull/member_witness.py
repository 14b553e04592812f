"""When a member that the readings of a group lack may be dropped: the last witness before a membership goes.

Two readings that lack somebody can both have been cut short, so the tenant's own count of the group's members has a
say: it must not exceed what the readings met. The count comes from an index that lags, includes types of objects that
v1.0's list leaves out (service principals), and may be refused for a group that hides its members. A tenant that has no
such count for any group (a copy, a gateway between) has no say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from syncd.errors import AuthFailed, NotOffered, Rejected, RemoteError
from syncd.model.kinds import RECORD_KINDS
from syncd.model.source import Link, is_person
from syncd.sync.ports.sides import Source

if TYPE_CHECKING:
    from syncd.store.store import Store

Tolerance = Callable[[int], int]
"""By how many members a count may exceed what the readings met."""

NOT_WHOLE = "its list has entries that cannot be understood, each of which may stand for somebody who seems to be gone"


def drop_nobody(links: Sequence[Link]) -> tuple[Link, ...]:
    """Return the links to somebody: an entry that cannot be understood is one to nobody (an empty id)."""
    return tuple(link for link in links if link.member_id)


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
    """What readings of a whole group showed, whom of the stored members they lacked, and the verdict about these.

    ``missing`` names users and groups only: lists leave out some other types, which are of no consequence here.
    """

    links: tuple[Link, ...]
    missing: tuple[str, ...]
    verdict: Verdict

    @property
    def standing(self) -> tuple[Link, ...]:
        """Return who is to count as a member: in doubt also those whom the readings lacked."""
        doubtful = self.missing if self.verdict.doubt else ()
        return (*self.links, *(Link(member, "unknown") for member in doubtful))


def tolerate_none(count: int) -> int:  # noqa: ARG001 - one of several rules
    """Tolerate nothing: a person whom two cut lists lack looks like one whom an index still counts.

    Who was really taken out goes with the next reading, when the index has caught up.
    """
    return 0


async def judge_missing(
    source: Source,
    store: Store,
    group_id: str,
    links: Sequence[Link],
    missing: Mapping[str, bool],
    *,
    tolerate: Tolerance = tolerate_none,
) -> Verdict:
    """Judge whether members that two readings lacked are gone. ``links`` is the later reading.

    ``missing`` are all stored members that were not met, with whether we know them as user or group: of an object of
    another type a list's silence says nothing, so that it does not count against the reading.
    """
    stored, known = await store.memberships.count_members(group_id)
    if len(drop_nobody(links)) < len(links):
        return Verdict(NOT_WHOLE, len(links))
    met = max(len(links), stored - len(missing))
    unlisted = sum(not is_known for is_known in missing.values())
    try:
        counted = await source.fetch_member_count(group_id)
        if counted is None:
            return Verdict("the group vanished while it was read", met)
        if counted <= met + unlisted + tolerate(counted):
            return Verdict("", met, counted)
        # Types that no list shows may be among them: those that matter are counted by themselves.
        counts = await _count_kinds(source, group_id)
    except NotOffered:
        return Verdict("", met)  # who counts no members at all does not contradict two readings that were whole
    except AuthFailed:
        raise
    except RemoteError as error:
        return Verdict(f"the tenant does not count its members ({error.status or error})", met)
    counted = sum(count or 0 for count in counts)
    met = max(sum(link.kind == "group" or is_person(link.kind) for link in links), known - (len(missing) - unlisted))
    if counted <= met + tolerate(counted):
        return Verdict("", met, counted)
    return Verdict(f"the tenant counts {counted} users and groups in it, and the readings met {met}", met, counted)


async def _count_kinds(source: Source, group_id: str) -> list[int | None]:
    """Count the users and the groups among the members. Rejected when only all members together can be counted."""
    try:
        return [await source.fetch_member_count(group_id, kind=kind) for kind in RECORD_KINDS]
    except NotOffered as error:
        raise Rejected(str(error), status=error.status, code=error.code) from error


async def read_members(
    source: Source, store: Store, group_id: str, *, tolerate: Tolerance = tolerate_none
) -> Reading | None:
    """Read the members of a group, and once more where one that is stored is missing; None: there is no such group.

    Stores nothing. Raises Forbidden for a group that may not be read.
    """
    first = await source.fetch_members(group_id)
    if first is None:
        return None
    whole = len(drop_nobody(first)) == len(first)
    shown = {link.member_id: link for link in drop_nobody(first)}
    stored = await store.memberships.load_members(group_id)
    missing = {member: known for member, known in stored.items() if member not in shown}
    if any(missing.values()):
        second = await source.fetch_members(group_id)
        if second is None:
            return None
        whole = len(drop_nobody(second)) == len(second)
        shown |= {link.member_id: link for link in drop_nobody(second)}
        missing = {member: known for member, known in missing.items() if member not in shown}
    links = tuple(shown.values())
    known = tuple(member for member, known in missing.items() if known)
    verdict = Verdict("", len(links))
    if known:
        readings = links if whole else (*links, Link("", "unknown"))
        verdict = await judge_missing(source, store, group_id, readings, missing, tolerate=tolerate)
    return Reading(links, known, verdict)


async def store_members(store: Store, group_id: str, reading: Reading, *, now: datetime) -> tuple[int, int]:
    """Correct the directory by a reading; return how many members came and went. In doubt nobody goes."""
    added = await store.memberships.add_members(group_id, reading.links, now=now)
    if not reading.missing or reading.verdict.doubt:
        return added, 0
    return added, await store.memberships.drop_members(group_id, reading.missing, now=now)
