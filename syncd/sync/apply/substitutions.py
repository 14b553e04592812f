"""Applying the changes of substitutions: one at a time, settled by a look at what the portal has.

A substitution is noted in the store before it is sent, so that a killed run leaves none behind that nobody knows of.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from syncd.clock import Clock
from syncd.errors import Forbidden, NotOffered, RemoteError
from syncd.model.change import Outcome, Placed
from syncd.model.reason import Cause
from syncd.model.substitution import Substitution
from syncd.plan.words import say
from syncd.sync.ports.sides import Portal

if TYPE_CHECKING:
    from syncd.store.store import Store


_NOT_READY = "one of the two accounts is not ready in the portal yet"

_PAUSE = timedelta(hours=1)
"""So long nothing is sent after a refusal for want of a scope, except by an explicit sync."""


@dataclass(slots=True, kw_only=True)
class Substituting:
    """Arranges and ends the substitutions of one run. Without the scope for it the rest of the run goes on."""

    portal: Portal
    store: Store
    clock: Clock
    retry: bool = False
    """Try again even if the portal refused us a short while ago: an operator asked, who may have granted the scope."""
    _forbidden: bool = False
    _refused_at: datetime | None = None
    _asked: bool = False

    async def send(self, placed: Placed) -> Outcome:
        """Carry out one change. Raises RemoteError, except for a missing scope or API: that defers all of them."""
        planned, _, _ = placed
        if not self._asked:
            self._refused_at = await self.store.substitutions.load_refusal()
            self._asked = True
        recent = self._refused_at is not None and self.clock.now() - self._refused_at < _PAUSE
        if not self._forbidden and (self.retry or not recent):
            try:
                if planned.change.action == "delete":
                    return await self._end(placed)
                if "substitute" not in planned.change.after:
                    return await self._cut(placed, datetime.fromisoformat(planned.change.after["until"] or ""))
                return await self._arrange(placed)
            except (Forbidden, NotOffered) as error:
                await self._note_refusal(error)
        return Outcome(planned.seq, "deferred", say(Cause.SUBSTITUTIONS_REFUSED))

    async def is_arranged(self, original: int, bps_id: str) -> bool:
        """Return whether the portal still has a substitution of ours for an account; without the scope: False."""
        try:
            return await self._find(original, bps_id) is not None
        except (Forbidden, NotOffered):
            return False

    async def _note_refusal(self, error: RemoteError) -> None:
        """Say it once, not in every run."""
        first, self._forbidden = self._refused_at is None and not self._forbidden, True
        if first:
            structlog.get_logger("syncd.apply").warning("substitutions.forbidden", error=str(error))
        await self.store.substitutions.note_refusal(self.clock.now())

    async def _arrange(self, placed: Placed) -> Outcome:
        planned, original, substitute = placed
        change = planned.change
        assert substitute is not None  # every substitution has one
        if not await self.store.substitutions.can_stand_in(original, substitute):
            return Outcome(planned.seq, "deferred", say(Cause.NOT_READY, what=_NOT_READY))
        ends_at = datetime.fromisoformat(change.after["until"] or "")
        there = await self._find(original, change.bps_id)
        starts_at = there.starts_at if there else self.clock.now().replace(microsecond=0)
        wanted = Substitution(
            original=change.bps_id,
            substitute=change.target,
            starts_at=starts_at,
            ends_at=ends_at,
            number=there.number if there else None,
        )
        if there is None:
            await self.store.substitutions.keep_substitution(
                original, substitute, ends_at, number=None, confirmed=False
            )
            number = await self.portal.create_substitution(wanted)
        else:
            number = there.number
            if wanted != there:
                await self._doubt(placed, there)
                await self.portal.update_substitution(wanted)
        await self.store.substitutions.keep_substitution(original, substitute, ends_at, number=number, confirmed=True)
        if self._refused_at is not None:
            self._refused_at = None
            await self.store.substitutions.note_refusal(None)
            structlog.get_logger("syncd.apply").info("substitutions.allowed")
        return Outcome(planned.seq, "done")

    async def _cut(self, placed: Placed, ends_at: datetime) -> Outcome:
        planned, original, _ = placed
        there = await self._find(original, planned.change.bps_id)
        if there is None:
            await self.store.substitutions.forget_substitution(original)
        else:
            cut = Substitution(
                original=there.original,
                substitute=there.substitute,
                starts_at=min(there.starts_at, ends_at),
                ends_at=ends_at,
                number=there.number,
            )
            await self._doubt(placed, there)
            await self.portal.update_substitution(cut)
            await self.store.substitutions.move_substitution_end(original, ends_at)
        return Outcome(planned.seq, "done")

    async def _end(self, placed: Placed) -> Outcome:
        planned, original, _ = placed
        there = await self._find(original, planned.change.bps_id)
        if there is not None and there.number is not None:
            await self._doubt(placed, there)
            await self.portal.delete_substitution(there.number)
        await self.store.substitutions.forget_substitution(original)
        return Outcome(planned.seq, "done")

    async def _doubt(self, placed: Placed, there: Substitution) -> None:
        """Remember, before it is changed, that nobody may know afterwards what the portal has."""
        _, original, substitute = placed
        assert substitute is not None  # every substitution has one
        await self.store.substitutions.keep_substitution(
            original, substitute, there.ends_at, number=there.number, confirmed=False
        )

    async def _find(self, original: int, bps_id: str) -> Substitution | None:
        """Return what the portal has of ours for an account, None when there is nothing (any more)."""
        kept = await self.store.substitutions.load_substitution(original)
        if kept is None:
            return None
        there = await self.portal.find_substitution(
            Substitution(
                original=bps_id,
                substitute=kept.substitute,
                starts_at=self.clock.now(),
                ends_at=kept.ends_at,
                number=kept.number,
            )
        )
        if there is not None and kept.number is None and there.number is not None:
            # Its people and its end are about to change, and could not tell it any more after a kill.
            await self.store.substitutions.learn_substitution_number(original, there.number)
        return there
