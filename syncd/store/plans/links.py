"""Planned links in columns, a group at a time: the one kind of change of which a plan has hundreds of thousands.

A change each, as for records, would cost more time than sending them does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    Update,
    and_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    update,
)

from syncd.model.change import LINK_PHASES, LinkBatch, LinkKind, LinkOutcome, OutcomeStatus
from syncd.model.reason import Cause, Reason
from syncd.plan.words import say
from syncd.store.db.parameters import among_bound, gathered_column
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import decode_json, within
from syncd.store.db.stops import stopped
from syncd.store.inventory.drift_notes import forget_links, is_any_by_hand
from syncd.store.inventory.history import LINKS, begin_planned
from syncd.store.plans.day import count_done
from syncd.store.runs.retries import Place, has_failures, note_failures
from syncd.store.schema.tables import changes, runs, target_groups, target_principals, target_users

_LONGEST_ERROR = 1000
"""Characters of a sentence that are kept."""


class Links(StorePart):
    """Hands out links to apply and records how they ended. Its methods are called in the store's thread."""

    @in_thread
    def load_links(self, run_id: int, kind: LinkKind, *, after: int, limit: int) -> list[LinkBatch]:
        """Return the next ``limit`` planned links of a kind behind place ``after`` of the plan, by group."""
        asked = {"run": run_id, "phase": int(LINK_PHASES[kind]), "after": after, "most": limit}
        return [
            LinkBatch(
                record=record,
                bps_id=bps_id,
                seqs=decode_json(seqs),
                targets=decode_json(targets),
                members=decode_json(members),
                kind=kind,
            )
            for record, _, seqs, targets, members, bps_id in self._database.load_rows(_LOAD_LINKS, asked)
        ]

    @in_thread
    def record_links(self, run_id: int, outcomes: Sequence[LinkOutcome], *, now: datetime) -> None:
        """Write how links ended, and what that means for the inventory, in one transaction."""
        with self._database.transaction() as connection:
            alike: dict[tuple[OutcomeStatus, Reason], list[int]] = {}
            done: dict[LinkKind, list[LinkBatch]] = {kind: [] for kind in LINKS}
            failed: dict[Place, Reason] = {}
            for outcome in outcomes:
                links = outcome.links
                alike.setdefault((outcome.status, outcome.error), []).extend(links.seqs)
                if outcome.status == "done":
                    done[links.kind].append(links)
                elif outcome.status == "failed":
                    failed.update(((*place, links.kind), outcome.error) for place in links.places())
            for (status, error), seqs in alike.items():
                finish(connection, run_id, seqs, status, error, now)
            for kind, batches in done.items():
                begin_planned(connection, kind, run_id, [seq for batch in batches for seq in batch.seqs], now=now)
                if is_any_by_hand(connection, kind):
                    forget_links(connection, kind, [place for batch in batches for place in batch.places()])
            if failed or has_failures(connection):
                past = [(*place, kind) for kind in done for batch in done[kind] for place in batch.places()]
                note_failures(connection, past, failed, now=now)

    @in_thread
    def defer_unready_links(self, run_id: int) -> int:
        """Defer the links whose account or group is not there, not synchronised, or not ours; return how many.

        Only what sets something back may put a stranger's account into a group of ours, where it has been before.
        """
        with self._database.transaction() as connection:
            return connection.execute(_DEFER_UNREADY, {"run": run_id}).rowcount


def finish(
    connection: Connection, run_id: int, seqs: Sequence[int], status: OutcomeStatus, error: Reason, now: datetime
) -> None:
    """Write how changes ended that ended alike; what an approval has done, the run that held it holds no more."""
    shown = Reason(error.cause, error.text[:_LONGEST_ERROR])
    ended: dict[str, object] = {**stopped(status, shown), "finished_at": now, "run": run_id}
    for statement, places in _FINISH.split(seqs):
        connection.execute(statement, {**places, **ended})
    if status in ("done", "started"):
        count_done(connection, run_id, seqs, now)
    if status == "done" and connection.scalar(_IS_APPROVAL, {"run": run_id}):
        approved = stopped("dropped", say(Cause.APPROVED, run=run_id))
        for held_by, places in connection.execute(_SELECT_RELEASED, {"run": run_id, "seqs": seqs}).all():
            settled: dict[str, object] = {**approved, "run": held_by, "seqs": decode_json(places)}
            connection.execute(_SETTLE_HELD, settled)


# ---- statements -----------------------------------------------------------------------------------------------------

_RUN = changes.c.run_id == bindparam("run")


def _load_links() -> Select[Any]:
    few = (
        select(changes.c.seq, changes.c.record_key, changes.c.target_key)
        .where(
            _RUN,
            changes.c.phase == bindparam("phase"),
            changes.c.status == "planned",
            changes.c.seq > bindparam("after"),
        )
        .order_by(changes.c.seq)
        .limit(bindparam("most"))
        .subquery()
    )
    member, group = target_principals.alias("member"), target_principals.alias("group_record")
    gathered = (
        select(
            few.c.record_key,
            func.min(few.c.seq).label("first"),
            gathered_column(few.c.seq).label("seqs"),
            gathered_column(few.c.target_key).label("targets"),
            gathered_column(member.c.bps_id).label("members"),
        )
        .join(member, member.c.key == few.c.target_key)
        .group_by(few.c.record_key)
        .subquery()
    )
    return select(gathered, group.c.bps_id).join(group, group.c.key == gathered.c.record_key).order_by(gathered.c.first)


def _defer_unready() -> Update:
    user = exists().where(target_users.c.key == changes.c.target_key)
    group = exists().where(target_groups.c.key == changes.c.record_key)
    no_stranger = target_users.c.origin.is_not(None) | (changes.c.cause != Cause.NONE.value)
    # As few questions as there can be about each of hundreds of thousands of links, nearly all of which are ready.
    ready = and_(
        user.where(target_users.c.status == "Synchronized", no_stranger),
        group.where(target_groups.c.status == "Synchronized", target_groups.c.origin.is_not(None)),
    )
    not_ready = say(Cause.NOT_READY, what="its account or group is not ready in the portal yet")
    strange = or_(group.where(target_groups.c.origin.is_(None)), user.where(~no_stranger))
    not_ours = say(
        Cause.NOT_OURS,
        what="its account or group is somebody else's in the portal, and not adopted: see 'syncd explain' and "
        "'syncd held'",
    )
    return (
        update(changes)
        .where(
            _RUN,
            changes.c.phase.in_([int(phase) for phase in LINK_PHASES.values()]),
            changes.c.status == "planned",
            ~ready,
        )
        .values(
            status="deferred",
            error=case((strange, not_ours.text), else_=not_ready.text),
            error_cause=case((strange, not_ours.cause.value), else_=not_ready.cause.value),
        )
    )


_IS_APPROVAL = select(exists().where(runs.c.id == bindparam("run"), runs.c.trigger == "approval"))
_SELECT_RELEASED = (
    select(changes.c.held_since, gathered_column(changes.c.held_seq))
    .where(_RUN, among_bound(changes.c.seq, "seqs"), changes.c.held_seq.is_not(None))
    .group_by(changes.c.held_since)
)
_SETTLE_HELD = update(changes).where(_RUN, among_bound(changes.c.seq, "seqs"), changes.c.status == "held")
_LOAD_LINKS = _load_links()
_DEFER_UNREADY = _defer_unready()
_FINISH = within(changes.c.seq, lambda which: update(changes).where(_RUN, which))
