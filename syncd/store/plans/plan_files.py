"""Plans that no comparison of both sides made: brought by a file, or the reverse of a run. Reads, and writes them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, get_args

from sqlalchemy import ColumnElement, Select, Table, bindparam, exists, or_, select

from syncd.model.change import LinkKind, ObjectKind, OutcomeStatus, find_written
from syncd.model.kinds import RECORD_KINDS
from syncd.model.licence import number_type
from syncd.model.privilege import read_privilege
from syncd.plan.planfile import FileChange, RecordState
from syncd.store.db.markers import APPLIED, load_markers, save_marker
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.inventory.bps_ids import intern_bps_ids
from syncd.store.inventory.written import LINKS
from syncd.store.licences.taken import is_held
from syncd.store.plans.changes import Placed, Plans
from syncd.store.plans.checksums import Checksums
from syncd.store.privileges.records import intern_privileges
from syncd.store.privileges.statements import SELECT_OVERTAKEN
from syncd.store.runs.touched import touch_principals, touch_unfinished
from syncd.store.schema.tables import changes, source_objects, target_licences, target_principals

_AT_ONCE = 1000


class ProposedPlans(StorePart):
    """Its methods are called in the store's thread, or by commands."""

    # ---- out --------------------------------------------------------------------------------------------------------

    def iterate_concerned(self, run_id: int, statuses: Collection[OutcomeStatus]) -> Iterator[list[RecordState]]:
        """Yield the records of the target that a run's changes write to, as the inventory has them, in chunks."""
        checksums = Checksums(self._database)
        for kind, bps_ids in self._iterate_written(run_id, statuses):
            users, groups = (bps_ids, []) if kind == "user" else ([], bps_ids)
            yield checksums.load_record_states(users, groups)

    def _iterate_written(self, run_id: int, statuses: Collection[OutcomeStatus]) -> Iterator[tuple[str, list[str]]]:
        for kind in RECORD_KINDS:
            objects = [name for name in get_args(ObjectKind) if find_written(name) == kind]
            asked = {"run": run_id, "statuses": statuses, "objects": objects, "after": ""}
            while rows := self._database.load_rows(_SELECT_WRITTEN, asked):
                asked["after"] = rows[-1].bps_fold
                yield kind, sorted({row.bps_id for row in rows})

    @in_thread
    def load_concerned_ids(self, run_id: int, statuses: Collection[OutcomeStatus]) -> tuple[list[str], list[str]]:
        """Return BPS ids of the users and of the groups that a run's changes write to."""
        found: dict[str, list[str]] = {"user": [], "group": []}
        for kind, bps_ids in self._iterate_written(run_id, statuses):
            found[kind] += bps_ids
        return found["user"], found["group"]

    def iterate_file_changes(self, run_id: int) -> Iterator[FileChange]:
        """Yield what a plan would do, and what of it is held, as a plan file has it."""
        for chunk in Plans(self._database).iterate_changes(run_id, statuses=("planned", "held")):
            ids = self._load_source_ids({planned.change.source_key for planned, _, _ in chunk})
            for planned, _, target in chunk:
                change = planned.change
                yield FileChange(
                    change.phase.name,
                    change.action,
                    change.object,
                    change.bps_id,
                    change.target,
                    target is not None and target > 0,
                    ids.get(change.source_key),
                    dict(change.before),
                    dict(change.after),
                    change.reason.cause.value,
                    change.reason.text,
                    planned.error.cause.value if planned.status == "held" else "",
                    (planned.error.text or "held") if planned.status == "held" else "",
                )

    def _load_source_ids(self, keys: Collection[int | None]) -> dict[int | None, str]:
        asked = [key for key in keys if key is not None]
        return {row[0]: row[1] for row in self._database.load_rows(_SELECT_IDS, {"keys": asked})}

    # ---- in ---------------------------------------------------------------------------------------------------------

    def add_file_changes(self, run_id: int, start: int, entries: Sequence[FileChange]) -> int:
        """Append changes of a plan file to the plan of a run; return the next place."""
        with self._database.transaction() as connection:
            named = {entry.bps_id for entry in entries} | {entry.target for entry in entries if entry.member}
            principals = intern_bps_ids(connection, sorted(named))
            ids = {entry.source_id for entry in entries if entry.source_id}
            sources = {row[0]: row[1] for row in connection.execute(_SELECT_KEYS, {"ids": ids})}
            allowed = [read_privilege(entry.after or entry.before) for entry in entries if entry.object == "privilege"]
            numbers = intern_privileges(connection, allowed)
        placed = [
            (
                entry.make_change(sources.get(entry.source_id or "")),
                principals[entry.bps_id.casefold()],
                principals[entry.target.casefold()] if entry.member else _find_place(entry, numbers),
            )
            for entry in entries
        ]
        return Plans(self._database).add_changes.blocking(run_id, start, placed)

    def load_overtaken_members(self, run_id: int, limit: int) -> list[Placed]:
        """Return planned memberships and ownerships that the target has, or removals that it lacks, a few of them."""
        seqs = self._database.load_values(_SELECT_OVERTAKEN_MEMBERS, {"run": run_id, "most": limit})
        return Plans(self._database).load_places(run_id, seqs)

    def load_overtaken_licences(self, run_id: int, limit: int) -> list[Placed]:
        """Return planned grants of what a person has already, and revokes of what is gone, a few of them."""
        seqs = self._database.load_values(_SELECT_OVERTAKEN_LICENCES, {"run": run_id, "most": limit})
        return Plans(self._database).load_places(run_id, seqs)

    def load_overtaken_privileges(self, run_id: int, limit: int) -> list[Placed]:
        """Return planned grants of what we have given already, and revokes of what we have not, a few of them."""
        seqs = self._database.load_values(SELECT_OVERTAKEN, {"run": run_id, "most": limit})
        return Plans(self._database).load_places(run_id, seqs)

    @in_thread
    def load_applied(self, checksum: str) -> str | None:
        """Return the number of the run that began to apply this file before, if one did."""
        return load_markers(self._database, APPLIED + checksum).get(APPLIED + checksum)

    @in_thread
    def note_applied(self, checksum: str, run_id: int) -> None:
        """Remember that a run begins to apply this file."""
        with self._database.transaction() as connection:
            save_marker(connection, APPLIED + checksum, str(run_id))

    def load_principals(self, bps_ids: Collection[str]) -> dict[str, int]:
        """Return the keys of BPS ids by their folded form."""
        with self._database.transaction() as connection:
            return intern_bps_ids(connection, sorted(bps_ids))

    def touch_records(self, keys: Collection[int]) -> None:
        """Have the next run look at these records."""
        with self._database.transaction() as connection:
            touch_principals(connection, keys)

    @in_thread
    def finish_proposal(self, run_id: int) -> None:
        """Let the next run look at what did not get done; what earlier runs left to look at stays."""
        with self._database.transaction() as connection:
            touch_unfinished(connection, run_id)


