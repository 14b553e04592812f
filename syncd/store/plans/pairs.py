"""Desired and current, side by side: the rows that the planner compares, streamed in the order of BPS ids."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection

from syncd.model.change import LinkKind, ObjectKind
from syncd.plan.desired import Desired
from syncd.plan.diff import Current, Pair
from syncd.plan.membership import GroupView, MemberView
from syncd.store.db.database import reading
from syncd.store.db.markers import OWNERS, load_markers
from syncd.store.db.parameters import read_gathered
from syncd.store.db.part import StorePart
from syncd.store.db.sql import decode_json
from syncd.store.inventory.bps_ids import iterate_folded
from syncd.store.inventory.claims import leaver_state
from syncd.store.inventory.written import LINKS
from syncd.store.plans.pair_statements import (
    GROUP_PAIRS,
    GROUP_VIEWS,
    GROUPS_TOUCHED_WHOLE,
    IN_ORDER,
    LOAD_TOUCHED,
    MEMBERS,
    SPOKEN_OF,
    STATES,
    TOUCHED_GROUPS,
    TOUCHED_PRINCIPALS,
    USER_PAIRS,
    WANTED,
    select_current,
    select_current_of,
    select_current_pairs,
    select_desired,
    select_desired_of,
    select_desired_pairs,
    select_inside,
)


class Pairing(StorePart):
    """Reads the store for the planner; nothing here decides."""

    # ---- records ----------------------------------------------------------------------------------------------------

    def iterate_user_pairs(
        self, fields: Collection[str], *, touched_only: bool, passing: Collection[int], differing: bool
    ) -> Iterator[list[tuple[int, Pair]]]:
        """Yield (principal key, pair) of every account that is wanted or ours; ``fields`` are the mapped ones.

        ``passing``: accounts that get another owner. Nobody has them as manager because of the former one.
        ``differing``: without those that have all that is wanted, in which therefore nothing changes.
        """
        few = TOUCHED_PRINCIPALS if touched_only else None
        for rows in iterate_folded(self._database, USER_PAIRS[differing], few, {"passing": passing}):
            yield [(row.key, _make_user_pair(row, fields, passing)) for row in rows]

    def iterate_group_pairs(
        self, fields: Collection[str], *, touched_only: bool, differing: bool
    ) -> Iterator[list[tuple[int, Pair]]]:
        """Yield (principal key, pair) of every group that a source group wants or that is ours, in the same manner."""
        few = TOUCHED_GROUPS if touched_only else None
        for rows in iterate_folded(self._database, GROUP_PAIRS[differing], few):
            yield [(row.key, _make_group_pair(row, fields)) for row in rows]

    # ---- memberships ------------------------------------------------------------------------------------------------

    def load_group_rows_to_compare(self, *, touched_only: bool) -> list[GroupView]:
        """Return the groups of which all members are to be compared, in order."""
        few = GROUPS_TOUCHED_WHOLE if touched_only else None
        return [_make_group_row(row) for rows in iterate_folded(self._database, GROUP_VIEWS, few) for row in rows]

    def knows_owners(self) -> bool:
        """Return whether a full read that tells the owners of groups was closed, and owners were read ever since."""
        return load_markers(self._database, OWNERS).get(OWNERS) == "known"

    def load_desired_members(self, below: Collection[int], *, kind: LinkKind) -> list[int]:
        """Return principal keys of the wanted users who are direct members (or owners) of any of these, sorted."""
        return sorted(read_gathered(self._database.load_value(select_desired(kind), {"below": below})))

    def load_current_members(self, group: int, *, kind: LinkKind) -> list[int]:
        """Return principal keys of the members (or owners) that the target's group has, sorted."""
        return sorted(read_gathered(self._database.load_value(select_current(kind), {"group": group})))

    def load_desired_of(self, below: Collection[int], *, kind: LinkKind) -> set[int]:
        """Return the places that wanted users should have in some groups, each as `syncd.model.packed`.

        ``below``: a target group and a source group of which the direct members (or owners) belong into it, packed.
        """
        return set(read_gathered(self._database.load_value(select_desired_of(kind), {"below": below})))

    def load_current_of(self, groups: Collection[int], *, kind: LinkKind) -> set[int]:
        """Return the places that the target's groups have, each as `syncd.model.packed`."""
        return set(read_gathered(self._database.load_value(select_current_of(kind), {"groups": groups})))

    def load_spoken_of(self, protect: Collection[str], *, others: bool) -> list[int]:
        """Return the accounts of which something is to be said: those with one of these folded BPS ids, or a group's.

        ``others``: also those that are not ours.
        """
        return self._database.load_values(SPOKEN_OF[others], {"protect": protect})

    def load_order(self) -> Sequence[int]:
        """Return the place of each principal among all, by key, in the order of BPS ids; keys that are none have 0."""
        keys = self._database.load_values(IN_ORDER)
        places = array("i", [0]) * (max(keys, default=0) + 1)
        for place, key in enumerate(keys):
            places[key] = place
        return places

    def find_inside(self, below: Collection[int], people: Collection[int], *, kind: LinkKind) -> set[int]:
        """Return those of the source users who are direct members (or owners) of any of these groups."""
        return set(self._database.load_values(select_inside(kind), {"below": below, "people": people}))

    def load_touched_principals(self) -> list[int]:
        """Return the keys of the target records to compare, sorted."""
        return self._database.load_values(LOAD_TOUCHED)

    def load_desired_pairs(self, principals: Collection[int], *, kind: LinkKind) -> set[tuple[int, int]]:
        """Return (group, member) of the target groups that these people should be in, through any nesting.

        Ownership does not nest: an owner owns the group that says so, and no other.
        """
        rows = self._database.load_rows(select_desired_pairs(kind), {"principals": principals})
        return {(row[0], row[1]) for row in rows}

    def load_current_pairs(self, principals: Collection[int], *, kind: LinkKind) -> set[tuple[int, int]]:
        """Return (group, member) of our target groups that these principals are in (or own)."""
        rows = self._database.load_rows(select_current_pairs(kind), {"principals": principals})
        return {(row[0], row[1]) for row in rows}

    def find_wanted(
        self, removals: Collection[tuple[ObjectKind, int, int | None]]
    ) -> set[tuple[ObjectKind, int, int | None]]:
        """Return those of (object, record, member) which the tenant wants to be there."""
        found = set[tuple[ObjectKind, int, int | None]]()
        for kind in LINKS:
            members = {target for what, _, target in removals if what == kind and target is not None}
            pairs = self.load_desired_pairs(members, kind=kind) if members else set[tuple[int, int]]()
            found |= {(what, record, target) for what, record, target in removals if (record, target) in pairs}
        records = {record for what, record, _ in removals if what not in LINKS}
        wanted = set(self._database.load_values(WANTED, {"keys": records})) if records else set[int]()
        return found | {each for each in removals if each[0] not in LINKS and each[1] in wanted}

    def load_group_views(self, keys: Collection[int]) -> dict[int, GroupView]:
        """Return the rows of these target groups."""
        rows = self._database.load_rows(GROUP_VIEWS.chosen, {"keys": keys}) if keys else ()
        return {row[0]: _make_group_row(row) for row in rows}

    def load_member_views(self, keys: Collection[int]) -> dict[int, MemberView]:
        """Return what decides about these members."""
        with reading(self._database) as connection:
            rows = connection.execute(MEMBERS, {"keys": keys}).all()
            left_by = _load_leavers(connection, [row[0] for row in rows if row[3] is None and row[4] is None])
        return {
            row[0]: MemberView(
                row[0], row[1], row[2] is not None, row[3] is not None, row[4] if row[4] is not None else row[5],
                leaver_state(row[6], row[7], row[0], row[9]), row[4] is not None, bool(row[8]),
                bool(row[10]), left_by.get(row[0], frozenset()),
            )
            for row in rows
        }  # fmt: skip


