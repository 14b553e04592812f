"""Plans and outcomes: the changes of a run, written completely before the first of them is tried."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, get_args

from sqlalchemy import Select

from syncd.model.change import (
    Action,
    Change,
    LinkKind,
    ObjectKind,
    OutcomeStatus,
    Phase,
    PlainLinks,
    PlannedChange,
)
from syncd.model.reason import NO_REASON, Cause, Reason
from syncd.store.db.parameters import read_gathered
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import decode_json, encode_json, insert_tuples
from syncd.store.plans.change_statements import (
    CHANGES,
    CHANGES_AT,
    CHANGES_CHOSEN,
    CHANGES_OF_STATUS,
    CHANGES_PLANNED,
    COUNT_BEGUN,
    COUNT_FOLLOWING,
    COUNT_HOLDS,
    COUNT_OUTCOMES,
    COUNT_PHASES,
    COUNT_PLANNED,
    COUNT_WAITING,
    COUNTED_LINKS,
    LOAD_DELETIONS,
    SELECT_ADOPTIONS,
    SELECT_FIRST,
    SELECT_NEWEST_TRY,
    SELECT_PHASES,
    SELECT_READY,
    SELECT_WAITING,
)
from syncd.store.plans.plain_links import insert_plain_links
from syncd.store.schema.tables import changes

Placed = tuple[PlannedChange, int, int | None]
"""A planned change with the key of its record and, for a membership, of its member; for a licence its type's number."""

_PLANNED = (
    "run_id", "seq", "phase", "action", "object", "record_key", "target_key", "target", "source_key", "before", "after",
    "cause", "reason", "status", "error_cause", "error",
)  # fmt: skip
_AT_ONCE = 1000
_PHASES = {int(phase): phase for phase in Phase}
_CAUSES = {cause.value: cause for cause in Cause}


