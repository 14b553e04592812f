"""Records of ours that are to pass to another source object: who has them, who wants them, and what was decided."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select

from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.model.reason import Cause, Reason
from syncd.model.run import Approval
from syncd.model.target import fold
from syncd.plan.desired import Desired
from syncd.plan.diff import Current
from syncd.plan.handover import SOURCE, Claim, Decisions, Evidence, Party, weigh_groups, weigh_people
from syncd.plan.rules import Rules
from syncd.plan.words import say
from syncd.store.db.database import reading
from syncd.store.db.part import StorePart
from syncd.store.db.sql import decode_json
from syncd.store.decisions.approvals import load_held
from syncd.store.desired.handover_statements import (
    BEGUN,
    COUNT_SHARED,
    FORGET_REJECTIONS,
    HELD,
    REJECTED,
    REMADE,
    SKIP,
    TOUCH_FOLLOWERS,
    TOUCHED,
    UNWANTED_FOLLOWERS,
    select_claim,
    select_claims,
)
from syncd.store.runs.touched import touch_groups, touch_principals

_FIELDS: dict[RecordKind, tuple[str, ...]] = {
    "user": ("name", "email", "phone", "job_title"),
    "group": ("name", "email"),
}


class Handovers(StorePart):
    """Its methods are called in the store's thread."""

    def load_claims(self, rules: Rules, *, touched_only: bool, now: datetime) -> list[Claim]:
        """Return the records of ours that a wanted source object maps to, and that are another one's."""
        found: dict[tuple[RecordKind, int], Claim] = {}
        with reading(self._database) as connection:
            for kind in RECORD_KINDS:
                keys = connection.scalars(TOUCHED[kind]).all() if touched_only else ()
                for statement in select_claims(kind, touched_only=touched_only) if keys or not touched_only else ():
                    for row in connection.execute(statement, {"keys": keys} if touched_only else {}).all():
                        claim = _make_claim(connection, kind, row, rules, now)
                        found[claim.place] = claim
        return sorted(found.values(), key=lambda claim: (claim.kind, claim.bps_id.casefold()))

    def load_claim(self, kind: RecordKind, *, record: int, heir: int, rules: Rules, now: datetime) -> Claim | None:
        """Return what one handover is about, decided or not; None when it is about nothing any more."""
        with reading(self._database) as connection:
            row = connection.execute(select_claim(kind), {"record": record, "heir": heir}).first()
            return None if row is None else _make_claim(connection, kind, row, rules, now)

    def load_remade(
        self, rules: Rules, *, touched_only: bool, now: datetime
    ) -> tuple[list[Claim], dict[tuple[int, int], int]]:
        """Return the new groups that are, by proof, deleted ones made anew, and the members that each pair shares."""
        shared: dict[tuple[int, int], int] = {}
        found: list[Claim] = []
        since: dict[str, Any] = {"since": now - rules.policy.grace}
        with reading(self._database) as connection:
            ways: tuple[Select[Any], ...]
            if touched_only:
                keys = {"keys": connection.scalars(TOUCHED["group"]).all()}
                fresh = connection.execute(REMADE.fresh_touched, keys).all() if keys["keys"] else []
                ways = (REMADE.former_left, REMADE.former_touched)
            else:
                keys, fresh, ways = {}, connection.execute(REMADE.fresh).all(), (REMADE.former,)
            if not fresh:
                return [], {}
            former = {row.record: row for way in ways for row in connection.execute(way, since | keys)}
            for row in former.values():
                for heir in fresh:
                    if (heir.heir_name or "").casefold() == (row.former_name or "").casefold():
                        members = _count_members(connection, row.former_key, heir.heir_key)
                        shared[row.record, heir.heir_key] = members[2]
                        found.append(_make_remade(row, heir, members=members, rules=rules, now=now))
        return [claim for claim in found if claim.evidence.proven], shared

    def load_handover_decisions(
        self, run_id: int, claims: Sequence[Claim], *, holding: Collection[int], approval: Approval | None
    ) -> Decisions:
        """Return what people and earlier runs decided about handovers. ``holding``: the runs that hold something."""
        with reading(self._database) as connection:
            rejected = {
                (row.object, row.record_key, decode_json(row.after).get(SOURCE)) for row in connection.execute(REJECTED)
            }
            held: dict[tuple[RecordKind, int], tuple[Reason, int]] = {}
            for row in connection.execute(HELD, {"runs": sorted(run for run in holding if run < run_id)}):
                reason, since = Reason(Cause(row.error_cause), row.error), row.held_since or row.run_id
                if reason.cause is not Cause.HELD_BEFORE:
                    reason = say(Cause.HELD_BEFORE, run=since, breach=reason.text)
                held[row.object, row.record_key] = reason, since
            released: set[tuple[RecordKind, int]] | None = None
            if approval is not None:
                released = {
                    (row.object, row.record_key)
                    for row in load_held(connection, approval.run_id)
                    if row.action == "handover" and approval.covers(row.action, row.record_id)
                }
            begun = [
                (row.object, row.record_key, decode_json(row.before).get(SOURCE), decode_json(row.after).get(SOURCE))
                for row in connection.execute(BEGUN, {"records": [claim.record for claim in claims]})
            ]
        return Decisions(held=held, rejected=rejected, released=released, begun=begun)

    def skip_heir(self, claim: Claim, reason: Reason) -> None:
        """Have a newcomer wait: wanted, but not for a record that is another one's."""
        with self._database.transaction() as connection:
            given = {"heir": claim.heir.key, "cause": reason.cause.value, "reason": reason.text}
            connection.execute(SKIP[claim.kind], given)
            self._touch(connection, [claim])

    def prepare_handovers(self, claims: Sequence[Claim], *, write: bool) -> None:
        """Have a planning look at all that hangs on records that pass; what was rejected about them is over.

        ``write`` False: a dry run, after which everything that was decided still holds.
        """
        with self._database.transaction() as connection:
            people = [claim for claim in claims if claim.kind == "user"]
            records = [claim.record for claim in claims]
            if people:
                given = {
                    "records": records,
                    "names": fold_all(claim.bps_id for claim in people),
                    "formers": [claim.former.key for claim in people if claim.former is not None],
                }
                for statement in TOUCH_FOLLOWERS:
                    touch_principals(connection, connection.scalars(statement, given).all())
            self._touch(connection, claims)
            if write:
                connection.execute(FORGET_REJECTIONS, {"records": records})

    def _touch(self, connection: Connection, claims: Sequence[Claim]) -> None:
        touch_principals(connection, {claim.record for claim in claims if claim.kind == "user"})
        groups = {claim.heir.key for claim in claims if claim.kind == "group"}
        groups |= {claim.former.key for claim in claims if claim.kind == "group" and claim.former is not None}
        touch_groups(connection, groups, whole=True)

    def load_unwanted_followers(self, names: Collection[str]) -> list[tuple[int, str, int | None, str]]:
        """Return (key, BPS id, source key, manager) of our accounts that nobody wants and that name these managers."""
        rows = self._database.load_rows(UNWANTED_FOLLOWERS, {"names": fold_all(names)})
        return [(row[0], row[1], row[2], row[3]) for row in rows]


