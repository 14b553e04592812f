"""Direct a drill: found the company, let it be synchronised once, and play each fault from that same state."""

from __future__ import annotations

import asyncio
import copy
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from syncd.bootstrap.drill.clocks import PlayClock, WrongClock
from syncd.bootstrap.drill.company import Cast, found, list_named_groups
from syncd.bootstrap.drill.program import DrilledProgram
from syncd.bootstrap.drill.settings import list_left_out, make_drill_settings, make_founding_settings
from syncd.bootstrap.store import open_store, open_stored
from syncd.config import Settings
from syncd.errors import SyncdError
from syncd.http import hurried_retries
from syncd.sandbox.drill.picture import Picture, find_difference, take_picture
from syncd.sandbox.drill.play import Day, Play, Scenario
from syncd.sandbox.drill.results import Report, Result
from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.snapshot import Snapshot, put_back, take_snapshot
from syncd.store.reports.company import StoredCompany, load_company, load_owned

Tell = Callable[[str, int], None]
"""Called with the name of a counter and how much was added: how far the drill has got."""

_ATTEMPTS = 6
_PATIENCE = 2 * 3600.0
"""Seconds after which all must be right. What delta told holds against other readings for an hour (delta_log)."""
_BY_HAND = 3
"""So many people are given a licence by hand, which no rule may take."""


class DrillImpossible(SyncdError):
    """There is nothing that faults could be played on; the message says why, and the way out."""


@dataclass(slots=True, kw_only=True)
class Stage:
    """Everything between two plays: the converged state, and what is put back before each."""

    sandbox: Sandbox
    program: DrilledProgram
    cast: Cast
    base: Picture
    snapshot: Snapshot
    store: Path
    people: Mapping[str, str]
    places: Mapping[str, str]
    days: dict[str, tuple[Picture, frozenset[str]]] = field(default_factory=dict)

    async def play(self, scenario: Scenario) -> Result:
        """Play one fault from the converged state, and judge what came of it."""
        wanted, meant = self.base, frozenset[str]()
        if scenario.day is not None:
            if scenario.day.name not in self.days:
                self.days[scenario.day.name] = await self._play_day(scenario.day)
            wanted, meant = self.days[scenario.day.name]
        play = self.begin(wanted, scenario.day)
        play.meant |= meant
        await scenario.play(play)
        during = list(play.ends)
        play.lift()
        await play.delta(insist=True)
        await play.full(insist=True)
        now = take_picture(self.sandbox)
        if find_difference(play.wanted, now, strangers=play.strangers):
            await self.sandbox.directory.clock.sleep(_PATIENCE)
            await play.full(insist=True)
            now = take_picture(self.sandbox)
        return self._judge(scenario, play, now, during=[ended.status for ended in during])

    async def _play_day(self, day: Day) -> tuple[Picture, frozenset[str]]:
        """Return what the portal holds after that day when nothing goes wrong, and who lost something by it."""
        play = self.begin(self.base, day)
        play.happen()
        await play.delta(insist=True)
        return take_picture(self.sandbox), frozenset(play.meant)

    def begin(self, wanted: Picture, day: Day | None = None) -> Play:
        """Put everything back to the converged state, and return what a play of it works with."""
        put_back(self.sandbox, self.snapshot)
        self.program.put_back(self.store)
        self.program.set_clock(ahead=0.0)
        self.program.set_rules_back()
        self.program.take_for(self.sandbox.registration.tenant_id)
        knobs = copy.copy(self.sandbox.tenant_knobs), copy.copy(self.sandbox.portal_knobs)
        return Play(
            sandbox=self.sandbox,
            program=self.program,
            base=self.base,
            people=self.people,
            places=self.places,
            knobs=knobs,
            named=self.cast.named,
            wanted=wanted,
            known=(self.base, wanted),
            day=day,
        )

    def _judge(self, scenario: Scenario, play: Play, now: Picture, *, during: Sequence[str]) -> Result:
        harm = play.harm
        return Result(
            fault=scenario.name,
            side=scenario.side,
            says=scenario.says,
            day=scenario.day.name if scenario.day else "",
            planned=max((ended.planned for ended in play.ends), default=0),
            held=max((ended.held for ended in play.ends), default=0),
            removed=len(play.lost),
            deleted=len(harm.accounts),
            unlinked=len(harm.places - harm.accounts),
            revoked=len(harm.licences - harm.accounts - harm.places),
            groups=len(harm.groups),
            gained=len(harm.gained),
            passed=len(harm.passed),
            foreign=len(harm.foreign),
            unasked=len(harm.unasked),
            differences=find_difference(play.wanted, now, strangers=play.strangers),
            runs=during,
            who=sorted(harm.everybody()) if self.cast.made_up else (),
        )


