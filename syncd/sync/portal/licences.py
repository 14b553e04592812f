"""Licences around a plan: read them, check the seats before the first write, and send the changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from syncd.errors import UNCLEAR, AuthFailed, Forbidden, Intercepted, PermanentError, RemoteError, Throttled
from syncd.model.change import Change, Outcome, Placed, PlannedChange
from syncd.model.licence import Seats, Step, say_unoffered
from syncd.model.reason import Cause, Reason
from syncd.plan.licence_sieves import stop_given_by_hand, stop_licences
from syncd.plan.words import say
from syncd.sync.passage import pass_licences, pass_seats
from syncd.sync.ports.sides import Portal

if TYPE_CHECKING:
    from syncd.store.store import Store

_FEW = 25
"""So many people are asked for singly; for more of them everybody's licences are read, in one request."""

_NO_SUCCESSOR = "the renamed person's new account is not there yet"


class Licensing:
    """The licences of one push. Asks nothing of a portal for which there are no rules and no licence of ours.

    ``ruled``: there are rules. Without them a missing scope stops nothing: what rules of the past granted then stays.
    ``types``: those that the rules name; one that the portal does not offer is told.
    """

    def __init__(
        self, portal: Portal, store: Store, *, ruled: bool, now: datetime, types: Collection[str] = ()
    ) -> None:
        self._portal = portal
        self._now = now
        self._store = store
        self._ruled = ruled
        self._types = types
        self._offered: tuple[str, ...] = ()
        self._read = False
        self.refused = False
        self._log = structlog.get_logger("syncd.licences")

    @property
    def known(self) -> bool:
        """Return whether everybody's licences were read in this push."""
        return self._read

    async def are_ours(self) -> bool:
        """Return whether licences are looked after: there are rules, or licences that rules of the past granted."""
        if self.refused:
            return False
        return self._ruled or await self._store.licences.owns_licences()

    async def read(self) -> None:
        """Read everybody's licences and the seats into the store; Forbidden without the scope, when there are rules."""
        try:
            await self._fetch()
        except Forbidden as error:
            if self._ruled:
                raise
            self.refused = True
            self._log.warning("licences.forbidden", error=str(error))

    async def _fetch(self) -> None:
        store = self._store
        found = await self._portal.fetch_licences()
        seats = None if found is None else await self._portal.fetch_seats()
        believed = None if seats is None else found
        doubted = await store.licences.store_licences(believed, seats or (), now=self._now)
        for kind in sorted(doubted):
            self._log.warning("licences.incomplete", type=kind)
        if seats is not None:
            await self._store_seats(seats)
        self._read = True

    async def _store_seats(self, seats: Sequence[Seats]) -> None:
        self._offered = tuple(kind.type for kind in seats)
        await self._store.licences.store_seats(seats)

    async def read_of_deleted(self, run_id: int) -> bool:
        """Read what those hold whose accounts a plan deletes: somebody may have given it since. False: nothing is told.

        Their deletion waits then: before each of them the portal is asked once more.
        """
        if self._read:
            return True
        deleted = await self._store.plans.load_deletions(run_id, _FEW + 1)
        if not deleted or self.refused:
            return False
        try:
            if len(deleted) > _FEW:
                await self._fetch()
                return not await self._store.licences.are_licences_perpetual()
            found = [await self._portal.fetch_holder(bps_id) for bps_id in deleted]
        except Forbidden:
            if self._ruled:
                raise
            return False
        except UNCLEAR as error:
            self._log.warning("licences.unread", error=str(error))
            return False
        await self._store.licences.store_holders([each for each in found if each is not None], now=self._now)
        return any(each is not None for each in found)

    async def settle(self, run_id: int, *, ask: bool) -> list[str]:
        """Check the seats of a complete plan, and put off what cannot be granted; return what is to be told.

        ``ask`` False: the portal is not asked, and the seats are those of the last reading and of our own writes.
        """
        store = self._store
        if self.refused:
            return [say(Cause.LICENCES_REFUSED).text]
        await store.in_thread(pass_licences, store, run_id)
        if await store.licences.are_licences_perpetual():
            if self._ruled:
                self._log.warning("licences.perpetual")
            return [say(Cause.LICENCES_PERPETUAL).text] if self._ruled else []
        if not await store.licences.count_grants(run_id):
            return []
        if ask and not self._read and not await self._look(run_id):
            return [say(Cause.LICENCES_PERPETUAL).text]
        free = await store.licences.load_free_seats()
        shortages = await store.in_thread(pass_seats, store, run_id, free)
        for shortage in shortages:
            self._log.warning("licences.short", type=shortage.type, need=shortage.need, free=max(shortage.free, 0))
        notes = [f"licences: {shortage.reason}, {shortage.without} go without" for shortage in shortages]
        unknown = sorted(set(self._types) - set(self._offered)) if self._offered else []
        if unknown:
            self._log.warning("licences.unoffered", types=unknown, offered=sorted(self._offered))
            notes.append(f"licences: {say_unoffered(unknown, self._offered)}: correct licences.type")
        return notes

    async def _look(self, run_id: int) -> bool:
        """Ask for the seats; where somebody assigned others by hand, read who has what. False: perpetual licensing."""
        store = self._store
        seats = await self._portal.fetch_seats()
        if seats is not None and await store.licences.has_other_licences(seats):
            await self._fetch()
            await store.in_thread(_drop_given_by_hand, store, run_id)
        elif seats is None:
            await store.licences.store_licences(None, now=self._now)
        if not await store.licences.are_licences_perpetual():
            if seats is not None and not self._read:
                await self._store_seats(seats)
            return True
        await store.in_thread(store.stops.stop, run_id, stop_licences())
        self._log.warning("licences.perpetual")
        return False


