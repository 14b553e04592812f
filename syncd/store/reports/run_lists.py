"""The run history by pages and by days, and the changes of one run by person and group: for lists to look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import CompoundSelect, Row, Select, Text, bindparam, case, cast, func, select, union

from syncd.model.change import Action
from syncd.model.run import RunRecord
from syncd.store.db.database import Database
from syncd.store.db.parameters import among_bound
from syncd.store.db.sql import decode_json
from syncd.store.runs.runlog import make_run
from syncd.store.schema.tables import (
    changes,
    runs,
    source_groups,
    source_objects,
    source_users,
    target_groups,
    target_principals,
    target_users,
)

Grouping = Literal["person", "record"]
"""By which end of a membership changes are put together; ``record``: by what is written to."""
_ACTIONS: tuple[str, ...] = get_args(Action)
_ALL = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which changes of a run are meant; empty texts leave everything in."""

    outcome: str = ""
    action: str = ""
    object: str = ""
    needle: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeLine:
    """One change as a list shows it. ``subject`` is the BPS id that it is put under, ``name`` that one's name."""

    seq: int
    subject: str
    name: str
    source: tuple[str, str] | None
    """Kind (users, groups) and source id of the subject, where the tenant knows it."""
    action: str
    object: str
    bps_id: str
    bps_name: str
    target: str
    before: Mapping[str, str | None]
    after: Mapping[str, str | None]
    cause: str
    reason: str
    outcome: str
    error_cause: str
    error: str
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DayOfRuns:
    """What happened on one day of UTC: runs by status, and what they did by action."""

    day: str
    statuses: Mapping[str, int] = field(default_factory=dict)
    done: Mapping[str, int] = field(default_factory=dict)


def load_runs_before(
    database: Database, *, before: int, limit: int, statuses: Collection[str] = (), kinds: Collection[str] = ()
) -> list[RunRecord]:
    """Return the newest runs with a number below ``before`` (0: of all), newest first; nothing given: of every kind."""
    statement = _NEWEST
    if statuses:
        statement = statement.where(among_bound(runs.c.status, "statuses", textual=True))
    if kinds:
        statement = statement.where(among_bound(runs.c.kind, "kinds", textual=True))
    asked: dict[str, Any] = {"before": before or _ALL, "most": limit}
    asked |= {name: given for name, given in (("statuses", statuses), ("kinds", kinds)) if given}
    return [make_run(row) for row in database.load_rows(statement, asked)]


def load_days(database: Database, *, since: datetime) -> dict[str, DayOfRuns]:
    """Return the days since then on which something ran, by their date in UTC."""
    statuses: dict[str, Counter[str]] = {}
    done: dict[str, Counter[str]] = {}
    for row in database.load_rows(_COUNT_DAYS, {"since": since}):
        statuses.setdefault(row.day, Counter())[row.status] += row.number
    for row in database.load_rows(_SELECT_CHANGING, {"since": since}):
        found = decode_json(row.counts)
        numbers = done.setdefault(row.day, Counter())
        numbers["done"] += found.get("done", 0)
        numbers.update({action: found[action] for action in _ACTIONS if found.get(action)})
    return {day: DayOfRuns(day=day, statuses=found, done=done.get(day, {})) for day, found in statuses.items()}


def find_size(database: Database, run_id: int) -> int:
    """Return about how many changes a run planned: the last place in its plan, which takes no time to find."""
    return int(database.load_value(_FIND_LAST, {"run": run_id}) or 0)


def load_changes(
    database: Database, run_id: int, *, wanted: Filter, by: Grouping, start: int, limit: int, as_planned: bool = False
) -> list[ChangeLine]:
    """Return so many changes of a run from place ``start``, those of one person or group side by side.

    ``as_planned``: in the order of the plan, which of hundreds of thousands is the only one that costs nothing.
    """
    asked = {"run": run_id, "start": start, "most": limit}
    statement = _describe(_narrow(_pick(by), wanted, asked), as_planned=as_planned)
    return [_make_line(row) for row in database.load_rows(statement, asked)]


def iterate_changes(database: Database, run_id: int, *, wanted: Filter, by: Grouping) -> Iterator[ChangeLine]:
    """Yield all of them, by chunks."""
    start, most = 0, 1000
    while lines := load_changes(database, run_id, wanted=wanted, by=by, start=start, limit=most):
        yield from lines
        start += len(lines)


