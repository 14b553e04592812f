"""Plans that come from elsewhere than a comparison of both sides: what they need, and how a run carries them out.

A proposal reads the records concerned from the portal, writes a complete plan into the store, and says what of it is
withheld. Applying it is then the same as for any other plan. Graph is never asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Literal, Protocol, TypeVar

from syncd.errors import Interrupted, UnsafePlan
from syncd.model.change import Action, Change, OutcomeStatus
from syncd.model.run import Approval, RunKind
from syncd.plan.drift import Drift, Ours
from syncd.plan.guard import REMOVALS, Hold
from syncd.plan.planfile import FileChange, Part, PlanFile, RecordState
from syncd.plan.rules import Rules
from syncd.plan.undo.values import Done
from syncd.sync.planning.kept_by_hand import PlanningStore
from syncd.sync.portal.licences import Licensing
from syncd.sync.portal.read import read_concerned
from syncd.sync.ports.caller import Placed
from syncd.sync.ports.progress import Progress
from syncd.sync.ports.push import PushStore
from syncd.sync.ports.sides import Portal

Entry = TypeVar("Entry")

Standing = tuple[Done, int, int | None]
"""A change and how things stand now, with the key of its record and, for a membership, of its member."""

_AT_ONCE = 1000
_NAMED = 5
"""So many of the records that stand in the way are named in an error."""


class ProposalStore(PushStore, PlanningStore, Protocol):
    """What proposals read and write beyond an ordinary push."""

    def load_directory_parts(self) -> dict[str, Part]:
        """Return count and checksum of each part of the directory."""
        ...

    def iterate_drift(self, scope: Ours) -> Iterator[list[Drift]]:
        """Yield what was changed by hand."""
        ...

    def accept_drift(self, scope: Ours) -> None:
        """Take what was changed by hand as it is."""
        ...

    def iterate_taken_licences(self) -> Iterator[list[Drift]]:
        """Yield the licences of ours that somebody took by hand."""
        ...

    def accept_taken_licences(self) -> None:
        """Take it as it is that somebody took them."""
        ...

    def load_principals(self, bps_ids: Collection[str]) -> dict[str, int]:
        """Return the keys of BPS ids by their folded form."""
        ...

    def touch_records(self, keys: Collection[int]) -> None:
        """Have the next run look at these records."""
        ...

    def load_record_states(self, users: Collection[str], groups: Collection[str]) -> list[RecordState]:
        """Return records of the target as the inventory has them."""
        ...

    def add_file_changes(self, run_id: int, start: int, entries: Sequence[FileChange]) -> int:
        """Append changes of a plan file to a plan."""
        ...

    def load_overtaken_members(self, run_id: int, limit: int) -> list[Placed]:
        """Return planned memberships that the target has already, or removals that it lacks."""
        ...

    def load_concerned_ids(self, run_id: int, statuses: Collection[OutcomeStatus]) -> tuple[list[str], list[str]]:
        """Return users and groups that a run's changes write to."""
        ...

    def iterate_standing(self, run_id: int, status: OutcomeStatus) -> Iterator[list[Standing]]:
        """Yield changes of a run beside the inventory of now."""
        ...

    def load_settled_later(self, run_id: int, *, again: bool) -> list[Standing]:
        """Return what a run sent without learning how it ended, where a later run found that out."""
        ...

    def load_released(self, approval: Approval) -> list[Standing]:
        """Return released changes beside the inventory of now."""
        ...

    def settle_released(self, approval: Approval, result_run: int) -> None:
        """Note who carries out what was released."""
        ...

    def add_left(self, run_id: int, start: int, left: Sequence[tuple[Change, int, int | None, str]]) -> int:
        """Append what a plan leaves alone."""
        ...

    def load_overtaken_licences(self, run_id: int, limit: int) -> list[Placed]:
        """Return planned grants of what is held already, or revokes of what is gone."""
        ...

    def drop_plan(self, run_id: int, reason: str) -> None:
        """Take everything out of a plan."""
        ...

    def load_holds(self, run_id: int) -> list[tuple[Action, int, str]]:
        """Return what a plan withholds."""
        ...

    def load_applied(self, checksum: str) -> str | None:
        """Return the run that began to apply a file."""
        ...

    def note_applied(self, checksum: str, run_id: int) -> None:
        """Remember that a run begins to apply a file."""
        ...

    def finish_proposal(self, run_id: int) -> None:
        """Touch what did not get done."""
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """What a proposal is made with. ``quiet``: it is quiet hours, in which nothing is removed."""

    portal: Portal
    store: ProposalStore
    rules: Rules
    now: datetime
    concurrency: int
    quiet: bool
    progress: Progress
    stopping: Callable[[], bool]

    async def read(self, users: Sequence[str], groups: Sequence[str], *, licences: bool | None = None) -> None:
        """Read these records of the portal into the inventory, and everybody's licences where they are looked after.

        ``licences``: read them in any case (Forbidden without the scope), or in none.
        """
        licensing = Licensing(self.portal, self.store, ruled=bool(licences) or bool(self.rules.licences), now=self.now)
        if licences is not False and await licensing.are_ours():
            await licensing.read()
        await read_concerned(
            self.portal,
            self.store,
            self.progress,
            users,
            groups,
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
        users, groups = await store.call(self._list_records)
        await means.read(users, groups)
        phase("plan")
        overtaken = await store.call(self._take_over, run_id, means)
        if overtaken:
            before = await store.call(store.load_applied, self.file.checksum)
            await store.call(store.drop_plan, run_id, "the portal has changed since the plan was made")
            raise UnsafePlan(self._describe(overtaken, before))
        await store.call(store.note_applied, self.file.checksum, run_id)
        return [Hold(action, count, reason) for action, count, reason in await store.call(store.load_holds, run_id)]

    async def _check_source(self, means: Means) -> None:
        head, store = self.file.head, means.store
        if means.rules.fingerprint() != head.rules:
            raise UnsafePlan(
                "the rules (scope, mapping or policy) are others than when the plan was made; nothing was applied, "
                "make the plan again"
            )
        parts = await store.call(store.load_directory_parts)
        changed = [
            f"{name} ({head.directory[name].count:,} then, {part.count:,} now)"
            for name, part in sorted(parts.items())
            if name not in head.directory or head.directory[name] != part
        ]
        if changed:
            before = await store.call(store.load_applied, self.file.checksum)
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

    def _take_over(self, run_id: int, means: Means) -> list[str]:
        """Write the file's changes into the run's plan; return what of the target stands in the way."""
        store, seq, removals = means.store, 0, 0
        overtaken = self._find_changed(means)
        if overtaken:
            return overtaken
        for entries in _in_chunks(self.file.iterate_changes()):
            if means.stopping():
                raise Interrupted("asked to stop while reading the plan file")
            removals += sum(entry.action in REMOVALS and not entry.held for entry in entries)
            seq = store.add_file_changes(run_id, seq, entries)
        if removals and means.quiet:
            store.drop_plan(run_id, "quiet hours")
            raise UnsafePlan(
                f"the plan has {removals} removals, and it is quiet hours (guard.quiet_hours); nothing was applied, "
                "apply it when they are over"
            )
        members = store.load_overtaken_members(run_id, _NAMED + 1)
        licences = store.load_overtaken_licences(run_id, _NAMED + 1)
        return [
            *(f"{planned.change.target} in {planned.change.bps_id}" for planned, _, _ in members),
            *(f"licence {planned.change.target} of {planned.change.bps_id}" for planned, _, _ in licences),
        ]

    def _find_changed(self, means: Means) -> list[str]:
        found: list[str] = []
        for then in _in_chunks(self.file.iterate_records()):
            users = [record.bps_id for record in then if record.object == "user"]
            groups = [record.bps_id for record in then if record.object == "group"]
            known = {
                (record.object, record.bps_id.casefold()): record
                for record in means.store.load_record_states(users, groups)
            }
            for record in then:
                difference = _describe_difference(record, known[record.object, record.bps_id.casefold()])
                if difference:
                    found.append(f"{record.bps_id} ({difference})")
                if len(found) > _NAMED:
                    return found
        return found

    def _describe(self, overtaken: list[str], before: str | None) -> str:
        named = ", ".join(overtaken[:_NAMED]) + (" and more" if len(overtaken) > _NAMED else "")
        hint = f"; run {before} began to apply this file" if before else ""
        return (
            f"the portal has changed since the plan of {self.file.head.made_at}: {named}{hint}; nothing was applied, "
            "make the plan again"
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
