"""Reading everything by lists: users, groups, and the members and owners of each group, many requests at once.

One loop owns every request and the one transaction under way; what comes back decides what is asked next. No task waits
for another one's word, so that none can be left waiting when another fails or is cancelled: all end with the loop.

A list of more than one page is read twice, since its pages may shift while objects come and go; the second reading
follows the first one at a distance (`two_readings`) and asks for ids only. Whom it shows and the first one lacked is
read by itself.

Lists show nothing of what somebody owns who is deleted, so that it is asked upon the return. A tenant that does not
answer such a question has to be read by delta: it is asked once, about anybody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from syncd.clock import Clock
from syncd.errors import Interrupted, PageExpired, Rejected, Throttled, Unavailable
from syncd.model.listing import Chunk, IdPage, ListAnswer, ListPage, ListRequest
from syncd.model.source import STREAMS, Checkpoint, Role, Stream
from syncd.sync.ports.sides import Source
from syncd.sync.pull.two_readings import TwoReadings

if TYPE_CHECKING:
    from syncd.store.directory.lists import ChunkCounts
    from syncd.store.store import Store

BATCH = 20
_STORE_FROM, _STORE_AT_MOST = 16_000, 32_000
"""How much (in memberships) is worth a transaction, and how much may wait for one."""
_BEGINNINGS = 5
"""How often a list whose links come too late is read from its start."""
_LOOK_AFTER, _REASONABLE = 120.0, 1800.0
"""Seconds after which it is reckoned how long the lists will take, and how long they may."""


@dataclass(slots=True)
class ListingResult:
    """What lists could not say. ``unmet``: ids that only a second reading showed; ``unread``: groups whose members or
    owners were not read, since the group was gone or hid them (``hidden``)."""

    unmet: dict[Stream, set[str]] = field(default_factory=lambda: {stream: set() for stream in STREAMS})
    unread: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)


class Listing:
    """Reads all lists once. ``note_stored`` hears of each chunk that is stored. Not reused.

    ``reselected``: other properties are selected than in the reading before.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        checkpoint: Checkpoint,
        clock: Clock,
        *,
        note_stored: Callable[[Chunk, ChunkCounts], None],
        stopping: Callable[[], bool],
        reselected: bool = False,
    ) -> None:
        self._source = source
        self._store = store
        self._checkpoint = checkpoint
        self._clock = clock
        self._reselected = reselected
        self._note_stored = note_stored
        self._stopping = stopping
        self._lists: dict[Stream, TwoReadings] = {stream: TwoReadings() for stream in STREAMS}
        self._waiting: deque[ListRequest] = deque()
        self._roles: tuple[Role, ...] = ("members", "owners") if source.tracks_owners else ("members",)
        self._unasked = source.tracks_owners
        self._long: dict[tuple[str, Role], TwoReadings] = {}
        self._asked: set[str] = set()
        self._chunk = Chunk()
        self._tasks: dict[asyncio.Task[Any], Callable[[Any], None]] = {}
        self._storing = False
        self._began, self._answered = clock.monotonic(), 0
        self.result = ListingResult()

    async def run(self) -> ListingResult:
        """Read and store everything. Raises RemoteErrors, StoreError, and Interrupted when asked to stop."""
        try:
            self._start_all()
            while self._tasks:
                done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    take = self._tasks.pop(task)
                    if task.cancelled():
                        raise Unavailable("the reading of a list was broken off; the next run begins it anew")
                    take(task.result())
                if self._stopping():
                    raise Interrupted("asked to stop while reading everything; the next run begins it anew")
                self._start_all()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        return self.result

    # ---- what is asked next -------------------------------------------------------------------------------------

    def _start_all(self) -> None:
        room = self._source.at_once - len(self._tasks) + self._storing
        if self._chunk.weight < _STORE_AT_MOST:
            for stream, readings in self._lists.items():
                if room > 0 and readings.first_is_due:
                    self._start_page(stream, readings, again=False)
                    room -= 1
                if room > 0 and readings.second_is_due:
                    self._start_page(stream, readings, again=True)
                    room -= 1
            while room > 0 and self._waiting and (len(self._waiting) >= BATCH or self._lists["groups"].first.done):
                few = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                self._start(self._source.fetch_lists(few), self._take_lists, "read members")
                room -= 1
        fetching = len(self._tasks) - self._storing
        if not self._storing and self._chunk.weight and (self._chunk.weight >= _STORE_FROM or not fetching):
            chunk, self._chunk = self._chunk, Chunk()
            self._storing = True
            store = self._store.directory.store_chunk(
                chunk, self._checkpoint, now=self._clock.now(), reselected=self._reselected
            )
            self._start(store, lambda counts: self._take_stored(chunk, counts), "store lists")

    def _start(self, work: Coroutine[Any, Any, Any], take: Callable[[Any], None], name: str) -> None:
        self._tasks[asyncio.create_task(work, name=name)] = take

    def _start_page(self, stream: Stream, readings: TwoReadings, *, again: bool) -> None:
        reading = readings.second if again else readings.first
        reading.running = True
        fetch: Callable[[Stream, str | None], Coroutine[Any, Any, Any]]
        fetch = self._source.fetch_ids if again else self._source.fetch_list
        work = _catch_expired(fetch(stream, reading.link))
        self._start(work, lambda page: self._take_page(stream, page, again=again), "list")

    # ---- what came back -----------------------------------------------------------------------------------------

    def _take_page(self, stream: Stream, page: ListPage | IdPage | PageExpired, *, again: bool) -> None:
        readings = self._lists[stream]
        if isinstance(page, PageExpired):
            if readings.begin_anew(again=again) > _BEGINNINGS:
                raise page
            return
        if isinstance(page, IdPage):
            readings.step(len(page.ids), page.next_link, again=True)
            self._chunk.add_ids(stream, page)
            return
        readings.step(len(page.objects) + sum(bad.count for bad in page.bad), page.next_link, again=False)
        self._chunk.add_objects(stream, page)
        if stream == "groups":
            self._ask_people([each.id for each in page.objects])
            return
        self._source.note_users(readings.first.place)
        if self._unasked and page.objects:
            self._unasked = False
            self._waiting.append(ListRequest(owner_id=page.objects[0].id, relation="ownedObjects", owner_is_user=True))

    def _ask_people(self, group_ids: Sequence[str]) -> None:
        for group_id in group_ids:
            if group_id not in self._asked:
                self._asked.add(group_id)
                self._waiting.extend(ListRequest(owner_id=group_id, relation=role) for role in self._roles)

    def _take_lists(self, answers: Sequence[ListAnswer]) -> None:
        self._answered += len(answers)
        self._judge_pace()
        for answer in answers:
            request = answer.request
            match request.relation:
                case "members" | "owners" as role:
                    self._take_people(role, answer)
                case _:
                    if answer.state in ("hidden", "refused"):
                        raise Rejected("Microsoft Graph does not tell what somebody owns", status=400)

    def _judge_pace(self) -> None:
        """Give up what would not come to its end in reasonable time: delta needs a small part of the requests."""
        elapsed = self._clock.monotonic() - self._began
        rest = len(self._waiting) * elapsed / self._answered
        if elapsed >= _LOOK_AFTER and elapsed + rest > _REASONABLE:
            raise Throttled(
                f"the lists are answered so slowly that they would take {(elapsed + rest) / 60:.0f} minutes",
                status=429,
                sent=False,
            )

    def _take_people(self, role: Role, answer: ListAnswer) -> None:
        group_id = answer.request.owner_id
        match answer.state:
            case "read":
                self._chunk.add_people(role, answer)
                self._go_on(group_id, role, answer)
            case "expired":
                self._begin_again(group_id, role, again=answer.request.again)
            case "missing":
                self.result.unread.add(group_id)
            case "hidden" if role == "members":
                self.result.hidden.add(group_id)
            case "hidden" | "refused":
                raise Rejected(f"Microsoft Graph refuses to list the {role} of a group", status=400)

    def _go_on(self, group_id: str, role: Role, answer: ListAnswer) -> None:
        """Ask for the next pages of a group's people, of a long list for all of it once more."""
        request = answer.request
        readings = self._long.get((group_id, role))
        if readings is None:
            if answer.next_link is None or request.link is not None or request.again:
                return
            readings = self._long[group_id, role] = TwoReadings()
        entries = len(answer.ids) + sum(bad.count for bad in answer.bad)
        readings.step(entries, answer.next_link, again=request.again)
        self._ask_on(group_id, role, readings)

    def _ask_on(self, group_id: str, role: Role, readings: TwoReadings) -> None:
        if readings.second_is_due:
            readings.second.running = True
            link = readings.second.link
            self._waiting.appendleft(ListRequest(owner_id=group_id, relation=role, link=link, again=True))
        if readings.first_is_due:
            readings.first.running = True
            self._waiting.appendleft(ListRequest(owner_id=group_id, relation=role, link=readings.first.link))
        if readings.done:
            del self._long[group_id, role]

    def _begin_again(self, group_id: str, role: Role, *, again: bool) -> None:
        readings = self._long.get((group_id, role))
        if readings is None:
            return
        if readings.begin_anew(again=again) > _BEGINNINGS:
            self.result.unread.add(group_id)
            del self._long[group_id, role]
            return
        self._ask_on(group_id, role, readings)

    def _take_stored(self, chunk: Chunk, counts: ChunkCounts) -> None:
        self._storing = False
        for stream, ids in counts.unmet.items():
            self.result.unmet[stream].update(ids)
        self._note_stored(chunk, counts)


async def _catch_expired(work: Coroutine[Any, Any, Any]) -> Any:
    """Return PageExpired instead of raising it: the list is then read from its start."""
    try:
        return await work
    except PageExpired as error:
        return error