def count_changes(database: Database, run_id: int, *, wanted: Filter) -> int:
    """Return how many changes of a run are meant."""
    asked: dict[str, Any] = {"run": run_id}
    counted = select(func.count()).select_from(changes).where(_RUN)
    return int(database.load_value(_narrow(counted, wanted, asked), asked) or 0)


def count_subjects(database: Database, run_id: int, *, outcome: str) -> list[tuple[str, str, int, int]]:
    """Return of a run, by action and object: the number of changes, and of how many people or groups they are."""
    rows = database.load_rows(_COUNT_SUBJECTS, {"run": run_id, "outcome": outcome})
    return [(row.action, row.object, row.number, row.subjects) for row in rows]


def find_deletions(database: Database, run_id: int, *, outcome: str, limit: int) -> tuple[list[int], int]:
    """Return the places of the first deletions of a run, and how many there are."""
    asked = {"run": run_id, "outcome": outcome}
    places = database.load_values(_FIND_DELETIONS, {**asked, "most": limit})
    return places, int(database.load_value(_COUNT_DELETIONS, asked) or 0)


def find_worst_hit(database: Database, run_id: int, *, outcome: str, action: str) -> tuple[str, str, int] | None:
    """Return the group that most memberships of this kind of change concern: its BPS id, its name, and how many."""
    row = database.load_row(_FIND_WORST, {"run": run_id, "outcome": outcome, "action": action})
    return None if row is None else (row.bps_id, row.name or "", row.number)


def _make_line(row: Row[Any]) -> ChangeLine:
    kind = "users" if row.user_key is not None else "groups" if row.group_key is not None else ""
    return ChangeLine(
        seq=row.seq,
        subject=row.subject or "",
        name=row.name or "",
        source=(kind, row.source_id) if kind and row.source_id else None,
        action=row.action,
        object=row.object,
        bps_id=row.record_id,
        bps_name=row.record_name or "",
        target=row.target_id or row.target,
        before=decode_json(row.before),
        after=decode_json(row.after),
        cause=row.cause,
        reason=row.reason,
        outcome=row.status,
        error_cause=row.error_cause,
        error=row.error,
        finished_at=row.finished_at,
    )


# ---- statements -----------------------------------------------------------------------------------------------------

_RUN = changes.c.run_id == bindparam("run")
_LINKS = changes.c.object.in_(("membership", "ownership"))
_PERSON = case((_LINKS, changes.c.target_key), else_=changes.c.record_key)
_RECORD, _TARGET = target_principals.alias("record_end"), target_principals.alias("target_end")
_UNDER = target_principals.alias("under_end")
_DAY = func.substr(cast(runs.c.started_at, Text), 1, 10)
_NEWEST = select(runs).where(runs.c.id < bindparam("before")).order_by(runs.c.id.desc()).limit(bindparam("most"))
_RECENT = runs.c.started_at >= bindparam("since")
_COUNT_DAYS = (
    select(_DAY.label("day"), runs.c.status, func.count().label("number"))
    .where(_RECENT, runs.c.kind != "plan")
    .group_by(_DAY, runs.c.status)
)
_SELECT_CHANGING = select(_DAY.label("day"), runs.c.counts).where(_RECENT, runs.c.counts.contains('"done":'))


def _pick(by: Grouping) -> Select[Any]:
    """Return the changes of a run, to be narrowed: the key that each is put under, and what they are sorted by."""
    subject = _PERSON if by == "person" else changes.c.record_key
    return (
        select(changes.c.seq, subject.label("under"), _UNDER.c.bps_fold, changes.c.phase)
        .select_from(changes.outerjoin(_UNDER, _UNDER.c.key == subject))
        .where(_RUN)
    )


def _narrow(statement: Select[Any], wanted: Filter, asked: dict[str, Any]) -> Select[Any]:
    for name, column, value in (
        ("outcome", changes.c.status, wanted.outcome),
        ("action", changes.c.action, wanted.action),
        ("object", changes.c.object, wanted.object),
    ):
        if value:
            statement, asked[name] = statement.where(column == bindparam(name)), value
    if wanted.needle:
        needle = wanted.needle.casefold().replace("!", "!!").replace("%", "!%").replace("_", "!_")
        statement, asked["needle"] = statement.where(changes.c.seq.in_(_FITTING)), f"%{needle}%"
    return statement


