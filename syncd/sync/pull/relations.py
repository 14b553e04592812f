"""What ties an object to others, read once when it is there again, or for the first time.

Neither lists nor, perhaps, delta show the memberships and reports of who is deleted, and a return is told without them.
So the groups of which it is a member, those that it owns where owners are tracked, and the people whose manager it is,
are read directly. That only adds: nobody loses a membership by it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from syncd.clock import Clock
from syncd.errors import AuthFailed, ProtocolError, RemoteError, TransientError
from syncd.model.listing import ListRequest, Relation
from syncd.model.source import STREAMS, Stream
from syncd.sync.ports.sides import Source
from syncd.sync.pull.lists import BATCH
from syncd.sync.pull.troubles import Troubles

if TYPE_CHECKING:
    from syncd.store.store import Store

_PAGES = 1000
_RELATIONS: tuple[Relation, ...] = ("memberOf", "directReports")


class Relations:
    """Reads and stores the ties of everybody who has returned. ``count`` is told what was found."""

    def __init__(
        self, source: Source, store: Store, clock: Clock, troubles: Troubles, *, count: Callable[[str, int], None]
    ) -> None:
        self._source = source
        self._store = store
        self._clock = clock
        self._troubles = troubles
        self._count = count

    async def run(self, *, tracked: bool) -> None:
        """Read them. ``tracked``: a full read is under way.

        Where the tenant does not answer, the next run asks again; where it refuses, nobody does. Raises RemoteErrors
        for a lost connection or token.
        """
        for stream in STREAMS:
            ids = await self._store.directory.load_returned(stream)
            size = BATCH // len(self._list_relations(stream))
            for start in range(0, len(ids), size):
                few = ids[start : start + size]
                try:
                    await self._read(stream, few, tracked=tracked)
                except RemoteError as error:
                    if isinstance(error, AuthFailed) or error.status is None:
                        raise
                    self._troubles.note("relations.unread", about=stream, reason=str(error), count=len(few))
                    self._count("ties_unread", len(few))
                    if isinstance(error, TransientError):
                        return
        await self._store.directory.forget_returned()

    async def _read(self, stream: Stream, ids: Sequence[str], *, tracked: bool) -> None:
        is_user = stream == "users"
        found: dict[tuple[str, Relation], set[str]] = defaultdict(set)
        missing: set[str] = set()
        waiting = [
            ListRequest(owner_id=object_id, relation=relation, owner_is_user=is_user)
            for relation in self._list_relations(stream)
            for object_id in ids
        ]
        pages = 0
        while waiting:
            if pages > _PAGES:
                raise ProtocolError(f"Microsoft Graph sends pages of lists without an end ({pages} so far)", status=200)
            few, waiting = waiting[:BATCH], waiting[BATCH:]
            pages += 1
            for answer in await self._source.fetch_lists(few):
                request = answer.request
                found[request.owner_id, request.relation].update(answer.ids)
                if answer.state == "missing":
                    missing.add(request.owner_id)
                elif answer.state in ("hidden", "refused"):
                    self._troubles.note(
                        "relations.hidden", about=stream, reason=request.relation, object_id=request.owner_id
                    )
                    self._count("ties_hidden", 1)
                elif answer.state == "expired":
                    waiting.append(
                        ListRequest(owner_id=request.owner_id, relation=request.relation, owner_is_user=is_user)
                    )
                elif answer.next_link is not None:
                    again = ListRequest(
                        owner_id=request.owner_id,
                        relation=request.relation,
                        link=answer.next_link,
                        owner_is_user=is_user,
                    )
                    waiting.append(again)
        store = self._store.directory.store_ties
        for object_id in ids:
            if object_id in missing and await self._store.directory.put_off_ties(object_id, now=self._clock.now()):
                continue  # delta told of it: who answers is behind
            new = await self._store.in_thread(
                store,
                object_id,
                groups=found[object_id, "memberOf"],
                owned=found[object_id, "ownedObjects"],
                reports=found[object_id, "directReports"],
                tracked=tracked,
                now=self._clock.now(),
            )
            self._count("ties_found", new)

    def _list_relations(self, stream: Stream) -> tuple[Relation, ...]:
        if stream == "groups":
            return ("memberOf",)
        return ("memberOf", "ownedObjects", "directReports") if self._source.tracks_owners else _RELATIONS
