"""Read the portal into the inventory: all users and groups, and the members and owners of the groups that matter."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from syncd.errors import UNCLEAR, Interrupted, ProtocolError
from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.model.run import Subject
from syncd.model.target import GroupDetail, Malformed, MalformedRecord
from syncd.sync.ports.progress import Progress
from syncd.sync.ports.sides import Portal
from syncd.tasks import task_group

if TYPE_CHECKING:
    from syncd.store.store import Store


_GROUPS_AT_ONCE = 100
_MEMBERS_AT_ONCE = 20_000
_SINGLY = 200
"""So many accounts are read one by one; for more, the pages of the list are fewer requests."""
_SILENT = 3
"""So many readings in a row without an answer, and the portal is not asked about what is in doubt any more."""
_MALFORMED_GROUPS = 20
"""So many groups may be unreadable; more, and it is the portal that is wrong, not a record."""


async def read_records(portal: Portal, store: Store, progress: Progress, *, now: datetime) -> dict[str, int]:
    """Read the lists of users and groups; one of ours that is missing is read singly before it is gone.

    A record that the portal shows malformed is there all the same: it stays as it was known. It is logged, and counted
    in what is returned.
    """
    await store.inventory.begin_reading()
    spelled = Counter[str]()
    async for accounts in portal.fetch_accounts():
        spelled += await store.inventory.store_accounts(accounts)
        progress("portal users read", len(accounts))
    async for groups in portal.fetch_groups():
        spelled += await store.inventory.store_portal_groups(groups)
        progress("portal groups read", len(groups))
    counts = {f"portal_{kind}s_malformed": _tell_malformed(kind, portal.find_malformed(kind)) for kind in RECORD_KINDS}
    if spelled:
        log = structlog.get_logger("syncd.portal")
        log.warning("portal.spelling", fields=dict(spelled), count=spelled.total())
    gone: list[str] = []
    for bps_id in await store.inventory.load_missing("user", now=now):
        try:
            account = await portal.fetch_account(bps_id)
        except ProtocolError as error:
            _tell("user", MalformedRecord(bps_id, str(error)))
            continue
        if account is None:
            gone.append(bps_id)
        else:
            await store.inventory.store_accounts([account])
    for bps_id in await store.inventory.load_missing("group", now=now):
        try:
            detail = await portal.fetch_group(bps_id)
        except ProtocolError as error:
            _tell("group", MalformedRecord(bps_id, str(error)))
            continue
        if detail is None:
            gone.append(bps_id)
        else:
            await store.inventory.store_portal_groups([detail.group])
    await store.inventory.forget_unseen(gone, now=now)
    return {name: count for name, count in counts.items() if count}


def _tell_malformed(kind: RecordKind, malformed: Malformed) -> int:
    for record in malformed.first:
        _tell(kind, record)
    if malformed.count > len(malformed.first):
        log = structlog.get_logger("syncd.portal")
        log.warning("records.malformed", object=kind, count=malformed.count, logged=len(malformed.first))
    return malformed.count


def _tell(kind: RecordKind, record: MalformedRecord) -> None:
    """Log a record that could not be understood: a group by its BPS id, a person by it at the level debug only."""
    log = structlog.get_logger("syncd.portal")
    named = {"bps_id": record.bps_id} if kind == "group" else {}
    log.warning("record.malformed", object=kind, reason=record.reason, **named)
    if kind == "user":
        log.debug("record.malformed", object=kind, bps_id=record.bps_id)


async def read_members(
    portal: Portal,
    store: Store,
    progress: Progress,
    *,
    now: datetime,
    concurrency: int,
    stopping: Callable[[], bool],
    protect: frozenset[str],
) -> int:
    """Read the members of our groups, of those that a source group wants, and of those on the protect list.

    Call it after the rules have decided. A group that the portal shows malformed keeps the members that are known; too
    many of them end the reading. Returns how many were.
    """
    groups = await store.inventory.load_groups_to_detail(protect)
    malformed = await read_groups(portal, store, progress, groups, now=now, concurrency=concurrency, stopping=stopping)
    await store.inventory.finish_reading()
    return len(malformed)


async def read_concerned(
    portal: Portal,
    store: Store,
    *,
    progress: Progress,
    users: Sequence[str],
    groups: Sequence[str],
    now: datetime,
    concurrency: int,
    stopping: Callable[[], bool],
) -> None:
    """Read some records anew, groups with their members: accounts one by one when they are few, else the whole list.

    ProtocolError when a group among them cannot be read: whoever asks wants to know how these very records are.
    """
    if len(users) > _SINGLY:
        await read_records(portal, store, progress, now=now)
    else:
        for bps_id in users:
            if stopping():
                raise Interrupted("asked to stop while reading the portal")
            account = await portal.fetch_account(bps_id)
            await store.inventory.store_account(bps_id, account, now=now)
            progress("portal users read", 1)
    malformed = await read_groups(portal, store, progress, groups, now=now, concurrency=concurrency, stopping=stopping)
    if malformed:
        raise ProtocolError(f"{len(malformed)} of the {len(groups)} groups concerned cannot be read")


async def read_subject(portal: Portal, store: Store, subject: Subject, *, now: datetime) -> list[str]:
    """Read anew and return the portal's records that the one object wants or has, so that a plan meets their truth."""
    await store.one_object.touch_records_of_touched()
    records = await store.one_object.load_records_of(subject)
    for bps_id in records:
        if subject.kind == "user":
            await store.inventory.store_account(bps_id, await portal.fetch_account(bps_id), now=now)
        else:
            await store.inventory.store_group_detail(bps_id, await portal.fetch_group(bps_id), now=now)
    return records