def fold_all(names: Iterable[str]) -> list[str]:
    """Return BPS ids as they are and without case, since a column of them may hold any spelling."""
    given = list(names)
    return sorted({*given, *map(fold, given)})


def _make_claim(connection: Connection, kind: RecordKind, row: Any, rules: Rules, now: datetime) -> Claim:
    former = None if row.former_id is None else _make_party(row, "former")
    heir = _make_party(row, "heir")
    if former is None:
        evidence = Evidence(False, against=("the former owner is not known any more",))
    elif kind == "user":
        evidence = weigh_people(former.attributes, heir.attributes)
    else:
        members = _count_members(connection, former.key, heir.key)
        evidence = weigh_groups(former, heir, members=members, now=now, grace=rules.policy.grace)
    return _complete(kind, row, former, heir, evidence, rules)


def _make_remade(row: Any, fresh: Any, *, members: Sequence[int], rules: Rules, now: datetime) -> Claim:
    former, heir = _make_party(row, "former"), _make_party(fresh, "heir")
    evidence = weigh_groups(former, heir, members=members, now=now, grace=rules.policy.grace)
    desired = Desired(key=heir.key, state="wanted", bps_id=row.bps_id)
    return Claim(
        kind="group", record=row.record, bps_id=row.bps_id, former=former, heir=heir, desired=desired,
        current=_make_current("group", row), evidence=evidence, bound=True,
    )  # fmt: skip


def _complete(kind: RecordKind, row: Any, former: Party | None, heir: Party, evidence: Evidence, rules: Rules) -> Claim:
    mapped = rules.mapping.user_fields if kind == "user" else rules.mapping.group_fields
    fields = {name: getattr(row, f"d_{name}") for name in _FIELDS[kind] if name in mapped}
    desired = Desired(key=heir.key, state="wanted", bps_id=row.bps_id, fields=fields)
    return Claim(
        kind=kind, record=row.record, bps_id=row.bps_id, former=former, heir=heir, desired=desired,
        current=_make_current(kind, row), evidence=evidence, bound=bool(row.bound) if kind == "group" else False,
    )  # fmt: skip


def _make_party(row: Any, role: str) -> Party:
    def take(name: str) -> Any:
        return getattr(row, f"{role}_{name}")

    return Party(
        key=take("key"),
        id=take("id"),
        name=take("name") or "",
        state=take("state") or "unknown",
        attributes=decode_json(take("attributes")),
        removed_at=take("removed_at"),
    )


def _make_current(kind: RecordKind, row: Any) -> Current:
    names = (*_FIELDS[kind], *(("manager",) if kind == "user" else ()))
    return Current(
        fields={name: getattr(row, name) for name in names},
        status=row.status,
        origin=row.origin,
        source_key=row.former_key,
    )


def _count_members(connection: Connection, former: int, heir: int) -> tuple[int, int, int]:
    """Return how many members the former group has, how many the new one, and how many both."""
    before, after = (connection.scalar(COUNT_SHARED, {"one": key, "other": key}) or 0 for key in (former, heir))
    return before, after, connection.scalar(COUNT_SHARED, {"one": former, "other": heir}) or 0
