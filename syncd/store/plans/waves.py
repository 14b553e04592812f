"""A plan in waves: whom it concerns, which change goes when, and what a wave has written beside what is there now."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from syncd.model.change import Placed, find_written
from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.model.reason import Cause, Reason
from syncd.plan.handover import send_fields
from syncd.plan.undo.values import Done
from syncd.plan.waves import OpenWave, Sent
from syncd.plan.words import say
from syncd.store.db.database import reading
from syncd.store.db.markers import HELD_WAVE, OPEN_WAVE, RULES, load_markers, save_marker
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import decode_json, encode_json
from syncd.store.db.stops import stopped
from syncd.store.decisions.approvals import Approvals
from syncd.store.plans.changes import Plans
from syncd.store.plans.undo import Undoing
from syncd.store.plans.wave_statements import (
    ASSIGN,
    ASSIGN_REST,
    BEGIN,
    COUNT_FAILED,
    COUNT_PEOPLE,
    COUNT_WAVES,
    CUT,
    FORGET_PEOPLE,
    HOLD_NEW,
    HOLD_REST,
    IS_HELD,
    NAME_RECORDS,
    PUT_OFF,
    PUT_OFF_LATER,
    PUT_OFF_LICENCES,
    RANK_PEOPLE,
    REOPEN,
    SELECT_READY,
    SELECT_SENT,
    SELECT_WRITTEN_GROUPS,
    SELECT_WRITTEN_LICENCES,
    SELECT_WRITTEN_USERS,
)

_AT_ONCE = 1000


class Waves(StorePart):
    """Its methods are called in the store's thread. A wave counts from 1."""

    @in_thread
    def are_rules_new(self, fingerprint: str) -> bool:
        """Return whether no push over everybody has finished with these rules yet: a first one, or one of new rules."""
        return load_markers(self._database, RULES).get(RULES) != fingerprint

    @in_thread
    def rank_people(self, run_id: int) -> int:
        """Put those whom a plan concerns in their order; return how many people they are."""
        with self._database.transaction() as connection:
            connection.execute(FORGET_PEOPLE)
            connection.execute(RANK_PEOPLE, {"run": run_id})
            return int(connection.scalar(COUNT_PEOPLE) or 0)

    @in_thread
    def assign(self, run_id: int, ends: Sequence[int], *, wait: bool = True) -> None:
        """Give each change its wave, and let all but the first wave wait. ``ends``: people done by the end of each.

        ``wait`` False: the waves are only shown.
        """
        with self._database.transaction() as connection:
            begin = 0
            for number, end in enumerate(ends, 1):
                connection.execute(CUT, {"begin": begin, "end": end, "number": number})
                begin = end
            run, last = {"run": run_id}, {"run": run_id, "last": len(ends)}
            for statement in ASSIGN:
                connection.execute(statement, run)
            connection.execute(ASSIGN_REST, last)
            for statement in PUT_OFF:
                connection.execute(statement, run)
            connection.execute(PUT_OFF_LICENCES, last)
            if wait:
                connection.execute(PUT_OFF_LATER, {"run": run_id})
            connection.execute(FORGET_PEOPLE)

    @in_thread
    def begin(self, open_wave: OpenWave) -> None:
        """Let a wave go, and remember that it has to be read back."""
        with self._database.transaction() as connection:
            connection.execute(BEGIN, {"run": open_wave.run_id, "of_wave": open_wave.wave})
            value = {"run": open_wave.run_id, "wave": open_wave.wave, "of": open_wave.waves}
            save_marker(connection, OPEN_WAVE, encode_json(value))

    @in_thread
    def load_open(self) -> OpenWave | None:
        """Return the wave that nobody has read back, None when there is none."""
        text = load_markers(self._database, OPEN_WAVE).get(OPEN_WAVE)
        if text is None:
            return None
        found = decode_json(text)
        return OpenWave(found["run"], found["wave"], found["of"])

    @in_thread
    def close(self) -> None:
        """Forget which wave was begun: it was read back."""
        with self._database.transaction() as connection:
            save_marker(connection, OPEN_WAVE, None)

    @in_thread
    def reopen(self, run_id: int) -> None:
        """The run ends before its later waves: what they hold counts as never tried."""
        with self._database.transaction() as connection:
            connection.execute(REOPEN, {"run": run_id})

    @in_thread
    def hold_rest(self, run_id: int, reason: Reason, *, rules: str) -> None:
        """Hold everything of a plan that has not been sent, and forget which wave was begun: it was looked at.

        Until a person has decided, what runs under the same ``rules`` plan anew waits with it: see `hold_new`.
        """
        with self._database.transaction() as connection:
            connection.execute(HOLD_REST, {"run": run_id, **stopped("held", reason)})
            save_marker(connection, OPEN_WAVE, None)
            save_marker(connection, HELD_WAVE, encode_json({"run": run_id, "rules": rules, "reason": reason.text}))

    @in_thread
    def hold_new(self, run_id: int, *, rules: str, now: datetime) -> str:
        """Hold what a run plans while the rest of a plan under the same rules waits; return why, empty if none does.

        What is taken away is not held by this, and leavers' tasks are handed over.
        """
        text = load_markers(self._database, HELD_WAVE).get(HELD_WAVE)
        if text is None:
            return ""
        held = decode_json(text)
        runs = Approvals(self._database).load_holding_runs(now=now)
        waits = self._database.load_value(IS_HELD, {"runs": sorted({*runs, run_id}), "first": held["run"]})
        with self._database.transaction() as connection:
            if held["rules"] != rules or not waits:
                save_marker(connection, HELD_WAVE, None)
                return ""
            reason = say(Cause.GUARD, breach=held["reason"])
            found = connection.execute(HOLD_NEW, {"run": run_id, **stopped("held", reason)}).rowcount
        return str(held["reason"]) if found else ""

    @in_thread
    def count_waves(self, run_id: int) -> dict[int, int]:
        """Return how many changes of a plan go in each wave; nothing, when it goes at once."""
        return {row.wave: row.number for row in self._database.load_rows(COUNT_WAVES, {"run": run_id})}

    @in_thread
    def count_failed(self, open_wave: OpenWave) -> int:
        """Return how many changes of a wave failed, or ended nobody knows how."""
        return int(self._database.load_value(COUNT_FAILED, _ask(open_wave)) or 0)

    @in_thread
    def load_written(self, open_wave: OpenWave) -> tuple[list[str], list[str], list[str]]:
        """Return BPS ids of the accounts, of the groups and of the holders of licences that a wave has written."""
        users, groups, holders = (
            self._database.load_values(statement, _ask(open_wave))
            for statement in (SELECT_WRITTEN_USERS, SELECT_WRITTEN_GROUPS, SELECT_WRITTEN_LICENCES)
        )
        return users, groups, holders

    def iterate_sent(self, open_wave: OpenWave) -> Iterator[list[Sent]]:
        """Yield what a wave has written beside the inventory of now, in chunks."""
        plans, undoing, after = Plans(self._database), Undoing(self._database), -1
        while True:
            asked = {**_ask(open_wave), "after": after, "most": _AT_ONCE}
            chunk = plans._load_places(SELECT_SENT, asked)  # noqa: SLF001 - the same part of the store
            if not chunk:
                return
            after = chunk[-1][0].seq
            yield self._compare(chunk, undoing)

    def _compare(self, chunk: list[Placed], undoing: Undoing) -> list[Sent]:
        records = {record for _, record, _ in chunk}
        members = {target for _, _, target in chunk if target is not None and target > 0}
        with reading(self._database) as connection:
            ready = {kind: _load_ready(connection, kind, records | members) for kind in RECORD_KINDS}
            names = {row[0]: row[1] for row in connection.execute(NAME_RECORDS, {"keys": records | members})}
        return [
            _make_sent(done, record, target, ready=ready, names=names)
            for done, record, target in undoing.load_standing(chunk)
        ]