async def read_doubtful(portal: Portal, store: Store, *, now: datetime) -> bool:
    """Read anew what was sent without learning how it ended, so that a plan meets its truth.

    So are the groups, when they are few, whose places a run that was killed may have changed without writing it down:
    what it did is then planned, and held, no more. What cannot be read stays in doubt. Returns whether there was any.
    """
    if not await store.outcomes.has_doubts():
        return False
    silent = 0
    records = await store.outcomes.load_doubtful_records()
    read = {bps_id for kind, bps_id, _ in records if kind == "group"}
    groups = [bps_id for bps_id in await store.outcomes.load_doubtful_groups(most=_SINGLY) if bps_id not in read]
    for kind, bps_id, key in [*records, *(("members", bps_id, 0) for bps_id in groups)]:
        if silent >= _SILENT:
            break
        try:
            if kind == "user":
                await store.inventory.store_account(bps_id, await portal.fetch_account(bps_id), now=now)
            elif kind in ("group", "members"):
                await store.inventory.store_group_detail(bps_id, await portal.fetch_group(bps_id), now=now)
            elif (holder := await portal.fetch_holder(bps_id)) is not None:
                await store.licences.store_holders([holder], now=now)
        except UNCLEAR:
            silent += 1
            continue
        silent = 0
        if kind in RECORD_KINDS:
            await store.outcomes.claim_started(now=now, only=key)
    return True


async def read_groups(
    portal: Portal,
    store: Store,
    progress: Progress,
    groups: Sequence[str],
    *,
    now: datetime,
    concurrency: int,
    stopping: Callable[[], bool],
) -> list[str]:
    """Read these groups with their members, a few at a time; return those that the portal shows malformed."""
    malformed: list[str] = []
    waiting = asyncio.Queue[str]()
    for bps_id in groups:
        waiting.put_nowait(bps_id)

    read: list[tuple[str, GroupDetail | None]] = []

    async def store_read() -> None:
        batch, read[:] = list(read), []
        if batch:
            await store.inventory.store_group_details(batch, now=now)
            progress("portal group members read", len(batch))

    async def work() -> None:
        while not waiting.empty():
            if stopping():
                raise Interrupted("asked to stop while reading the portal")
            bps_id = waiting.get_nowait()
            try:
                detail = await portal.fetch_group(bps_id)
            except ProtocolError as error:
                malformed.append(bps_id)
                if len(malformed) > _MALFORMED_GROUPS:
                    raise
                _tell("group", MalformedRecord(bps_id, str(error)))
                continue
            read.append((bps_id, detail))
            if len(read) >= _GROUPS_AT_ONCE or sum(len(group.members) for _, group in read if group) > _MEMBERS_AT_ONCE:
                await store_read()

    async with task_group() as group:
        for number in range(min(concurrency, len(groups))):
            group.create_task(work(), name=f"read portal groups {number}")
    await store_read()
    return malformed
