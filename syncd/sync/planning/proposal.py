"""Plans that come from elsewhere than a comparison of both sides: what they need, and how a run carries them out.

A proposal reads the records concerned from the portal, writes a complete plan into the store, and says what of it is
withheld. Applying it is then the same as for any other plan. Graph is never asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from syncd.errors import Interrupted, UnsafePlan
from syncd.logs.quotes import quote
from syncd.model.change import REMOVALS
from syncd.model.privilege import Place, read_privilege
from syncd.model.reason import Cause
from syncd.model.run import RunKind
from syncd.plan.guard import Hold
from syncd.plan.moment import LIMIT, Moment, hangs_on_time
from syncd.plan.planfile import PlanFile, RecordState
from syncd.plan.rules import Rules
from syncd.plan.undo.values import Done
from syncd.plan.words import say
from syncd.sync.passage import drop_plan
from syncd.sync.portal.licences import Licensing
from syncd.sync.portal.looks import Looks
from syncd.sync.portal.privileges import Privileging
from syncd.sync.portal.read import read_concerned
from syncd.sync.ports.progress import Progress
from syncd.sync.ports.sides import Portal

if TYPE_CHECKING:
    from syncd.store.store import Store

Entry = TypeVar("Entry")

Standing = tuple[Done, int, int | None]
"""A change and how things stand now, with the key of its record and, for a membership, of its member."""

_AT_ONCE = 1000
_NAMED = 5
"""So many of the records that stand in the way are named in an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a proposal is made with.

    ``refused``: a proposal adds what is to be told of changes that a person wanted, and that it leaves alone.
    """

    portal: Portal
    store: Store
    looks: Looks
    rules: Rules
    moment: Moment
    concurrency: int
    progress: Progress
    stopping: Callable[[], bool]
    refused: list[str] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        """The present by our clock."""
        return self.moment.now

    async def read(
        self,
        users: Sequence[str],
        groups: Sequence[str],
        *,
        licences: bool | None = None,
        places: Collection[Place] = (),
    ) -> None:
        """Read these records of the portal into the inventory, and everybody's licences where they are looked after.

        ``licences``: read them in any case (Forbidden without the scope), or in none. ``places``: read who has
        something there, and at the places of ours.
        """
        if places:
            await Privileging(self.looks, self.rules, now=self.now, stopping=self.stopping).read(places)
        licensing = Licensing(self.portal, self.store, ruled=bool(licences) or bool(self.rules.licences), now=self.now)
        if licences is not False and await licensing.are_ours():
            await licensing.read()
        await read_concerned(
            self.portal,
            self.store,
            progress=self.progress,
            users=users,
            groups=groups,
            now=self.now,
            concurrency=self.concurrency,
            stopping=self.stopping,
        )


class Proposal(Protocol):
    """A plan in the making."""

    @property
    def kind(self) -> RunKind:
        """Return the kind of run that carries it out."""
        ...

    @property
    def writes(self) -> bool:
        """Return whether it means to write to the portal."""
        ...

    async def propose(self, run_id: int, means: Means, phase: Callable[[str], None]) -> list[Hold]:
        """Write the complete plan of a run; return what of it is withheld. ``phase`` is told what begins."""
        ...


@dataclass(frozen=True, slots=True)
class FromFile:
    """Exactly what a plan file says, or UnsafePlan with what has changed since it was made.

    What the guard let through when the plan was made goes through; what it withheld stays withheld.
    """

    file: PlanFile
    kind: Literal["apply"] = "apply"
    writes: Literal[True] = True

    async def propose(self, run_id: int, means: Means, phase: Callable[[str], None]) -> list[Hold]:
        """Compare both sides with the file, and take over its changes."""
        store = means.store
        phase("plan")
        await self._check_source(means)
        phase("read portal")
        users, groups = await store.in_thread(self._list_records)
        await means.read(users, groups, places=await store.in_thread(self._list_places))
        phase("plan")
        overtaken = await store.in_thread(self._take_over, run_id, means)
        if overtaken:
            before = await store.plan_files.load_applied(self.file.checksum)
            await store.in_thread(
                drop_plan, store, run_id, say(Cause.NOT_APPLIED, why="the portal has changed since the plan was made")
            )
            raise UnsafePlan(self._describe(overtaken, before))
        await store.plan_files.note_applied(self.file.checksum, run_id)
        holds = await store.in_thread(store.plans.load_holds, run_id)
        return [Hold(action, count, reason) for action, count, reason in holds]

    async def _check_source(self, means: Means) -> None:
        head, store = self.file.head, means.store
        if means.rules.fingerprint() != head.rules:
            raise UnsafePlan(
                "the rules (scope, mapping or policy) are others than when the plan was made; nothing was applied, "
                "make the plan again"
            )
        parts = await store.plan_files.load_directory_parts()
        changed = [
            f"{name} ({head.directory[name].count:,} then, {part.count:,} now)"
            for name, part in sorted(parts.items())
            if name not in head.directory or head.directory[name] != part
        ]
        if changed:
            before = await store.plan_files.load_applied(self.file.checksum)
            hint = f" (run {before} began to apply this file)" if before else ""
            raise UnsafePlan(
                f"the stored directory has changed since the plan of {head.made_at}: {', '.join(changed)}{hint}; "
                "nothing was applied, make the plan again"
            )

    def _list_records(self) -> tuple[list[str], list[str]]:
        found: dict[str, list[str]] = {"user": [], "group": []}
        for record in self.file.iterate_records():
            found[record.object].append(record.bps_id)
        return found["user"], found["group"]

    def _list_places(self) -> list[Place]:
        allowed = (each for each in self.file.iterate_changes() if each.object == "privilege")
        found = {read_privilege(each.after or each.before).place for each in allowed}
        return sorted(found, key=lambda place: place.token)

    def _take_over(self, run_id: int, means: Means) -> list[str]:
        """Write the file's changes into the run's plan; return what of the target stands in the way."""
        store, seq, removals, timely = means.store, 0, 0, 0
        overtaken = self._find_changed(means)
        if overtaken:
            return overtaken
        for entries in _in_chunks(self.file.iterate_changes()):
            if means.stopping():
                raise Interrupted("asked to stop while reading the plan file")
            going = [entry for entry in entries if not entry.held]
            removals += sum(entry.action in REMOVALS for entry in going)
            timely += sum(hangs_on_time(entry.action, entry.object, grace=means.rules.policy.grace) for entry in going)
            seq = store.plan_files.add_file_changes(run_id, seq, entries)
        if timely and (doubt := self._find_doubt(means.moment)):
            drop_plan(store, run_id, say(Cause.CLOCK, doubt=doubt))
            raise UnsafePlan(
                f"{timely} changes of the plan hang on time (deletions after the grace, substitutions), and {doubt}; "
                "nothing was applied: set the clock, and make the plan again"
            )
        if removals and means.moment.quiet:
            drop_plan(store, run_id, say(Cause.QUIET_HOURS))
            raise UnsafePlan(
                f"the plan has {removals} removals, and {means.moment.quiet_reason} (guard.quiet_hours); nothing was "
                "applied, apply it when they are over"
            )
        members = store.plan_files.load_overtaken_members(run_id, _NAMED + 1)
        licences = store.plan_files.load_overtaken_licences(run_id, _NAMED + 1)
        privileges = store.plan_files.load_overtaken_privileges(run_id, _NAMED + 1)
        return [
            *(f"{planned.change.target} in {planned.change.bps_id}" for planned, _, _ in members),
            *(f"licence {planned.change.target} of {planned.change.bps_id}" for planned, _, _ in licences),
            *(f"{planned.change.target} of {planned.change.bps_id}" for planned, _, _ in privileges),
        ]

    def _find_doubt(self, moment: Moment) -> str:
        """Return why the time of the plan, or the present, is not believed; empty when both are."""
        if not moment.doubt and datetime.fromisoformat(self.file.head.made_at) - moment.now > LIMIT:
            return f"it says that it was made at {self.file.head.made_at}, which has not come yet"
        return moment.doubt

    def _find_changed(self, means: Means) -> list[str]:
        found: list[str] = []
        for then in _in_chunks(self.file.iterate_records()):
            users = [record.bps_id for record in then if record.object == "user"]
            groups = [record.bps_id for record in then if record.object == "group"]
            known = {
                (record.object, record.bps_id.casefold()): record
                for record in means.store.plan_files.load_record_states(users, groups)
            }
            for record in then:
                difference = _describe_difference(record, known[record.object, record.bps_id.casefold()])
                if difference:
                    found.append(f"{record.bps_id} ({difference})")
                if len(found) > _NAMED:
                    return found
        return found

    def _describe(self, overtaken: list[str], before: str | None) -> str:
        """Return what stands in the way; names are left out as a whole where nobody may be named."""
        named = ", ".join(overtaken[:_NAMED]) + (" and more" if len(overtaken) > _NAMED else "")
        hint = f"; run {before} began to apply this file" if before else ""
        return (
            f"the portal has changed since the plan of {self.file.head.made_at}: {quote(named)}{hint}; nothing was "
            "applied, make the plan again"
        )


def _describe_difference(then: RecordState, now: RecordState) -> str:
    """Return in which respect a record is another than the plan saw; nothing when it is not."""
    if then.fields is None or now.fields is None:
        if then.fields is now.fields:
            return ""
        return "it is there now" if then.fields is None else "it is gone"
    if then.ours != now.ours:
        return "it is not ours any more" if now.ours is None else "it is ours now"
    return ", ".join(sorted(name for name in then.fields if then.fields[name] != now.fields.get(name)))


def _in_chunks(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    while chunk := list(islice(entries, _AT_ONCE)):
        yield chunk
