"""Letting go what was kept long enough: runs with their changes, and who was where. Small transactions, one at a time.

A run stays, however old it is, as long as anything needs it: what it holds is in force or undecided, an order or a
rejection names it, something that it sent was never settled, or it is the last one that changed anything. Whole days
are let go at once, so that a run between two midnights has nothing to do but one question.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Select,
    Table,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
)

from syncd.model.chain import join_numbers
from syncd.model.run import Retention
from syncd.store.db.markers import PLANNING, SELECT_MARKER, load_marker, save_marker
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import decode_json, encode_json
from syncd.store.runs.chain import append_content
from syncd.store.runs.open_changes import select_newest_whole
from syncd.store.schema.tables import (
    asked_runs,
    changes,
    day_counts,
    decision_records,
    facts,
    licence_history,
    link_history,
    orders,
    record_history,
    rejections,
    run_chain,
    runs,
    settlements,
)
from syncd.store.schema.types import UtcTime

RUNS_AT_ONCE = 100
ROWS_AT_ONCE = 10_000
"""So much is let go in one transaction at most: it takes a fraction of a second, and anybody else waits no longer."""
PRUNING = "pruning"
"""A fact: JSON, the runs that are being let go. The chain says so already, and their changes may be gone in part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What one step has let go; ``more``: there may be more."""

    runs: int = 0
    plans: int = 0
    changes: int = 0
    history: int = 0
    more: bool = False


class Keeping(StorePart):
    """Its methods are called in the store's thread, by whoever holds the store's lock, while no run goes on."""

    @in_thread
    def trim_log(self) -> None:
        """Give back the room of the log that a run has filled, where the store is a file with one."""
        self._database.trim_log()

    @in_thread
    def prune_step(self, kept: Retention, *, now: datetime) -> Pruned:
        """Let go a bounded part of what was kept long enough."""
        limits = _find_limits(kept, now)
        if not self._database.load_value(_IS_DUE, {**limits, "marker": PRUNING}):
            return Pruned()
        with self._database.transaction() as connection:
            begun = load_marker(connection, PRUNING)
            if begun is not None:
                return _let_go(connection, [int(each) for each in json.loads(begun)])
            chosen = list(connection.scalars(_SELECT_PRUNABLE, limits))
            if chosen:
                append_content(connection, "pruned", {"runs": join_numbers(chosen)})
                save_marker(connection, PRUNING, encode_json(chosen))
                return Pruned(more=True)
            return _let_go_history(connection, limits)


def _find_limits(kept: Retention, now: datetime) -> dict[str, Any]:
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return {"runs_before": today - kept.runs, "history_before": today - kept.history}


def _let_go(connection: Connection, chosen: Sequence[int]) -> Pruned:
    """Go on with runs of which the chain says already that they are let go: their changes first, then themselves."""
    gone = 0
    for run_id in chosen:
        for statement in _DELETE_PARTS:
            gone += connection.execute(statement, {"run": run_id, "most": ROWS_AT_ONCE - gone}).rowcount
            if gone >= ROWS_AT_ONCE:
                return Pruned(changes=gone, more=True)
    kinds = connection.scalars(_SELECT_KINDS, {"runs": chosen}).all()
    for statement in _DELETE_RUNS:
        connection.execute(statement, {"runs": chosen})
    connection.execute(_DELETE_MARKERS, {"markers": [f"{PLANNING}{run_id}" for run_id in chosen]})
    save_marker(connection, PRUNING, None)
    _let_go_entries(connection)
    plans = kinds.count("plan")
    return Pruned(runs=len(kinds) - plans, plans=plans, changes=gone, more=True)


def _let_go_entries(connection: Connection) -> None:
    """Shorten the chain to where the oldest run begins that is there: an anchor says behind which hash that is."""
    first = connection.scalar(_FIND_FIRST_ENTRY)
    if first is None or not connection.scalar(_HAS_RUN_BEFORE, {"first": first}):
        return
    said = [decode_json(content) for content in connection.scalars(_SELECT_BEGINNINGS)]
    unhashed = max((each.get("unhashed", 0) for each in said), default=0)
    last = connection.scalar(_SELECT_HASH_BEFORE, {"first": first})
    append_content(connection, "anchor", {"hash": last, "unhashed": unhashed})
    connection.execute(_DELETE_ENTRIES, {"first": first})


def _let_go_history(connection: Connection, limits: dict[str, Any]) -> Pruned:
    gone = 0
    for statement in _DELETE_HISTORY:
        gone += connection.execute(statement, {**limits, "most": ROWS_AT_ONCE - gone}).rowcount
        if gone >= ROWS_AT_ONCE:
            return Pruned(history=gone, more=True)
    return Pruned(history=gone)


# ---- statements -----------------------------------------------------------------------------------------------------

_GOOD = ("succeeded", "partial", "held")
_NEWEST = select_newest_whole(runs.c.kind != "plan", runs.c.status.in_(_GOOD)).scalar_subquery()


def _select_last_changing(*passed_over: str) -> Select[Any]:
    last = runs.alias("last")
    done = exists().where(changes.c.run_id == last.c.id, changes.c.status == "done")
    return select(last.c.id).where(last.c.kind.not_in(passed_over), done).order_by(last.c.id.desc()).limit(1)


def _select_prunable() -> Select[Any]:
    """Return a query for the oldest runs that are old enough and that nothing needs."""
    held = select(changes.c.held_since).where(changes.c.run_id >= _NEWEST, changes.c.held_since.is_not(None))
    named = (
        held,
        select(orders.c.run_id).where(orders.c.result_run.is_(None)),
        select(rejections.c.run_id),
        _select_last_changing("plan"),
        _select_last_changing("plan", "undo"),
    )
    return (
        select(runs.c.id)
        .where(
            runs.c.finished_at < bindparam("runs_before", type_=UtcTime()),
            runs.c.status != "running",
            runs.c.id < _NEWEST,
            *(runs.c.id.not_in(each) for each in named),
            ~exists().where(changes.c.run_id == runs.c.id, changes.c.status == "started"),
        )
        .order_by(runs.c.finished_at, runs.c.id)
        .limit(RUNS_AT_ONCE)
    )


def _is_over(table: Table) -> ColumnElement[bool]:
    over: ColumnElement[bool] = table.c.went_at < bindparam("history_before", type_=UtcTime())
    return over


def _delete_over(table: Table) -> Delete:
    few = select(table.c.key).where(_is_over(table)).order_by(table.c.went_at).limit(bindparam("most"))
    return delete(table).where(table.c.key.in_(few))


def _delete_part(table: Table) -> Delete:
    run = table.c.run_id == bindparam("run")
    few = select(table.c.seq).where(run).order_by(table.c.seq).limit(bindparam("most"))
    return delete(table).where(run, table.c.seq.in_(few))


_HISTORY = (link_history, licence_history, record_history)
_SELECT_PRUNABLE = _select_prunable()
_IS_DUE = select(
    or_(
        SELECT_MARKER.exists(),
        _SELECT_PRUNABLE.with_only_columns(runs.c.id).limit(1).exists(),
        *(exists().where(_is_over(table)) for table in _HISTORY),
    )
)
_DELETE_PARTS = (_delete_part(changes), _delete_part(settlements))
_SELECT_KINDS = select(runs.c.kind).where(among_bound(runs.c.id, "runs"))
_DELETE_RUNS = tuple(
    delete(column.table).where(among_bound(column, "runs"))
    for column in (asked_runs.c.result_run, decision_records.c.run_id, day_counts.c.run_id, runs.c.id)
)
_DELETE_MARKERS = delete(facts).where(among_bound(facts.c.name, "markers", textual=True))
_DELETE_HISTORY = tuple(_delete_over(table) for table in _HISTORY)
_FIND_FIRST_ENTRY = select(func.min(run_chain.c.seq)).where(
    run_chain.c.kind == "run", run_chain.c.run_id.in_(select(runs.c.id))
)
_BEFORE = run_chain.c.seq < bindparam("first")
_HAS_RUN_BEFORE = select(exists().where(run_chain.c.kind == "run", _BEFORE))
_SELECT_BEGINNINGS = select(run_chain.c.content).where(run_chain.c.kind.in_(("begin", "anchor")))
_SELECT_HASH_BEFORE = select(run_chain.c.hash).where(_BEFORE).order_by(run_chain.c.seq.desc()).limit(1)
_DELETE_ENTRIES = delete(run_chain).where(_BEFORE)