def _drop_given_by_hand(store: Store, run_id: int) -> None:
    store.stops.stop(run_id, stop_given_by_hand(store.stops.load_given_by_hand(run_id)))


async def send_licences(
    portal: Portal, store: Store, placed: Sequence[Placed], *, forgiving: bool = False
) -> list[Outcome]:
    """Send licence changes of several people in one request, and say what became of each.

    ``forgiving``: a missing scope puts them off instead of stopping the run.
    """
    late: dict[int, Outcome] = {}
    for planned, record, _ in placed:
        change = planned.change
        if change.reason.cause is Cause.RENAMED and not await store.outcomes.has_successor(record):
            late[planned.seq] = Outcome(planned.seq, "deferred", say(Cause.NOT_READY, what=_NO_SUCCESSOR))
    sent = [planned for planned, _, _ in placed if planned.seq not in late]
    steps = [make_step(planned.change) for planned in sent]
    outcomes = dict(late)
    if steps:
        try:
            results = await portal.change_licences(steps)
        except Forbidden:
            if not forgiving:
                raise
            return [Outcome(planned.seq, "deferred", say(Cause.LICENCES_REFUSED)) for planned, _, _ in placed]
        except PermanentError as error:
            if error.code != "UnsupportedLicensingType":
                raise
            return [Outcome(planned.seq, "dropped", say(Cause.LICENCES_PERPETUAL)) for planned, _, _ in placed]
        for planned, result in zip(sent, results, strict=True):
            match result.verdict:
                case "done":
                    outcomes[planned.seq] = Outcome(planned.seq, "done")
                case "failed":
                    outcomes[planned.seq] = Outcome(planned.seq, "failed", Reason(text=result.reason))
                case "pending" | "short":
                    outcomes[planned.seq] = Outcome(planned.seq, "deferred", say(Cause.NOT_READY, what=result.reason))
    return [outcomes[planned.seq] for planned, _, _ in placed]


def fit_together(gathered: Sequence[Placed], placed: Placed, size: int) -> bool:
    """Return whether one more change goes into the same request; the licences of one person are never parted."""
    same, kind = gathered[-1][1] == placed[1], placed[0].change.object
    if kind != gathered[0][0].change.object or kind == "substitution":
        return False
    if kind == "licence":
        return same or len(gathered) < size
    return same and len(gathered) < size


def is_remembered(change: Change) -> bool:
    """Return whether a change is marked before it is sent: what turns up is ours, and what is taken moves on."""
    if change.object == "privilege":
        return False  # it has a record of its own
    return change.action in ("create", "grant") or (change.object == "licence" and change.reason.cause is Cause.RENAMED)


def read_reason(error: RemoteError, *, removes: bool = False) -> Reason:
    """Return why a request about one record failed: who refused it, and whether the portal accuses another maker.

    ``removes``: it was to take something away.
    """
    if error.foreign_record:
        cause = Cause.FOREIGN_RECORD
    elif error.sent and isinstance(error, UNCLEAR):
        return say(Cause.MAYBE_TAKEN if removes else Cause.MAYBE_DONE, error=error)
    elif isinstance(error, Intercepted):
        cause = Cause.INTERCEPTED
    elif error.own and not isinstance(error, AuthFailed | Throttled):
        cause = Cause.REFUSED
    else:
        cause = Cause.NONE
    return Reason(cause, str(error))


def judge_failure(planned: PlannedChange, error: RemoteError) -> Outcome:
    """What may have taken effect is remembered as such: what was added is ours when it turns up."""
    change = planned.change
    licence = change.object == "licence" and is_remembered(change) and isinstance(error, UNCLEAR)
    unclear = error.sent and (change.action == "create" or licence)
    reason = read_reason(error, removes=change.action in ("delete", "unlink", "revoke"))
    return Outcome(planned.seq, "started" if unclear else "failed", reason)


def make_step(change: Change) -> Step:
    """Return what to ask for: of a revoke the part that is taken (a part is named where something is left)."""
    remove = change.action == "revoke"
    settings = (change.before if change.after else {}) if remove else change.after
    return Step(bps_id=change.bps_id, type=change.target, settings=settings, remove=remove)
