"""What was sent without learning how it ended: failures that say so, and what a run that was cut short had planned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Delete, Select, delete, exists, or_, select

from syncd.model.change import LinkKind
from syncd.plan.membership import Doubt
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.inventory.written import LINKS
from syncd.store.runs.open_changes import is_touched, select_newest_whole
from syncd.store.runs.retries import DOUBTFUL
from syncd.store.schema.tables import changes, failures, runs, target_principals


class Doubts(StorePart):
    """Its methods are called in the store's thread."""

    def load_doubtful_places(self, *, touched_only: bool) -> Mapping[LinkKind, Doubt]:
        """Return the places in groups of which nobody knows whether the portal has them; all, or of touched records.

        Where everything is looked at, the groups were read: nothing is left of what a run had planned.
        """
        found: dict[LinkKind, Doubt] = {kind: Doubt() for kind in LINKS}
        for kind, group, member in self._database.load_rows(_SELECT_PLACES):
            found[kind].there.add((group, member))
        cut_short = self._load_cut_short() if touched_only else []
        for kind, action, group, member in self._load_planned(_SELECT_PLANNED_PLACES, cut_short):
            (found[kind].there if action == "link" else found[kind].gone).add((group, member))
        return found

    def forget_settled_doubts(self) -> None:
        """Forget the doubts about places that the portal was seen to have."""
        with self._database.transaction() as connection:
            for kind in LINKS:
                connection.execute(_FORGET_SEEN[kind])

    @in_thread
    def load_doubtful_records(self) -> list[tuple[str, str, int]]:
        """Return (object, BPS id, key) of the accounts, groups and holders of licences that are in doubt."""
        rows = {(row[0], row[1], row[2]) for row in self._database.load_rows(_SELECT_RECORDS)}
        rows |= {
            (row[0], row[1], row[2]) for row in self._load_planned(_SELECT_PLANNED_RECORDS, self._load_cut_short())
        }
        return sorted(rows)

    @in_thread
    def load_doubtful_groups(self, *, most: int) -> list[str]:
        """Return the BPS ids of the groups whose places a run that was cut short may have changed unrecorded.

        Empty when they are more than ``most``: then only a reading of everything settles them.
        """
        rows = self._load_planned(_SELECT_PLANNED_GROUPS, self._load_cut_short())
        return sorted(row[0] for row in rows) if len(rows) <= most else []

    @in_thread
    def has_doubts(self) -> bool:
        """Return whether anything is in doubt at all."""
        return bool(self._database.load_value(_HAS_DOUBTS))

    def _load_cut_short(self) -> list[int]:
        """Return the runs since the last one over everything that ended, which were killed or failed on their way."""
        return self._database.load_values(_SELECT_CUT_SHORT)

    def _load_planned(self, statement: Select[Any], cut_short: list[int]) -> list[Any]:
        return list(self._database.load_rows(statement, {"runs": cut_short})) if cut_short else []


# ---- statements -----------------------------------------------------------------------------------------------------


def _make_forgetting(kind: LinkKind) -> Delete:
    links = LINKS[kind]
    seen = exists().where(links.c.group_key == failures.c.record_key, links.c.member_key == failures.c.target_key)
    return delete(failures).where(_IN_DOUBT, failures.c.object == kind, seen)


def _select_cut_short() -> Select[Any]:
    ended = select_newest_whole(
        runs.c.status.in_(("succeeded", "partial", "held")), runs.c.kind.not_in(("plan", "apply"))
    )
    since = or_(ended.scalar_subquery().is_(None), runs.c.id > ended.scalar_subquery())
    return select(runs.c.id).where(since, runs.c.status.in_(("interrupted", "failed")), runs.c.kind != "plan")


_IN_DOUBT: Any = failures.c.cause.in_(DOUBTFUL)
_SELECT_CUT_SHORT = _select_cut_short()
_HAS_DOUBTS = select(or_(exists().where(_IN_DOUBT), _SELECT_CUT_SHORT.exists()))
_LEFT = among_bound(changes.c.run_id, "runs"), changes.c.status.in_(("planned", "started"))
_RECORDS = ("user", "group", "licence")
_SELECT_PLACES = select(failures.c.object, failures.c.record_key, failures.c.target_key).where(
    _IN_DOUBT, failures.c.object.in_(tuple(LINKS))
)
_SELECT_PLANNED_PLACES = select(changes.c.object, changes.c.action, changes.c.record_key, changes.c.target_key).where(
    *_LEFT, changes.c.object.in_(tuple(LINKS)), is_touched(changes.c.record_key, changes.c.target_key)
)
_SELECT_PLANNED_GROUPS = (
    select(target_principals.c.bps_id)
    .join(changes, changes.c.record_key == target_principals.c.key)
    .where(*_LEFT, changes.c.object.in_(tuple(LINKS)), changes.c.action.in_(("link", "unlink")))
    .distinct()
)
_FORGET_SEEN = {kind: _make_forgetting(kind) for kind in LINKS}
_SELECT_RECORDS = (
    select(failures.c.object, target_principals.c.bps_id, failures.c.record_key)
    .join(target_principals, target_principals.c.key == failures.c.record_key)
    .where(_IN_DOUBT, failures.c.object.in_(_RECORDS))
    .distinct()
)
_SELECT_PLANNED_RECORDS = (
    select(changes.c.object, target_principals.c.bps_id, changes.c.record_key)
    .join(target_principals, target_principals.c.key == changes.c.record_key)
    .where(*_LEFT, changes.c.object.in_(_RECORDS))
    .distinct()
)
