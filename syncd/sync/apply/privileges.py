"""Applying the changes of privileges: those of one group at one place one at a time, for a reading cannot tell them
apart, and what the portal said is judged and written down.

What is about to be sent is noted in the own record first, so that a killed run leaves nothing behind that nobody knows
of.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from syncd.clock import Clock
from syncd.errors import Forbidden, NotFound, Rejected
from syncd.model.change import Outcome, Placed, PlannedChange
from syncd.model.privilege import read_privilege
from syncd.model.reason import Cause
from syncd.model.target import NO_SCOPE
from syncd.plan.privileges import Settled, settle_grant, settle_revoke
from syncd.plan.words import say
from syncd.sync.portal.looks import Looks
from syncd.sync.portal.privileges import PAUSE
from syncd.sync.ports.sides import Portal

if TYPE_CHECKING:
    from syncd.store.privileges.records import Sending
    from syncd.store.store import Store

_NOT_READY = "the group is not ready in the portal yet"
_NOT_GIVEN = "what takes its place is not given yet"
_NOT_MOVED = "the renamed group's new record does not have it yet"


@dataclass(slots=True, kw_only=True)
class Granting:
    """Gives and takes the privileges of one run. Without the scope for it the rest of the run goes on."""

    portal: Portal
    store: Store
    looks: Looks
    clock: Clock
    retry: bool = False
    """Try again even if the portal refused us a short while ago: an operator asked, who may have granted the scope."""
    notes: list[str] = field(default_factory=list)
    """What the administrator should know."""
    _forbidden: bool = False
    _refused_at: datetime | None = None
    _asked: bool = False
    _gates: dict[tuple[int, str], asyncio.Lock] = field(default_factory=dict)

    async def send(self, placed: Placed) -> Outcome:
        """Carry out one change. Raises RemoteError, except for a missing scope: that defers all of them."""
        planned, group, _ = placed
        place = read_privilege(planned.change.after or planned.change.before).place
        async with self._gates.setdefault((group, place.token), asyncio.Lock()):
            return await self._send(placed)

    async def _send(self, placed: Placed) -> Outcome:
        planned, group, number = placed
        assert number is not None  # every privilege has one
        if not self._asked:
            self._refused_at, self._asked = await self.store.privileges.load_refusal(), True
        recent = self._refused_at is not None and self.clock.now() - self._refused_at < PAUSE
        if self._forbidden or (recent and not self.retry):
            return self._defer(planned)
        remove = planned.change.action == "revoke"
        if waits := await self._find_wait(placed, -number, remove=remove):
            return Outcome(planned.seq, "deferred", say(Cause.NOT_READY, what=waits))
        privilege = read_privilege(planned.change.before if remove else planned.change.after)
        now = self.clock.now()
        known: Sending | None = None
        try:
            if not remove and not await self.looks.renew(privilege.place, group):
                return Outcome(planned.seq, "dropped", say(Cause.PLACE_GONE))
            known = await self.store.privileges.begin(group, -number, remove=remove, now=now)
            if remove and not known.ours:  # whatever the plan knew: it is gone, or may be by hand
                return Outcome(planned.seq, "dropped", say(Cause.MAY_BE_THERE, said="it is not surely ours"))
            answer = await self.portal.change_privilege(
                planned.change.bps_id, privilege, remove=remove, listed=known.listed
            )
        except Forbidden as error:
            await self._take_back(placed, known, remove=remove)
            if error.code != NO_SCOPE:
                return Outcome(planned.seq, "failed", say(Cause.REFUSED, error=error))
            await self._note_refusal(str(error), now)
            return self._defer(planned)
        except NotFound:
            await self._take_back(placed, known, remove=remove)
            await self.store.privileges.note_missing(privilege.place)  # and the next full run looks
            return Outcome(planned.seq, "dropped", say(Cause.PLACE_GONE))
        except Rejected:
            await self._take_back(placed, known, remove=remove)
            raise
        if answer.refused:
            await self._note_refusal(answer.reason, now)
        elif self._refused_at is not None and answer.said != "unclear":
            self._refused_at = None
            await self.store.privileges.note_refusal(None)
            structlog.get_logger("syncd.privileges").info("privileges.allowed")
        if answer.listed is False and not known.telling:
            answer = replace(answer, listed=None)  # no reading has named a group yet: this one need not be missing
        doubtful = answer.said == "unclear" or (answer.said == "conflict" and not answer.unsure)
        if remove and doubtful and known.fresh and not known.listed:
            answer = replace(answer, listed=None)  # what was given just now readings need not show yet
        if remove:
            settled = settle_revoke(answer)
        else:
            settled = settle_grant(answer, sent_before=known.sent_before, beside=known.beside, listed=known.listed)
        await self.store.privileges.settle(group, -number, settled, now=now)
        if answer.refused:  # an earlier attempt stays remembered as it is
            return self._defer(planned)
        return Outcome(planned.seq, settled.outcome, settled.reason)

    async def _note_refusal(self, error: str, now: datetime) -> None:
        if self._refused_at is None and not self._forbidden:
            structlog.get_logger("syncd.privileges").warning("privileges.forbidden", error=error)
        self._forbidden = True
        await self.store.privileges.note_refusal(now)

    def _defer(self, planned: PlannedChange) -> Outcome:
        """Put a change off for want of the scope; the run says so once."""
        refused = say(Cause.PRIVILEGES_REFUSED)
        self.notes = [refused.text]
        return Outcome(planned.seq, "deferred", refused)

    async def _find_wait(self, placed: Placed, target: int, *, remove: bool) -> str:
        """Return what a change waits for; nothing when it may be sent."""
        planned, group, _ = placed
        if not remove:
            return "" if await self.store.privileges.is_ready_group(group) else _NOT_READY
        cause = planned.change.reason.cause
        if cause is Cause.PRIVILEGE_SWAPPED and await self.store.privileges.waits_for(planned.run_id, group, target):
            return _NOT_GIVEN
        if cause is Cause.GROUP_RENAMED and not await self.store.privileges.has_arrived(group, target):
            return _NOT_MOVED
        return ""

    async def _take_back(self, placed: Placed, known: Sending | None, *, remove: bool) -> None:
        """Forget the note (None: there is none) of what had no effect, unless an earlier attempt may have had one."""
        _, group, number = placed
        if not remove and known is not None and not known.sent_before and number is not None:
            await self.store.privileges.settle(
                group, -number, Settled(state=None, outcome="failed"), now=self.clock.now()
            )
