"""The last write of everything that we ever wrote, and whether the portal shows it still, as statements over history.

`syncd.plan.restored` says what that is for. Each slot (a record, a link, a field, a licence) yields one row, that of
the last change of it: ``lost`` where the portal shows what was there before it, ``kept`` where it shows it still.

A value, a place or a licence that was written the same way twice running says nothing where it is not there: the portal
never takes it so (it cuts or reformats it), or somebody sets it back each time. What a replay wrote again counts.

What was there, was taken and was put back (or the other way round) is ``kept`` by a backup from before both: ``undone``
is the run of the first of the two. Had a run of ours put it there, ``made`` is that run: a backup from before it has it
not.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    and_,
    bindparam,
    case,
    distinct,
    exists,
    func,
    not_,
    or_,
    select,
)

from syncd.model.change import LinkKind
from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.model.reason import Cause
from syncd.plan.spelling import LEAST_CUT
from syncd.store.db.parameters import among_bound, json_field
from syncd.store.inventory.drift_notes import HAND_LINKS
from syncd.store.inventory.written import LINKS, OWN_FIELDS, TABLES
from syncd.store.licences.taken import is_held
from syncd.store.schema.tables import (
    changes,
    target_groups,
    target_licences,
    target_users,
    vanished_records,
)
from syncd.store.schema.types import UtcTime

_COLUMNS = (changes.c.run_id, changes.c.seq, changes.c.phase, changes.c.record_key, changes.c.finished_at)
_SEEN = bindparam("seen", type_=UtcTime)
_REPLAYED = bindparam("replayed", type_=UtcTime)
_SINCE = bindparam("since", type_=UtcTime)
_TOGETHER = 1000
"""So many places of a plan are one block at most."""


def _last(*slot: ColumnElement[Any]) -> ColumnElement[int]:
    """Return the number of a change among those of its slot, the last one first."""
    newest = changes.c.run_id.desc(), changes.c.seq.desc()
    return func.row_number().over(partition_by=slot, order_by=newest)


def _written_once(written: ColumnElement[Any], *slot: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that the change of a slot before this one was another, or that a replay wrote this one."""
    newest = changes.c.run_id.desc(), changes.c.seq.desc()
    before = func.lead(written).over(partition_by=slot, order_by=newest)
    return or_(before.is_(None), before != written, changes.c.cause == Cause.LOST_WITH_PORTAL.value)


