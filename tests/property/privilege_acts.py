"""What syncd is asked to do in long histories about privileges, and what goes wrong meanwhile."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field, replace

from syncd.errors import UnknownObject
from syncd.model.run import RunRecord
from syncd.sandbox.portal.places import Given
from syncd.sandbox.wire.faults import Fault
from syncd.store.store import Store
from syncd.sync.planning.drift import DriftCheck
from syncd.sync.planning.proposal import FromFile
from syncd.sync.planning.undo import Undo
from tests.property.privilege_history import GROUPS, History

_PLACE = re.compile(r"/db/1/(applications|processes)/([0-9a-f-]{36})/")
_CODES = {403: "InsufficientAccountPermissions", 404: "ResourceNotFound", 409: "ValidationError", 500: "InternalError"}


class _Killed(BaseException):
    """The process is gone."""


@dataclass
class Acts:
    """One run after the other, each a process of its own; what it made is there for the next ones."""

    history: History
    runs: list[RunRecord] = field(default_factory=list)
    file: FromFile | None = None

    def __post_init__(self) -> None:
        self.office, self.chance = self.history.office, self.history.chance

    async def act(self, *, trouble: bool) -> None:
        """Do one thing, perhaps with a lost answer, a wrong one, a portal that is not there, or a kill on the way."""
        wire = self.office.wire
        if trouble:
            self._choose_trouble()
        usual = (self._delta, self._full) * 5
        others = (self._one, self._one, self._plan, self._apply, self._approve, self._undo, self._drift)
        chosen = self.chance.choice((*usual, *others))
        try:
            if (run := await chosen()) is not None:
                self.runs.append(run)
        except _Killed:
            pass
        finally:
            wire.faults.clear()
            wire.before = wire.after = None
        for seconds in (0, self.chance.choice((60, 7200, 200_000))):
            self.office.clock.elapsed += seconds
            wire.service.privileges.catch_up()

    async def _delta(self) -> RunRecord:
        return await self.office.sync("delta", retry_failed=self.chance.random() < 0.5)

    async def _full(self) -> RunRecord:
        return await self.office.sync("full")

    async def _one(self) -> RunRecord | None:
        """``syncd sync user`` and ``syncd sync group``, of anything that there ever was."""
        if self.chance.random() < 0.2:
            return await self.office.sync_one("user", "ann")
        named = (*sorted(self.office.source.groups), *(f"Group {name}" for name in GROUPS))
        with contextlib.suppress(UnknownObject):  # of which an older store, or no run, has heard
            return await self.office.sync_one("group", self.chance.choice(named))
        return None

    async def _plan(self) -> RunRecord:
        """Only plan, and keep the plan in a file."""
        run = await self.office.sync(self.chance.choice(("delta", "full")), write=False)
        if run.status in ("succeeded", "held"):
            self.file = self.office.make_file(run)
        return run

    async def _apply(self) -> RunRecord | None:
        """Carry out that file, however old it is."""
        return None if self.file is None else await self.office.carry_out(self.file)

    async def _approve(self) -> RunRecord | None:
        """Approve what the guard held last."""
        held = [run for run in self.runs if run.status == "held"]
        return await self.office.approve(held[-1]) if held else None

    async def approve_what_waits(self, run: RunRecord) -> None:
        """Approve everything that the guard holds, by the last run or any before it."""
        chunks = Store(self.office.database).plans.iterate_changes(run.id)
        held = {one.held_since or run.id for some in chunks for one, _, _ in some if one.status == "held"}
        for number in sorted(held):
            await self.office.approve(replace(run, id=number))

    async def _undo(self) -> RunRecord | None:
        """Undo one of the last runs."""
        if not self.runs:
            return None
        run = self.chance.choice(self.runs[-4:])
        return await self.office.carry_out(Undo(run_id=run.id, delete_created=self.chance.random() < 0.5))

    async def _drift(self) -> RunRecord:
        """Look for what was done by hand, and set it back, or take it as it is."""
        answer = self.chance.choice(("report", "revert", "adopt"))
        return await self.office.carry_out(DriftCheck(answer, lambda found: [*found].clear()))  # type: ignore[arg-type]

    # ---- trouble ----------------------------------------------------------------------------------------------------

    def _choose_trouble(self) -> None:
        wire = self.office.wire
        what = self.chance.choice(
            ("lose", "reset", "status", "kill before", "kill after", "outage", "hand", "404", "403", "409")
        )
        path = self.chance.choice(("privileges/add", "privileges/remove", "admin/privileges"))
        anywhere = self.chance.random() < 0.3
        count = self.chance.randrange(1, 4)
        if what in ("lose", "reset", "status"):
            wire.faults.add(Fault(what, side="portal", path=path, count=count))  # type: ignore[arg-type]
        elif what in ("404", "403", "409"):
            path = self.chance.choice((path, r"/db/1/(applications|processes|workflows)(?!.*privileges)"))
            if what == "409":  # the document names it for writes alone
                path = self.chance.choice(("privileges/add", "privileges/remove"))
            wire.faults.add(
                Fault("status", side="portal", path=path, count=self.chance.choice((1, 1, 2, -1)), status=int(what),
                      body=f'{{"type": "{_CODES[int(what)]}", "description": "no", "errorGuid": "1"}}'.encode())
            )  # fmt: skip
        elif what == "hand":
            self._give_while_lost()
        elif what == "outage":
            wire.faults.add(Fault("reset", side="portal", path="admin/privileges", count=-1))
        else:
            at = self.chance.randrange(1, 30) if anywhere else self.chance.randrange(1, 4)
            self._arm("/" if anywhere else path, after=what.endswith("after"), at=at)

    def _give_while_lost(self) -> None:
        """The first grant gets lost before its effect, and somebody gives the group something there meanwhile."""
        wire, seen = self.office.wire, 0
        knobs = wire.knobs
        if knobs.privilege_exclusive or not knobs.privileges_list_groups or knobs.privileges_shown_after:
            return
        wire.faults.add(Fault("reset", side="portal", path="privileges/add", count=1))

        def watch(_method: str, target: str) -> None:
            nonlocal seen
            seen += target.endswith("privileges/add")
            if not target.endswith("privileges/add") or seen > 1:
                return
            found = _PLACE.search(target)
            meant = self._list_meant(found[2]) if found else []
            if found and len({key for key, _ in meant}) == 1:  # of another group the grant that follows would be clear
                kind = "application" if found[1] == "applications" else "process"
                given = Given((1, kind, "", found[2]), *self.chance.choice(meant))
                self.history.hand(given, on_its_way=True)

        wire.before = watch

    def _list_meant(self, guid: str) -> list[tuple[str, str]]:
        """Return which groups of the portal are given which level at an application or process by a rule."""
        history = self.history
        named = {name: key for key, name in history.find_live().items() if key in self.office.wire.store.groups}
        rules = [one for one in history.rules if one.group in named and history.places.describe(one)[0] == guid]
        return [(named[one.group], one.level) for one in rules if not one.company]

    def _arm(self, path: str, *, after: bool, at: int) -> None:
        seen, dead = 0, False

        def strike(_method: str, target: str) -> None:
            nonlocal seen, dead
            seen += path in target
            if dead or (path in target and seen == at):
                dead = True
                raise _Killed

        if after:
            self.office.wire.after = strike
        else:
            self.office.wire.before = strike