class Plans(StorePart):
    """Writes plans, hands out what is to be applied, and records outcomes with their effect on the inventory."""

    # ---- planning ---------------------------------------------------------------------------------------------------

    @in_thread
    def add_changes(self, run_id: int, start: int, planned: Sequence[tuple[Change, int, int | None]]) -> int:
        """Append (change, record key, target key) to the plan from place ``start``; return the next place."""
        rows = [_make_row(run_id, seq, placed) for seq, placed in enumerate(planned, start)]
        self._insert(rows)
        return start + len(rows)

    def add_links(self, run_id: int, start: int, *, kind: LinkKind, links: Sequence[PlainLinks]) -> int:
        """Append plain links, as they are sorted; return the next place.

        They say no more than that somebody who is wanted is put into a group that is wanted.
        """
        with self._database.transaction() as connection:
            return insert_plain_links(connection, run_id, start, kind=kind, links=links)

    def add_left(self, run_id: int, start: int, left: Sequence[tuple[Change, int, int | None, Reason]]) -> int:
        """Append what a plan leaves alone, each with the reason; return the next place."""
        rows = [
            (*_make_row(run_id, seq, (change, record, target))[:-3], "dropped", reason.cause.value, reason.text)
            for seq, (change, record, target, reason) in enumerate(left, start)
        ]
        self._insert(rows)
        return start + len(rows)

    def _insert(self, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            with self._database.transaction() as connection:
                insert_tuples(connection, changes, _PLANNED, rows)

    def count_changes(self, run_id: int) -> dict[tuple[Action, ObjectKind], int]:
        """Return how many changes of each kind are planned and not held; updates count each record once.

        A second account for somebody who has one (a rename) counts as an update and not as a creation. An update that
        only completes a creation does not count. Of substitutions only the new ones of leavers count: they belong to
        the unlinking. A creation that an earlier run was let to begin, and did not finish, does not count again.
        """
        found: dict[tuple[Action, ObjectKind], int] = {}
        moves = leavers = 0
        for row in self._database.load_rows(COUNT_PLANNED, {"run": run_id}):
            moves += row.moves or 0
            leavers += row.leavers or 0
            if row.action == "link":
                found |= {
                    ("link", kind): number for kind, number in zip(COUNTED_LINKS, row[2:], strict=False) if number
                }
            elif row.counting:
                found[row.action, row.object] = row.records if row.action == "update" else row.counting
        if moves:
            found["update", "user"] = found.get(("update", "user"), 0) + moves
            found["create", "user"] -= moves
        if any(action == "create" for action, _ in found):
            for kind, begun in self._database.load_rows(COUNT_BEGUN, {"run": run_id}):
                found["create", kind] -= begun
        if leavers:
            found["unlink", "user"] = leavers
        return found

    def load_adoptions(self, run_id: int) -> set[int]:
        """Return the records that a plan wants to adopt."""
        return set(self._database.load_values(SELECT_ADOPTIONS, {"run": run_id}))

    def was_left_unlinked(self, group: int, member: int, *, kind: LinkKind) -> bool:
        """Return whether the newest attempt to link these two was not finished; a plan that was only shown is none."""
        return self._was_left("link", kind, record=group, target=member)

    def was_left_ungranted(self, record: int, number: int, *, kind: ObjectKind) -> bool:
        """Return whether the newest attempt to grant a licence or a privilege was not finished, in the same sense."""
        return self._was_left("grant", kind, record=record, target=number)

    def _was_left(self, action: Action, kind: ObjectKind, *, record: int, target: int) -> bool:
        asked = {"record": record, "target": target, "action": action, "kind": kind}
        return self._database.load_value(SELECT_NEWEST_TRY, asked) in ("deferred", "failed", "started", "planned")

    # ---- reading ----------------------------------------------------------------------------------------------------

    def iterate_changes(
        self,
        run_id: int,
        *,
        statuses: Collection[OutcomeStatus] | None = None,
        actions: Collection[Action] | None = None,
        phase: Phase | None = None,
    ) -> Iterator[list[Placed]]:
        """Yield (change, record key, target key) in the plan's order, in chunks."""
        statement, asked = CHANGES, dict[str, Any](run=run_id, most=_AT_ONCE)
        if statuses is not None or actions is not None:
            statement = CHANGES_CHOSEN if actions else CHANGES_OF_STATUS
            asked["statuses"] = get_args(OutcomeStatus) if statuses is None else statuses
            asked["actions"] = actions or ()
        # Only phases that exist are asked for: a plan mostly has few of them.
        for each in sorted(self._database.load_values(SELECT_PHASES, {"run": run_id})) if phase is None else [phase]:
            asked |= {"phase": int(each), "after": -1}
            while placed := self._load_places(statement, asked):
                yield placed
                asked["after"] = placed[-1][0].seq

    def load_first(
        self,
        run_id: int,
        *,
        status: OutcomeStatus,
        actions: Collection[Action] | None,
        at_most: int,
        apart: Cause | None = None,
    ) -> list[Placed]:
        """Return the first changes of a status, those of a phase that do the same for the same reason together.

        ``apart``: without those that are left alone for this cause.
        """
        asked = {
            "run": run_id,
            "status": status,
            "actions": actions or get_args(Action),
            "apart": apart.value if apart else "-",
            "most": at_most,
        }
        seqs = self._database.load_values(SELECT_FIRST, asked)
        places = {placed[0].seq: placed for placed in self.load_places(run_id, seqs)}
        return [places[seq] for seq in seqs if seq in places]

    @in_thread
    def count_planned(self, run_id: int) -> dict[Phase, int]:
        """Return how many changes are planned, by phase; a phase without any is missing."""
        return {Phase(row[0]): row[1] for row in self._database.load_rows(COUNT_PHASES, {"run": run_id})}

    @in_thread
    def load_batch(self, run_id: int, phase: Phase, *, after: int, limit: int) -> list[Placed]:
        """Return the next planned changes of a phase behind place ``after``."""
        asked = {"run": run_id, "phase": int(phase), "after": after, "most": limit}
        return self._load_places(CHANGES_PLANNED, asked)

    def load_places(self, run_id: int, seqs: Collection[int]) -> list[Placed]:
        """Return single changes of a plan, in its order."""
        return self._load_places(CHANGES_AT, {"run": run_id, "seqs": seqs}) if seqs else []

    def _load_places(self, statement: Select[Any], asked: Mapping[str, Any]) -> list[Placed]:
        """Return the changes that a statement yields, in the order of the plan."""
        rows = read_gathered(self._database.load_value(statement, asked))
        return [_place(row) for row in sorted(rows, key=itemgetter(1))]

    @in_thread
    def load_deletions(self, run_id: int, at_most: int) -> list[str]:
        """Return the BPS ids of accounts that a plan deletes, so many at most."""
        return self._database.load_values(LOAD_DELETIONS, {"run": run_id, "most": at_most})

    @in_thread
    def load_waiting(self, run_id: int, at_most: int) -> tuple[list[str], list[str]]:
        """Return BPS ids of accounts and of groups that planned changes need and WEBCON has not synchronised yet.

        No more than ``at_most`` of each: after a first push nearly everybody waits.
        """
        asked = {"run": run_id, "most": at_most}
        users, groups = (sorted(self._database.load_values(statement, asked)) for statement in SELECT_WAITING)
        return users, groups

    @in_thread
    def count_waiting(self, run_id: int) -> int:
        """Return how many these are in all."""
        return sum(self._database.load_value(statement, {"run": run_id}) for statement in COUNT_WAITING)

    @in_thread
    def load_ready(self, folds: Collection[str]) -> dict[str, bool]:
        """Return which of these (folded) BPS ids are synchronised accounts, and whether each is ours."""
        rows = read_gathered(self._database.load_value(SELECT_READY, {"folds": folds}))
        return {row[0]: row[1] is not None for row in rows}

    def load_holds(self, run_id: int, *causes: Cause) -> list[tuple[Action, int, str]]:
        """Return what a run withholds: action, number and reason; for these causes, or (none given) for any."""
        asked = {"run": run_id, "causes": [cause.value for cause in causes or Cause]}
        return [(row[0], row[1], row[2]) for row in self._database.load_rows(COUNT_HOLDS, asked)]

    def count_following(self, run_id: int) -> int:
        """Return how many removals would follow from the adoptions that a run withholds."""
        return int(self._database.load_value(COUNT_FOLLOWING, {"run": run_id}))

    @in_thread
    def count_outcomes(self, run_id: int) -> dict[tuple[Action, ObjectKind, OutcomeStatus], int]:
        """Return how many changes of each kind ended how."""
        return {(row[0], row[1], row[2]): row[3] for row in self._database.load_rows(COUNT_OUTCOMES, {"run": run_id})}


def _make_row(run_id: int, seq: int, placed: tuple[Change, int, int | None]) -> tuple[object, ...]:
    """Return the values of `_PLANNED`."""
    change, record, target = placed
    before, after, reason, held = change.before, change.after, change.reason, change.held
    said = ("", "") if reason is NO_REASON else (reason.cause.value, reason.text)
    stop = ("planned", "", "") if held is NO_REASON else (_find_status(held), held.cause.value, held.text)
    return (
        run_id,
        seq,
        int(change.phase),
        change.action,
        change.object,
        record,
        target,
        change.target if target is None or target < 0 else "",
        change.source_key,
        encode_json(before) if before else None,
        encode_json(after) if after else None,
        *said,
        *stop,
    )


def _find_status(held: Reason) -> OutcomeStatus:
    """Return how a change begins. What would follow from an adoption is only shown."""
    if held.cause is Cause.FOLLOWS_ADOPTION:
        return "dropped"
    return "held" if held else "planned"


def _place(row: Sequence[Any]) -> Placed:
    """Read a row by position: there may be hundreds of thousands of them."""
    (run_id, seq, phase, action, kind, record, target_key, target, source, before, after, cause, reason, status,
     error_cause, error, held_since, record_id, target_id) = row  # fmt: skip
    change = Change(
        phase=_PHASES[phase],
        action=action,
        object=kind,
        bps_id=record_id,
        target=target_id or target,
        source_key=source,
        before=decode_json(before),
        after=decode_json(after),
        reason=_read_reason(cause, reason),
    )
    stop = _read_reason(error_cause, error)
    planned = PlannedChange(run_id=run_id, seq=seq, change=change, status=status, error=stop, held_since=held_since)
    return planned, record, target_key


def _read_reason(cause: str, text: str) -> Reason:
    return Reason(_CAUSES[cause], text) if cause or text else NO_REASON
