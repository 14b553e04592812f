"""Apply in waves: send one, read back what it wrote, and go on only when the portal shows what was sent.

`syncd.plan.waves` says which plans go in waves, which change belongs to which, and what a difference is. A wave that
was begun is remembered until it has been read back, so that a run that is killed in between leaves that to the next.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import structlog

from syncd.clock import Clock
from syncd.errors import Interrupted
from syncd.model.reason import Cause
from syncd.plan.guard import Hold
from syncd.plan.rules import Rules
from syncd.plan.waves import Difference, OpenWave, compare_sent, cut_waves, goes_in_waves, say_wave_held
from syncd.plan.words import say
from syncd.sync.apply.apply import ApplyOptions
from syncd.sync.portal.licences import Licensing
from syncd.sync.portal.read import read_concerned
from syncd.sync.ports.progress import Progress
from syncd.sync.ports.sides import Portal

if TYPE_CHECKING:
    from syncd.store.store import Store

_FEW = 25
"""So many holders of licences are asked for singly; for more, everybody's licences are read."""

Send = Callable[[], Awaitable[list[str]]]
"""Sends what is planned now, and returns what is to be told of it."""


class Waving:
    """The waves of one run. Not reused."""

    def __init__(
        self,
        portal: Portal,
        store: Store,
        run_id: int,
        *,
        rules: Rules,
        clock: Clock,
        options: ApplyOptions,
        progress: Progress,
        stopping: Callable[[], bool],
    ) -> None:
        self._portal = portal
        self._store = store
        self._run_id = run_id
        self._rules = rules
        self._clock = clock
        self._options = options
        self._progress = progress
        self._stopping = stopping
        self._ends: Sequence[int] = ()
        self.notes: list[str] = []
        """What is to be told of what was sent."""
        self._log = structlog.get_logger("syncd.apply")

    async def check_earlier(self) -> list[Hold]:
        """Look at the wave of a run that was cut short before reading it back; hold this plan when it differs.

        To be called when the whole portal was read, and before anything of this plan is sent.
        """
        left = await self._store.waves.load_open()
        if left is None:
            return []
        differences, _ = await self._store.in_thread(self._compare, left)
        failed = await self._store.waves.count_failed(left)
        return await self._decide(left, differences, failed, before=True)

    async def send(self, fingerprint: str, send: Send, *, may: bool, check: bool) -> list[Hold]:
        """Send a plan, in waves where it goes in waves; return what is held instead.

        ``may``: it may go in waves at all. ``check``: the whole portal was read, and an earlier wave can be looked at.
        """
        held = await self.check_earlier() if check else []
        if held:
            return held
        if may and await self.go(fingerprint):
            return await self.apply(send)
        self.notes += await send()
        return []

    async def hold_new(self) -> list[Hold]:
        """Hold what was planned anew while the rest of a plan under the same rules waits: it is part of the same."""
        if not self._rules.waves.percents:
            return []
        store, now = self._store, self._clock.now()
        reason = await store.waves.hold_new(self._run_id, rules=self._rules.fingerprint(), now=now)
        return await self._list_holds(reason) if reason else []

    async def go(self, fingerprint: str, *, wait: bool = True) -> bool:
        """Return whether the plan goes in waves; what belongs to later ones waits from now on.

        ``wait`` False: nothing is to be sent, and each change is only told its wave.
        """
        rules, store = self._rules, self._store
        if not rules.waves.percents or not await store.waves.are_rules_new(fingerprint):
            return False
        people = await store.waves.rank_people(self._run_id)
        if not goes_in_waves(rules.waves, rules.limits, changed=True, people=people):
            return False
        self._ends = cut_waves(people, rules.waves.percents)
        await store.waves.assign(self._run_id, self._ends, wait=wait)
        return True

    async def apply(self, send: Send) -> list[Hold]:
        """Send wave after wave; return what is held when one of them is not as it was sent."""
        done = 0
        try:
            for number, end in enumerate(self._ends, 1):
                wave = OpenWave(self._run_id, number, len(self._ends))
                await self._store.waves.begin(wave)
                self._log.info("apply.wave", wave=number, waves=wave.waves, people=end - done)
                done = end
                self.notes += [note for note in await send() if note not in self.notes]
                differences = await self._read_back(wave)
                failed = await self._store.waves.count_failed(wave)
                held = await self._decide(wave, differences, failed)
                if held:
                    return held
        finally:
            await self._store.waves.reopen(self._run_id)  # nothing is left of them after the last one
        return []

    async def _decide(
        self, wave: OpenWave, differences: Sequence[Difference], failed: int, *, before: bool = False
    ) -> list[Hold]:
        store = self._store
        say_held = partial(
            say_wave_held,
            wave.wave,
            wave.waves,
            differences=differences,
            failed=failed,
            allowed=self._rules.waves.max_failures,
            before=before,
        )
        breach = say_held()
        if not breach:
            await store.waves.close()
            return []
        self._log.warning(
            "apply.wave_differs",
            wave=wave.wave,
            waves=wave.waves,
            of_run=wave.run_id,
            differences=len(differences),
            failed=failed,
        )
        rules = self._rules.fingerprint()
        await store.waves.hold_rest(self._run_id, say(Cause.GUARD, breach=breach), rules=rules)
        held = await self._list_holds(breach)
        self.notes += [] if held else [say_held(rest=False)]
        return held

    async def _list_holds(self, breach: str) -> list[Hold]:
        held = await self._store.in_thread(self._store.plans.load_holds, self._run_id, Cause.GUARD)
        return [Hold(action, count, reason) for action, count, reason in held if reason == breach]

    # ---- reading back -----------------------------------------------------------------------------------------------

    async def _read_back(self, wave: OpenWave) -> tuple[Difference, ...]:
        """Read what a wave wrote, and again for ``bps.sync_wait`` while the portal does not show all of it.

        What it still copies then is left to the next run.
        """
        deadline, pause = self._clock.monotonic() + self._options.sync_wait, 0.25
        while True:
            await self._read(wave)
            differences, copied = await self._store.in_thread(self._compare, wave)
            left = deadline - self._clock.monotonic()
            if not (differences or copied) or left <= 0:
                return differences
            if self._stopping():
                raise Interrupted("asked to stop while reading a wave back")
            await self._clock.sleep(min(pause, left))
            pause = min(pause * 2, 5.0)

    async def _read(self, wave: OpenWave) -> None:
        store, now = self._store, self._clock.now()
        users, groups, holders = await store.waves.load_written(wave)
        await read_concerned(
            self._portal,
            store,
            progress=self._progress,
            users=users,
            groups=groups,
            now=now,
            concurrency=self._options.concurrency,
            stopping=self._stopping,
        )
        if len(holders) > _FEW:
            await Licensing(self._portal, store, ruled=bool(self._rules.licences), now=now).read()
        elif holders:
            found = [await self._portal.fetch_holder(bps_id) for bps_id in holders]
            await store.licences.store_holders([each for each in found if each is not None], now=now)

    def _compare(self, wave: OpenWave) -> tuple[tuple[Difference, ...], int]:
        """Return what differs, and how much is not shown because the portal still copies it."""
        found, copied = list[Difference](), 0
        for chunk in self._store.waves.iterate_sent(wave):
            differences, still = compare_sent(chunk)
            found += differences
            copied += still
        return tuple(found), copied