def _find_place(entry: FileChange, numbers: Mapping[str, int]) -> int | None:
    """Return the number that stands for a licence type or a privilege; None for what has no member and no type."""
    if entry.object == "privilege":
        return -numbers[read_privilege(entry.after or entry.before).token]
    return number_type(entry.target) if entry.object == "licence" else None


# ---- statements -----------------------------------------------------------------------------------------------------


def _is_overtaken(kind: LinkKind, links: Table) -> ColumnElement[bool]:
    there = (
        select(links.c.group_key)
        .where(links.c.group_key == changes.c.record_key, links.c.member_key == changes.c.target_key)
        .exists()
    )
    changed = (changes.c.action == "link") & there | (changes.c.action == "unlink") & ~there
    return (changes.c.object == kind) & changed


def _select_overtaken(*conditions: ColumnElement[bool]) -> Select[Any]:
    return select(changes.c.seq).where(_RUN, *conditions).order_by(changes.c.seq).limit(bindparam("most"))


_RUN = changes.c.run_id == bindparam("run")
_HAS_LICENCE = exists().where(
    target_licences.c.key == changes.c.record_key, target_licences.c.type == changes.c.target, is_held()
)
_SELECT_OVERTAKEN_MEMBERS = _select_overtaken(or_(*(_is_overtaken(kind, links) for kind, links in LINKS.items())))
_SELECT_OVERTAKEN_LICENCES = _select_overtaken(
    changes.c.object == "licence",
    ((changes.c.action == "grant") & changes.c.before.is_(None) & _HAS_LICENCE)
    | ((changes.c.action == "revoke") & ~_HAS_LICENCE),
)
_SELECT_WRITTEN = (
    select(changes.c.object, target_principals.c.bps_fold, target_principals.c.bps_id)
    .join(target_principals, target_principals.c.key == changes.c.record_key)
    .where(
        _RUN,
        among_bound(changes.c.status, "statuses", textual=True),
        among_bound(changes.c.object, "objects", textual=True),
        target_principals.c.bps_fold > bindparam("after"),
    )
    .distinct()
    .order_by(target_principals.c.bps_fold)
    .limit(_AT_ONCE)
)
_SELECT_IDS = select(source_objects.c.key, source_objects.c.id).where(among_bound(source_objects.c.key, "keys"))
_SELECT_KEYS = select(source_objects.c.id, source_objects.c.key).where(
    among_bound(source_objects.c.id, "ids", textual=True)
)