def _ask(open_wave: OpenWave) -> dict[str, Any]:
    return {"run": open_wave.run_id, "of_wave": open_wave.wave}


def _load_ready(connection: Connection, kind: RecordKind, keys: Collection[int]) -> set[int]:
    return set(connection.scalars(SELECT_READY[kind], {"keys": keys}))


def _make_sent(
    done: Done,
    record: int,
    target: int | None,
    *,
    ready: dict[RecordKind, set[int]],
    names: dict[int, str],
) -> Sent:
    change = done.change
    name = names.get(record, f"record {record}")
    settled = done.record is None or record in ready[find_written(change.object)]
    if change.object in RECORD_KINDS:
        there = done.record is not None
        shown = {} if done.record is None else dict(done.record.fields)
        after = send_fields(change) if change.action != "handover" else {}
        if change.reason.cause is Cause.GIVES_BACK:
            after = {}
    elif change.object == "licence":
        there = change.target in {licence.type for licence in done.licences}
        after, shown = {}, {}
        settled = settled and not (change.action == "revoke" and there and (change.before or change.after))
    else:
        there, after, shown = done.linked, {}, {}
        name = f"{names.get(target or 0, f'record {target}')} in {name}"
        settled = settled and (not done.member_there or target in ready["user"])
    return Sent(
        seq=done.seq,
        action=change.action,
        object=change.object,
        name=name,
        there=there,
        ready=settled,
        after=after,
        shown=shown,
    )