def _load_leavers(connection: Connection, foreign: Collection[int]) -> dict[int, frozenset[str]]:
    """Return the states of those of the tenant who have the BPS ids of accounts that are not ours."""
    found: dict[int, frozenset[str]] = {}
    if foreign:
        for key, state in connection.execute(STATES, {"keys": foreign}):
            found[key] = found.get(key, frozenset()) | {state}
    return found


def _make_group_row(row: Any) -> GroupView:
    key, bps_id, _, wanting, owning, state, principal, there, origin, taken, blocked = row
    return GroupView(
        key=key,
        bps_id=bps_id,
        source_key=wanting if wanting is not None else owning or 0,
        state="wanted" if wanting is not None else leaver_state(state, principal, key, blocked),
        exists=there is not None,
        owned=origin is not None,
        taken=bool(taken),
        made=origin == "created",
    )


def _make_current(row: Any, names: tuple[str, ...], state: str) -> Current | None:
    if row.t_key is None:
        return None
    as_before = row.leaving_as is None or row.leaving_as == state
    return Current(
        fields={name: getattr(row, name) for name in names},
        status=row.status,
        origin=row.origin,
        source_key=row.source_key,
        written=decode_json(row.written),
        leaving_at=row.leaving_at if as_before else None,
        accepted=decode_json(row.accepted),
    )


def _make_user_pair(row: Any, mapped: Collection[str], passing: Collection[int]) -> Pair:
    (
        key, bps_id, _, wanting, name, email, phone, job_title, managed_by, there, *_, owner_state, owner_principal,
        blocked, manager_key, manager_bps_id, manager_state, manager_status, manager_owner, manager_taken, present,
        taken, elsewhere,
    ) = row  # fmt: skip
    desired = None
    if wanting is not None:
        values = {"name": name, "email": email, "phone": phone, "job_title": job_title}
        fields = {field: value for field, value in values.items() if field in mapped}
        desired = Desired(key=wanting, state="wanted", bps_id=bps_id, fields=fields, manager_key=managed_by)
    # A record that is somebody else's by now does not stand for this manager.
    known = manager_status is not None and manager_key not in passing
    theirs = known and manager_owner in (None, managed_by)
    named = theirs or (manager_state == "wanted" and not manager_taken)
    state = leaver_state(owner_state, owner_principal, key, blocked)
    return Pair(
        bps_id=bps_id,
        desired=desired,
        current=None
        if there is None
        else _make_current(row, ("name", "email", "phone", "job_title", "manager"), state),
        leaver_state=state,
        manager=manager_bps_id if named else present,
        manager_ready=(manager_status == "Synchronized" and manager_key not in passing)
        if named
        else present is not None,
        taken=bool(taken),
        owned_elsewhere=bool(elsewhere),
    )


def _make_group_pair(row: Any, mapped: Collection[str]) -> Pair:
    desired = None
    if row.d_key is not None:
        values = {"name": row.d_name, "email": row.d_email}
        fields = {name: value for name, value in values.items() if name in mapped}
        desired = Desired(key=row.d_key, state="wanted", bps_id=row.bps_id, fields=fields)
    state = leaver_state(row.owner_state, row.owner_principal, row.key, row.blocked)
    return Pair(
        bps_id=row.bps_id,
        desired=desired,
        current=_make_current(row, ("name", "email"), state),
        leaver_state=state,
        taken=bool(row.taken),
    )