@asynccontextmanager
async def open_stage(
    settings: Settings, *, people: int, company: StoredCompany | None, seed: int = 1
) -> AsyncIterator[Stage]:
    """Found the company in a sandbox of its own and synchronise it; everything is gone at the end.

    ``company`` None: it is made up of so many ``people``; else at most so many are copied. Raises DrillImpossible, and
    what the configuration itself is refused for.
    """
    with tempfile.TemporaryDirectory(prefix="syncd-drill-") as folder, hurried_retries(_ATTEMPTS):
        path, clock = Path(folder), PlayClock()
        options = SandboxOptions(users=0, groups=0, memberships=0, seed=seed, foreign_records=False, ledger="counters")
        options.portal_knobs.seats = 1_000_000
        sandbox = Sandbox(options, path, clock=clock)
        cast = found(sandbox, settings, company, people=people, seed=seed)
        async with sandbox:
            yield await _synchronise(settings, sandbox, cast, WrongClock(clock))


async def _synchronise(settings: Settings, sandbox: Sandbox, cast: Cast, clock: WrongClock) -> Stage:
    """Push the whole company once, and see that nothing is left to do."""
    store = sandbox.path / "drill.db"
    own = make_drill_settings(settings, sandbox, store, protect=cast.protect)
    founder = DrilledProgram(make_founding_settings(own), clock, store=store, faults=sandbox.faults)
    first = await founder.run("full")
    if first.status == "failed":  # what single people lack is no hindrance: they lack it in life, too
        raise DrillImpossible(f"the drill cannot begin: even without a fault the first push fails: {first.error}")
    program = DrilledProgram(own, clock, store=store, faults=sandbox.faults, compiled=founder.compiled)
    await program.run("full")
    holders = sorted(take_picture(sandbox).accounts)[:_BY_HAND]
    for bps_id in holders:
        licence = {"bpsId": sandbox.portal.accounts[bps_id].bps_id, "licenses": [{"type": "ExternalUser"}]}
        sandbox.portal_service.licences.assign({"assignLicenses": [licence]})
    before = take_picture(sandbox)
    again = await program.run("full")
    base = take_picture(sandbox)
    if again.status == "failed" or find_difference(before, base):
        raise DrillImpossible("the drill cannot begin: this configuration does not come to rest even without a fault")
    if not base.accounts:
        raise DrillImpossible(
            "the drill cannot begin: nobody of the company is in the scope of this configuration. Run 'syncd sync "
            "full' first, so that the drill can copy the stored company"
        )
    database = open_store(own, create=False)
    try:
        owned = await asyncio.to_thread(load_owned, database)
    finally:
        database.close()
    return Stage(
        sandbox=sandbox,
        program=program,
        cast=cast,
        base=base,
        snapshot=take_snapshot(sandbox),
        store=program.keep(),
        people=owned["user"],
        places=owned["group"],
    )


def load_stored(settings: Settings, *, people: int) -> StoredCompany | None:
    """Return the stored company, or a sample of so many people; None without a store, or with an empty one.

    The store is opened so that nothing can write to it. Raises StoreError, SchemaMismatch.
    """
    database = open_stored(settings)
    if database is None:
        return None
    try:
        return load_company(database, most=people, names=[name for _, name in list_named_groups(settings)])
    finally:
        database.close()


async def drill(
    settings: Settings, scenarios: Sequence[Scenario], *, people: int, company: StoredCompany | None, tell: Tell
) -> Report:
    """Play these faults, one after the other, and return what came of them. Nothing real is read or written."""
    async with open_stage(settings, people=people, company=company) as stage:
        results = []
        for scenario in scenarios:
            results.append(await stage.play(scenario))
            tell("faults played", 1)
        return report(stage, settings, results)


def report(stage: Stage, settings: Settings, results: Sequence[Result]) -> Report:
    """Return with whom it was played, and what came of it."""
    return Report(
        people=stage.cast.people,
        groups=stage.cast.groups,
        stored_people=stage.cast.stored_people,
        synchronised=len(stage.base.accounts),
        results=results,
        notes=(*stage.cast.notes, *list_left_out(settings)),
    )
