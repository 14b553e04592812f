"""Links of one group, sent as many as one request carries; what became of them is told in groups that ended alike."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import aclosing
from typing import TYPE_CHECKING

from syncd.clock import Clock
from syncd.errors import NotFound, RemoteError
from syncd.model.change import LinkBatch, LinkKind, LinkOutcome
from syncd.model.reason import Cause, Reason
from syncd.model.target import MembersResult
from syncd.plan.words import say
from syncd.sync.apply.readiness import Patience
from syncd.sync.apply.settle import find_linked
from syncd.sync.apply.work_queue import load_ahead
from syncd.sync.portal.licences import read_reason
from syncd.sync.ports.sides import Portal

if TYPE_CHECKING:
    from syncd.store.store import Store

_AT_ONCE = 8192

_GROUP_GONE = "the portal does not list this group yet; retried in the next run"
_PENDING = "WEBCON still synchronises the account"


async def iterate_links(store: Store, run_id: int, kind: LinkKind, size: int) -> AsyncGenerator[LinkBatch, None]:
    """Yield the planned links in the plan's order, ``size`` of one group at most: as few requests as there can be."""

    async def load(after: int) -> list[LinkBatch]:
        return await store.outcomes.load_links(run_id, kind, after=after, limit=_AT_ONCE)

    rest: LinkBatch | None = None
    async with aclosing(load_ahead(load, _find_end)) as loaded:
        async for batches in loaded:
            if rest is not None:
                if rest.record == batches[0].record:
                    batches[0] = rest.join(batches[0])
                else:
                    batches.insert(0, rest)
            last = batches.pop()
            whole = len(last.seqs) // size * size
            for batch in (*batches, last.cut(0, whole)):
                for part in _cut(batch, size):
                    yield part
            rest = last.cut(whole, len(last.seqs)) if whole < len(last.seqs) else None
    if rest is not None:
        yield rest


def _find_end(batches: list[LinkBatch]) -> int | None:
    if sum(len(batch.seqs) for batch in batches) < _AT_ONCE:
        return None
    return max(max(batch.seqs) for batch in batches)


def _cut(batch: LinkBatch, size: int) -> list[LinkBatch]:
    return [batch.cut(start, start + size) for start in range(0, len(batch.seqs), size)]


async def send_links(
    links: LinkBatch,
    portal: Portal,
    store: Store,
    clock: Clock,
    patience: Patience,
    *,
    weigh: Callable[[RemoteError], Awaitable[None]],
) -> list[LinkOutcome]:
    """Add the members or owners of one batch; raises what concerns more than them.

    Who is not ready because this very run has changed the account, or the group, is waited for, and sent once more.
    ``weigh`` is told the error of such a repetition, which says nothing of the others: they are in the group.
    """
    write = portal.add_members if links.kind == "membership" else portal.add_owners
    try:
        result, attempt = await write(links.bps_id, links.members), 0
    except NotFound:
        await store.inventory.store_group_detail(links.bps_id, None, now=clock.now())
        return [LinkOutcome(links, "deferred", say(Cause.NOT_READY, what=_GROUP_GONE))]
    while (late := patience.choose(links.bps_id, result.pending)) and await patience.pause(attempt):
        waiting = tuple(name for name in result.pending if name not in {*late})
        try:
            again, attempt = await write(links.bps_id, late), attempt + 1
        except RemoteError as error:
            await weigh(error)
            there = await find_linked(portal, links.bps_id, links.kind, late, error)
            return _part(links, MembersResult((), waiting, result.failed), {*late} - there, error)
        result = MembersResult((), (*waiting, *again.pending), (*result.failed, *again.failed))
    if not result.pending and not result.failed:
        return [LinkOutcome(links, "done")]
    return sort_out(links, result)


def _part(links: LinkBatch, result: MembersResult, lost: Collection[str], error: RemoteError) -> list[LinkOutcome]:
    """Return what became of a batch of which a repetition for some, who are ``lost`` now, has failed."""
    places: dict[bool, list[int]] = {True: [], False: []}
    for place, member in enumerate(links.members):
        places[member in lost].append(place)
    outcomes = sort_out(links.choose(places[False]), result) if places[False] else []
    if places[True]:
        outcomes.append(LinkOutcome(links.choose(places[True]), "failed", read_reason(error)))
    return outcomes


def sort_out(links: LinkBatch, result: MembersResult) -> list[LinkOutcome]:
    """Return what became of the links of one batch, in groups that ended alike."""
    pending, failed = set(result.pending), dict(result.failed)
    done: list[int] = []
    late: list[int] = []
    refused: dict[str, list[int]] = {}
    for place, member in enumerate(links.members):
        if member in failed:
            refused.setdefault(failed[member], []).append(place)
        else:
            (late if member in pending else done).append(place)
    outcomes = [LinkOutcome(links.choose(places), "failed", Reason(text=error)) for error, places in refused.items()]
    if late:
        outcomes.append(LinkOutcome(links.choose(late), "deferred", say(Cause.NOT_READY, what=_PENDING)))
    if done:
        outcomes.append(LinkOutcome(links.choose(done), "done"))
    return outcomes