def _describe(picked: Select[Any], *, as_planned: bool) -> Select[Any]:
    """Return the same changes with all that a line shows; only those of one page get so far."""
    by_subject = () if as_planned else (_UNDER.c.bps_fold, changes.c.phase)
    page = picked.order_by(*by_subject, changes.c.seq).offset(bindparam("start")).limit(bindparam("most")).subquery()
    user, group, written = target_users.alias("own_user"), target_groups.alias("own_group"), target_groups.alias("wg")
    own = case((changes.c.object.in_(("user", "group")), changes.c.source_key), else_=None)
    return (
        select(
            changes,
            _RECORD.c.bps_id.label("record_id"),
            _TARGET.c.bps_id.label("target_id"),
            _UNDER.c.bps_id.label("subject"),
            func.coalesce(user.c.name, group.c.name, source_users.c.name, source_groups.c.name).label("name"),
            written.c.name.label("record_name"),
            source_users.c.key.label("user_key"),
            source_groups.c.key.label("group_key"),
            source_objects.c.id.label("source_id"),
        )
        .select_from(page)
        .join(changes, _RUN & (changes.c.seq == page.c.seq))
        .join(_RECORD, _RECORD.c.key == changes.c.record_key)
        .outerjoin(_TARGET, _TARGET.c.key == changes.c.target_key)
        .outerjoin(_UNDER, _UNDER.c.key == page.c.under)
        .outerjoin(user, user.c.key == page.c.under)
        .outerjoin(group, group.c.key == page.c.under)
        .outerjoin(written, written.c.key == changes.c.record_key)
        .outerjoin(source_objects, source_objects.c.key == func.coalesce(user.c.source_key, group.c.source_key, own))
        .outerjoin(source_users, source_users.c.key == source_objects.c.key)
        .outerjoin(source_groups, source_groups.c.key == source_objects.c.key)
        .order_by(*(() if as_planned else (page.c.bps_fold, page.c.phase)), page.c.seq)
    )


def _find_fitting() -> CompoundSelect[Any]:
    """Return the places in a run's plan of what concerns a record or a member whose BPS id is like ``:needle``."""
    planned, named = changes.alias("planned"), target_principals.alias("named")
    fits = select(named.c.key).where(named.c.bps_fold.like(bindparam("needle"), escape="!"))
    here = planned.c.run_id == bindparam("run")
    ends = (planned.c.record_key, planned.c.target_key)
    return union(*(select(planned.c.seq).where(here, end.in_(fits)) for end in ends))


def _count_subjects() -> Select[Any]:
    return (
        select(
            changes.c.action,
            changes.c.object,
            func.count().label("number"),
            func.count(_PERSON.distinct()).label("subjects"),
        )
        .where(_RUN, changes.c.status == bindparam("outcome"))
        .group_by(changes.c.action, changes.c.object)
        .order_by(func.count().desc(), changes.c.action, changes.c.object)
    )


def _find_worst() -> Select[Any]:
    return (
        select(target_principals.c.bps_id, target_groups.c.name, func.count().label("number"))
        .select_from(changes)
        .join(target_principals, target_principals.c.key == changes.c.record_key)
        .outerjoin(target_groups, target_groups.c.key == changes.c.record_key)
        .where(
            _RUN,
            _LINKS,
            changes.c.status == bindparam("outcome"),
            changes.c.action == bindparam("action"),
        )
        .group_by(target_principals.c.bps_id, target_groups.c.name)
        .order_by(func.count().desc(), target_principals.c.bps_id)
        .limit(1)
    )


_DELETED = (_RUN, changes.c.action == "delete", changes.c.status == bindparam("outcome"))
_FIND_DELETIONS = select(changes.c.seq).where(*_DELETED).order_by(changes.c.seq).limit(bindparam("most"))
_COUNT_DELETIONS = select(func.count()).select_from(changes).where(*_DELETED)
_COUNT_SUBJECTS = _count_subjects()
_FIND_WORST = _find_worst()
_FIND_LAST = select(func.max(changes.c.seq)).where(_RUN)
_FITTING = _find_fitting()