def _undone(written: ColumnElement[Any], *slot: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the run of the change of a slot before this one, where that one was another."""
    newest = changes.c.run_id.desc(), changes.c.seq.desc()
    before, run = (func.lead(each).over(partition_by=slot, order_by=newest) for each in (written, changes.c.run_id))
    return case((before != written, run))


def _made(written: ColumnElement[Any], *slot: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the run that last wrote to a slot before this change what this one has written."""
    newest = changes.c.run_id.desc(), changes.c.seq.desc()
    return func.lead(changes.c.run_id).over(partition_by=(*slot, written), order_by=newest)


def _judge(rows: FromClause, lost: ColumnElement[bool], kept: ColumnElement[bool]) -> Select[Any]:
    """Return the last change of each slot with what became of it."""
    c = rows.c
    return select(
        c.run_id,
        c.seq,
        c.phase,
        c.seq.op("/")(_TOGETHER).label("part"),
        c.record_key,
        c.finished_at,
        case((lost, 1), else_=0).label("lost"),
        case((kept, 1), else_=0).label("kept"),
        case((kept, c.undone)).label("undone"),
        case((and_(kept, c.undone.is_not(None)), c.made)).label("made"),
    ).where(c.nth == 1, c.finished_at > _REPLAYED)


def _judge_records(kind: RecordKind) -> Select[Any]:
    """Adopting neither makes nor takes a record: it was there before."""
    table = TABLES[kind]
    adopted = changes.c.action == "adopt"
    rows = (
        select(
            *_COLUMNS,
            changes.c.action,
            _last(changes.c.record_key).label("nth"),
            _undone(changes.c.action, changes.c.record_key, adopted).label("undone"),
            _made(changes.c.action, changes.c.record_key).label("made"),
        )
        .where(
            changes.c.object == kind,
            changes.c.status == "done",
            changes.c.action.in_(("create", "delete", "adopt")),
        )
        .subquery()
    )
    there = exists().where(table.c.key == rows.c.record_key)
    strange = exists().where(table.c.key == rows.c.record_key, table.c.origin.is_(None))
    known = exists().where(
        vanished_records.c.key == rows.c.record_key,
        or_(vanished_records.c.accepted, vanished_records.c.seen_at <= _SEEN),
    )
    made, deleted = rows.c.action == "create", rows.c.action == "delete"
    lost = or_(and_(made, ~there, ~known), and_(deleted, strange))
    return _judge(rows, lost, or_(and_(made, there), and_(deleted, ~there)))


def _judge_links(kind: LinkKind, *, whole: bool) -> Select[Any]:
    """``whole``: also those whose group or member is gone itself; otherwise they say nothing."""
    links, hand = LINKS[kind], HAND_LINKS[kind]
    rows = (
        select(
            *_COLUMNS,
            changes.c.action,
            changes.c.target_key,
            _last(changes.c.record_key, changes.c.target_key).label("nth"),
            _written_once(changes.c.action, changes.c.record_key, changes.c.target_key).label("once"),
            _undone(changes.c.action, changes.c.record_key, changes.c.target_key).label("undone"),
            _made(changes.c.action, changes.c.record_key, changes.c.target_key).label("made"),
        )
        .where(changes.c.object == kind, changes.c.status == "done")
        .subquery()
    )
    present = exists().where(links.c.group_key == rows.c.record_key, links.c.member_key == rows.c.target_key)
    known = exists().where(
        hand.c.group_key == rows.c.record_key,
        hand.c.member_key == rows.c.target_key,
        or_(hand.c.accepted, hand.c.seen_at <= _SEEN),
    )
    both = and_(
        exists().where(target_groups.c.key == rows.c.record_key, target_groups.c.origin.is_not(None)),
        exists().where(target_users.c.key == rows.c.target_key),
    )
    put = rows.c.action == "link"
    lost = and_(rows.c.once, or_(and_(put, ~present), and_(not_(put), present)), ~known)
    kept = or_(and_(put, present), and_(not_(put), ~present))
    judged = _judge(rows, lost, kept)
    return judged if whole else judged.where(both)


def _judge_field(kind: RecordKind, name: str) -> Select[Any]:
    """Lost is a value where the portal shows one that an earlier write of ours has replaced.

    What the portal may have made of ours by cutting it says nothing: it may have cut the value before it alike.
    A creation is asked only for what it wrote before the first update: what it replaced is nothing. What is shown may
    have been replaced several times since it was so: ``undone`` is the last change that replaced it.
    """
    table = TABLES[kind]
    shown, ours = func.lower(func.coalesce(table.c[name], "")), func.lower(json_field(changes.c.after, name))
    before = func.lower(func.coalesce(json_field(changes.c.before, name), ""))
    was_shown = and_(changes.c.action != "create", before == shown)
    met = func.max(case((was_shown, 1), else_=0)).over(partition_by=changes.c.record_key)
    undone = func.max(case((and_(was_shown, ours != shown), changes.c.run_id))).over(partition_by=changes.c.record_key)
    rows = (
        select(
            *_COLUMNS,
            changes.c.action,
            _last(changes.c.record_key).label("nth"),
            _written_once(ours, changes.c.record_key).label("once"),
            undone.label("undone"),
            _made(ours, changes.c.record_key).label("made"),
            shown.label("shown"),
            ours.label("ours"),
            met.label("met"),
            json_field(table.c.accepted, name).label("accepted"),
        )
        .join(table, table.c.key == changes.c.record_key)
        .where(
            changes.c.object == kind,
            changes.c.status == "done",
            changes.c.action.in_(("create", "update", "adopt")),
            json_field(changes.c.after, name).is_not(None),
            table.c.origin.is_not(None),
        )
        .subquery()
    )
    replaced = rows.c.action != "create"
    length = func.length(rows.c.shown)
    cut = and_(length >= LEAST_CUT, func.substr(rows.c.ours, 1, length) == rows.c.shown)
    differs = and_(rows.c.shown != rows.c.ours, ~cut)
    lost = and_(replaced, rows.c.once, differs, rows.c.met == 1, rows.c.accepted.is_(None))
    return _judge(rows, lost, and_(replaced, rows.c.shown == rows.c.ours))


def _judge_licences() -> Select[Any]:
    rows = (
        select(
            *_COLUMNS,
            changes.c.action,
            changes.c.target,
            _last(changes.c.record_key, changes.c.target).label("nth"),
            _written_once(changes.c.action, changes.c.record_key, changes.c.target).label("once"),
            _undone(changes.c.action, changes.c.record_key, changes.c.target).label("undone"),
            _made(changes.c.action, changes.c.record_key, changes.c.target).label("made"),
        )
        .where(
            changes.c.object == "licence",
            changes.c.status == "done",
            changes.c.cause != Cause.RULE_SETTINGS.value,
        )
        .subquery()
    )
    held = exists().where(
        target_licences.c.key == rows.c.record_key, target_licences.c.type == rows.c.target, is_held()
    )
    let_go = exists().where(
        target_licences.c.key == rows.c.record_key,
        target_licences.c.type == rows.c.target,
        target_licences.c.origin == "let go",
    )
    account = exists().where(target_users.c.key == rows.c.record_key)
    given = rows.c.action == "grant"
    lost = and_(rows.c.once, or_(and_(given, ~held, ~let_go), and_(not_(given), held)))
    return _judge(rows, lost, or_(and_(given, held), and_(not_(given), ~held))).where(account)


def _block(judged: Select[Any]) -> Select[Any]:
    """Of what is put back a block has a row for each pair of runs: what is lost is in the row without."""
    rows = judged.subquery()
    block = rows.c.run_id, rows.c.phase, rows.c.part, rows.c.undone, rows.c.made
    return (
        select(
            *block,
            func.min(rows.c.finished_at).label("at"),
            func.sum(rows.c.lost).label("lost"),
            func.sum(rows.c.kept).label("kept"),
            func.count(distinct(case((rows.c.lost == 1, rows.c.record_key)))).label("records"),
        )
        .where(rows.c.lost + rows.c.kept > 0)
        .group_by(*block)
    )


def _list_lost(judged: Select[Any]) -> Select[Any]:
    rows = judged.subquery()
    return (
        select(rows.c.run_id, rows.c.seq)
        .where(rows.c.lost == 1, rows.c.finished_at >= _SINCE)
        .order_by(rows.c.run_id, rows.c.seq)
    )


_RECORDS = {kind: _judge_records(kind) for kind in RECORD_KINDS}
_FIELDS = {(kind, name): _judge_field(kind, name) for kind in RECORD_KINDS for name in OWN_FIELDS[kind]}
_JUDGED = (*_RECORDS.values(), *(_judge_links(kind, whole=False) for kind in LINKS), *_FIELDS.values())
BLOCKS = tuple(_block(judged) for judged in _JUDGED)
LICENCE_BLOCKS = _block(_judge_licences())
LOST_FIELDS = {place: _list_lost(judged) for place, judged in _FIELDS.items()}
LOST_RECORDS = {kind: _list_lost(judged) for kind, judged in _RECORDS.items()}
LOST_LINKS = {kind: _list_lost(_judge_links(kind, whole=True)) for kind in LINKS}
LOST_LICENCES = _list_lost(_judge_licences())
VANISHED_FIELDS = select(vanished_records.c.key, vanished_records.c.fields).where(
    among_bound(vanished_records.c.key, "keys")
)
