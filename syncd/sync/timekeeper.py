"""The time of one run: our clock beside what both sides state; `syncd.plan.moment` decides what follows from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from syncd.clock import Clock
from syncd.errors import UnsafePlan
from syncd.model.run import Approval
from syncd.plan.moment import ClockReading, Moment, judge_clock
from syncd.sync.ports.sides import TrafficMeter

if TYPE_CHECKING:
    from syncd.store.store import Store

QuietHours = Callable[[datetime | None], bool]
"""Whether a moment is in the quiet hours; None: whether there are any."""

_SUBJECT = "clock"
_NAMES: Mapping[str, str] = {"graph": "Microsoft Graph", "bps": "the portal"}
_KEPT_WITHIN = timedelta(minutes=1)
"""What was confirmed before stands as long as it agrees with the clock so closely."""


class Timekeeper:
    """Judges our clock in one run. Not reused."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        meters: Mapping[str, TrafficMeter],
        is_quiet: QuietHours,
        approval: Approval | None = None,
    ) -> None:
        """``approval``: what a person released, which only a clock that is believed lets go on."""
        self._store = store
        self._clock = clock
        self._meters = meters
        self._is_quiet = is_quiet
        self._approval = approval
        self.believed = False
        """Whether our clock was judged in this run, and believed each time."""
        self._log = structlog.get_logger("syncd.run")

    async def judge(self, before: Moment | None = None) -> Moment:
        """Return the present moment, by what the sides have stated so far.

        ``before``: what this run went by until now. When nothing was wrong with it, the sides may have stated more
        since, and our clock may have jumped; otherwise it stands.

        Raises UnsafePlan where an approval is carried out and nobody knows whether what it releases has expired.
        """
        if before is not None and before.doubt:
            return before
        boot, uptime = self._clock.uptime()
        reading = ClockReading(now=self._clock.now(), steady=self._clock.monotonic(), boot=boot, uptime=uptime)
        said = await self._store.notifications.load_last_sent(_SUBJECT)
        confirmed, doubted = _read(said)
        stated = {
            _NAMES.get(side, side): times
            for side, meter in self._meters.items()
            if (times := meter.read_times()) is not None or meter.read_traffic().get("requests")
        }
        moment = judge_clock(reading, stated, confirmed)
        self.believed = not moment.doubt
        quiet = self._is_quiet(None if moment.doubt else moment.now)
        await self._remember(reading, moment, confirmed, doubted=doubted)
        if moment.doubt and self._approval is not None:
            raise UnsafePlan(
                f"{moment.doubt}, and whether what run {self._approval.run_id} held has expired hangs on the time; "
                "nothing was applied: set the clock, and approve again"
            )
        return replace(moment, quiet=quiet, now=moment.now if before is None else before.now)

    async def _remember(
        self, reading: ClockReading, moment: Moment, confirmed: ClockReading | None, *, doubted: str
    ) -> None:
        """Keep when the clock was last confirmed, and log when that changes."""
        if moment.doubt:
            if not doubted:
                self._log.warning("clock.doubted", reason=moment.doubt)
                await self._save(confirmed, moment.doubt)
            return
        if doubted:
            self._log.info("clock.believed")
        if moment.stated is not None and (doubted or not _agree(reading, confirmed)):
            await self._save(reading, "")

    async def _save(self, confirmed: ClockReading | None, doubt: str) -> None:
        known = confirmed and {"at": confirmed.now.isoformat(), "boot": confirmed.boot, "uptime": confirmed.uptime}
        document = json.dumps({"confirmed": known, "doubt": doubt})
        await self._store.notifications.save_last_sent(_SUBJECT, document)


def _agree(reading: ClockReading, confirmed: ClockReading | None) -> bool:
    if confirmed is None or not reading.boot or confirmed.boot != reading.boot:
        return False
    jump = reading.now - confirmed.now - timedelta(seconds=reading.uptime - confirmed.uptime)
    return abs(jump) < _KEPT_WITHIN


def _read(text: str) -> tuple[ClockReading | None, str]:
    if not text:
        return None, ""
    document = json.loads(text)
    known = document["confirmed"]
    if known is None:
        return None, document["doubt"]
    at, boot, uptime = datetime.fromisoformat(known["at"]), known["boot"], known["uptime"]
    return ClockReading(now=at, steady=0.0, boot=boot, uptime=uptime), document["doubt"]
