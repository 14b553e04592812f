"""Desired state as stored: what the rules made of each source object, kept up to date for what was touched.

A chunk of decisions is one transaction, together with the touches that follow from it: which target records to compare
because somebody's claim, BPS id or manager changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import itemgetter
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection

from syncd.model.reason import NO_REASON, Cause, Reason
from syncd.model.target import fold
from syncd.plan.desired import Desired, SourceGroup, SourceUser
from syncd.store.db.markers import SCOPE_GROUPS, save_marker
from syncd.store.db.part import StorePart
from syncd.store.db.sql import chunked, decode_json, upsert_tuples
from syncd.store.decisions.approvals import forget_rejections
from syncd.store.desired.decision_statements import (
    CHUNK,
    GROUPS,
    GROUPS_TOUCHED,
    HAS_TOUCHED,
    HAS_TOUCHED_USERS,
    LOAD_EDGES,
    LOAD_TOUCHED_GROUPS,
    MARK_COLLIDING,
    MARK_WINNER,
    SELECT_CLAIMED,
    SELECT_COLLIDED_GROUPS,
    SELECT_DECIDED_GROUPS,
    SELECT_DECIDED_USERS,
    SELECT_RECORDS_OF,
    SELECT_REPORTS_OF,
    SKIP_GROUPS,
    TOUCH_EVERYBODY,
    USERS,
    USERS_TOUCHED,
    Chunked,
    fill_scope,
    forget_scope,
    select_collisions,
    select_losing_groups,
)
from syncd.store.desired.digests import Digests
from syncd.store.inventory.bps_ids import intern_bps_ids
from syncd.store.runs.touched import touch_groups, touch_principals
from syncd.store.schema.tables import desired_groups, desired_users

USER_COLUMNS = ("name", "email", "phone", "job_title")


class DesiredState(StorePart):
    """Reads source objects for the rules and writes the decisions."""

    # ---- scope ------------------------------------------------------------------------------------------------------

    def load_edges(self) -> list[tuple[int, int]]:
        """Return (group, child group) for every pair of active groups of which one is a member of the other."""
        return [(row[0], row[1]) for row in self._database.load_rows(LOAD_EDGES)]

    def follow_scope_groups(self, resolved: str, *, before: str, touch: bool) -> None:
        """Remember which groups the scope means; ``touch``: look at everybody when they are others than ``before``.

        A name in the configuration can move to another group without any change to the people of either.
        """
        if before == resolved:
            return
        with self._database.transaction() as connection:
            save_marker(connection, SCOPE_GROUPS, resolved or None)
            if touch:
                connection.execute(TOUCH_EVERYBODY)

    def store_scope(self, role: str, below: Collection[int], *, touched_only: bool) -> None:
        """Remember which users lie in these groups (a closed set of source keys): all users, or the touched ones."""
        if touched_only and not self._database.load_value(HAS_TOUCHED_USERS):
            return
        with self._database.transaction() as connection:
            connection.execute(forget_scope(touched_only=touched_only), {"of": role})
            connection.execute(fill_scope(touched_only=touched_only), {"of": role, "groups": below})

    # ---- users ------------------------------------------------------------------------------------------------------

    def iterate_users(
        self,
        *,
        touched_only: bool,
        grouped: tuple[bool, bool],
        rules: str | None = None,
        bound: Mapping[int, str] = MappingProxyType({}),
    ) -> Iterator[list[SourceUser]]:
        """Yield all or all touched source users in chunks. ``grouped``: whether include and exclude groups are set.

        ``rules``: their fingerprint; of all, those are left out about whom was decided by the same. ``bound``: BPS ids
        bound by hand.
        """
        included, excluded = grouped
        digests = Digests(rules) if rules else None
        for rows in self._iterate(USERS_TOUCHED if touched_only else USERS):
            users = []
            for key, state, attributes, manager, source_id, let_in, kept_out, made_of in rows:
                in_groups = (not included or let_in is not None) and not (excluded and kept_out is not None)
                values = state, attributes, manager, source_id, in_groups, bound.get(key, "")
                digest = digests.sum_up(*values) if digests else None
                if touched_only or digest is None or digest != made_of:
                    known = decode_json(attributes)
                    known["id"] = source_id
                    users.append(SourceUser(key, state, known, manager, in_groups, digest))
            if users:
                yield users

    def iterate_source_groups(
        self,
        *,
        touched_only: bool,
        rules: str | None = None,
        bound: Mapping[int, str] = MappingProxyType({}),
    ) -> Iterator[list[SourceGroup]]:
        """Yield all or all touched source groups in chunks, in the same manner."""
        digests = Digests(rules) if rules else None
        for rows in self._iterate(GROUPS_TOUCHED if touched_only else GROUPS):
            groups = []
            for key, state, attributes, source_id, kept, made_of in rows:
                values = state, attributes, source_id, kept, bound.get(key, "")
                digest = digests.sum_up(*values) if digests else None
                if touched_only or digest is None or digest != made_of:
                    known = {**decode_json(attributes), "id": source_id}
                    groups.append(SourceGroup(key, state, known, bound=kept, made_of=digest))
            if groups:
                yield groups

    def _iterate(self, question: Chunked) -> Iterator[Sequence[Any]]:
        """Yield the rows of a question in the order of keys, which are their first column."""
        if question.touched is not None:
            for some in chunked(self._database.load_values(question.touched), CHUNK):
                rows = self._database.load_rows(question.statement, {"keys": some})
                if rows:
                    yield sorted(rows, key=itemgetter(0))
            return
        last = -1
        while rows := self._database.load_rows(question.statement, {"after": last}):
            yield rows
            last = rows[-1][0]

    def store_users(self, decisions: Sequence[Desired], *, touch: bool) -> int:
        """Write decisions about users where they differ; ``touch`` marks the target records to compare therefore."""
        by_key = {decision.key: decision for decision in decisions}
        with self._database.transaction() as connection:
            principals = intern_bps_ids(connection, [d.bps_id for d in decisions if d.bps_id])
            old = {row[0]: row for row in connection.execute(SELECT_DECIDED_USERS, {"keys": by_key.keys()})}
            rows = []
            for decision in decisions:
                before = old.get(decision.key)
                principal = principals[fold(decision.bps_id)] if decision.bps_id else None
                state = decision.state
                if state == "wanted" and before is not None and before.state == "collision":
                    state = "collision" if before.principal_key == principal else "wanted"
                fields = tuple(map(decision.fields.get, USER_COLUMNS))
                reason = decision.reason
                if before is not None and state == "collision":
                    reason = Reason(Cause(before.cause), before.reason)
                said = ("", "") if reason is NO_REASON else (reason.cause.value, reason.text)
                row = (decision.key, state, *said, principal, *fields, decision.manager_key, decision.made_of)
                if before is None or tuple(before) != row:
                    rows.append(row)
            upsert_tuples(connection, desired_users, [column.name for column in desired_users.c], rows)
            changed = [int(row[0] or 0) for row in rows if row[0] in old and tuple(old[row[0]])[1:3] != row[1:3]]
            if changed:
                forget_rejections(connection, changed)
            if touch:
                self._touch_followers(connection, by_key, rows, old)
        return len(rows)

    def _touch_followers(
        self,
        connection: Connection,
        by_key: Mapping[int, Desired],
        rows: Sequence[tuple[Any, ...]],
        old: Mapping[int, Any],
    ) -> None:
        keys = {old[key].principal_key for key in by_key if key in old}
        keys.update(connection.scalars(SELECT_RECORDS_OF, {"sources": by_key.keys()}))
        # Whoever reports to somebody whose account changed its name, or came or went, names another manager now.
        moved = {
            row[0]
            for row in rows
            if row[0] not in old or (old[row[0]].principal_key, old[row[0]].state) != (row[4], row[1])
        }
        if moved:
            keys.update(connection.scalars(SELECT_REPORTS_OF, {"managers": moved}))
        touch_principals(connection, {key for key in keys if key is not None})

    # ---- collisions -------------------------------------------------------------------------------------------------

    def load_collisions(self, *, touched_only: bool) -> list[tuple[int, list[tuple[int, bool]]]]:
        """Return (principal, [(source key, holds the record)]) where several people claim one BPS id, or did before."""
        found: dict[int, list[tuple[int, bool]]] = {}
        for principal, key, holds in self._database.load_rows(select_collisions(touched_only=touched_only)):
            found.setdefault(principal, []).append((key, bool(holds)))
        return sorted(found.items())

    def store_collision(self, principal: int, winner: int | None, *, reason: Reason) -> None:
        """Mark the claimants of one BPS id: the winner is wanted, the others collide."""
        with self._database.transaction() as connection:
            connection.execute(
                MARK_COLLIDING, {"claimed": principal, "cause": reason.cause.value, "reason": reason.text}
            )
            if winner is not None:
                connection.execute(MARK_WINNER, {"winner": winner})
            touch_principals(connection, {principal})

    # ---- groups -----------------------------------------------------------------------------------------------------

    def store_groups(self, decisions: Sequence[Desired], *, touch: bool) -> int:
        """Write decisions about groups where they differ; a group that comes, goes or moves is compared as a whole."""
        keys = [decision.key for decision in decisions]
        with self._database.transaction() as connection:
            principals = intern_bps_ids(connection, [d.bps_id for d in decisions if d.bps_id])
            old = {row[0]: row for row in connection.execute(SELECT_DECIDED_GROUPS, {"keys": keys})}
            rows, moved = [], set()
            for decision in decisions:
                before = old.get(decision.key)
                principal = principals[fold(decision.bps_id)] if decision.bps_id else None
                row = (
                    decision.key,
                    decision.state,
                    decision.reason.cause.value,
                    decision.reason.text,
                    principal,
                    decision.fields.get("name"),
                    decision.fields.get("email"),
                    decision.made_of,
                )
                if before is None or tuple(before) != row:
                    rows.append(row)
                if before is None or (before.state, before.principal_key) != (decision.state, principal):
                    moved.add(decision.key)
            upsert_tuples(connection, desired_groups, [column.name for column in desired_groups.c], rows)
            if touch:
                touch_groups(connection, moved, whole=True)
        return len(rows)

    def has_touched(self) -> bool:
        """Return whether any record or group is to be looked at."""
        return bool(self._database.load_value(HAS_TOUCHED))

    def touch_collided_groups(self) -> None:
        """Have the rules decide again about the groups that lost a collision."""
        lost = self._database.load_values(SELECT_COLLIDED_GROUPS)
        if lost:
            with self._database.transaction() as connection:
                touch_groups(connection, lost, whole=False)

    def resolve_group_collisions(self, *, reason: Reason, touched_only: bool) -> int:
        """Of groups that map to one BPS id, the one whose record it is stays, the others are skipped.

        ``touched_only``: among those that a touched group wants; nobody else can have begun to collide.
        """
        losing, asked = select_losing_groups(claimed=touched_only), dict[str, Any]()
        if touched_only:
            touched = self._database.load_values(LOAD_TOUCHED_GROUPS)
            asked["claimed"] = self._database.load_values(SELECT_CLAIMED, {"groups": touched}) if touched else []
        if (touched_only and not asked["claimed"]) or not self._database.load_values(losing, asked):
            return 0
        with self._database.transaction() as connection:
            losers = connection.scalars(losing, asked).all()
            connection.execute(SKIP_GROUPS, {"groups": losers, "cause": reason.cause.value, "reason": reason.text})
        return len(losers)
