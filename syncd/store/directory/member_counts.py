"""Which groups' members to count next, and what counting them has shown so far."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, exists, func, select

from syncd.model.members import CheckPace, GroupToCount
from syncd.store.db.markers import MEMBERS_COUNTED, MEMBERS_POSITION, SELECT_MARKER, load_marker, save_marker
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import intern, upsert
from syncd.store.directory.members import is_visible
from syncd.store.schema.tables import member_checks, source_groups, source_members, source_objects


class MemberChecks(StorePart):
    """The bookkeeping of the check of memberships. Its methods are called in the store's thread."""

    @in_thread
    def take_groups_to_count(self, pace: CheckPace, *, now: datetime) -> list[GroupToCount]:
        """Return the groups whose turn it is, and move on behind them; mostly none.

        These are the suspected ones that waited long enough and, when a sample is due, the groups that follow the last
        sample, in a circle over all active groups.
        """
        waited = {"suspected_until": now - pace.again_after}
        due = self._database.load_row(_LOAD_DUE, {**waited, "marker": MEMBERS_COUNTED})
        if due is not None and not due.suspected and not _is_due(due.counted, pace, now):
            return []
        with self._database.transaction() as connection:
            suspected = list(connection.scalars(_SELECT_SUSPECTED, waited))
            again = {"groups": suspected, "most": pace.most}
            keys = list(connection.scalars(_SELECT_AGAIN, again)) if suspected else []
            if _is_due(load_marker(connection, MEMBERS_COUNTED), pace, now):
                keys += self._take_sample(connection, pace)
                save_marker(connection, MEMBERS_COUNTED, now.isoformat())
        return self._load_counts(keys) if keys else []

    def _take_sample(self, connection: Connection, pace: CheckPace) -> list[int]:
        groups = connection.scalar(_COUNT_GROUPS) or 0
        size = min(max(-(-groups // pace.rounds), pace.least), pace.most)
        position = int(load_marker(connection, MEMBERS_POSITION) or 0)
        keys = list(connection.scalars(_SELECT_FOLLOWING, {"position": position, "most": size}))
        if len(keys) < size:
            keys += connection.scalars(_SELECT_FIRST, {"position": position, "most": size - len(keys)})
        if keys:
            save_marker(connection, MEMBERS_POSITION, str(keys[-1]))
        return keys

    def _load_counts(self, keys: Collection[int]) -> list[GroupToCount]:
        return [
            GroupToCount(group_id=row[0], stored=row[1], unexplained=row[2] or 0, suspected=row[3] is not None)
            for row in self._database.load_rows(_LOAD_COUNTS, {"groups": keys})
        ]

    @in_thread
    def put_off_member_check(self, *, now: datetime) -> None:
        """Let the next sample wait its full time: all memberships have just been read."""
        with self._database.transaction() as connection:
            save_marker(connection, MEMBERS_COUNTED, now.isoformat())

    @in_thread
    def note_counts(self, suspected: Mapping[str, bool], *, now: datetime) -> None:
        """Remember of which groups the count disagreed (True), and of which it did not, or says nothing (False)."""
        self._write_checks(suspected, [{"suspected_at": now if wrong else None} for wrong in suspected.values()])

    @in_thread
    def note_unexplained(self, group_id: str, difference: int) -> None:
        """Remember by how much the count exceeds what a whole reading has just shown: no reason to read again."""
        self._write_checks([group_id], [{"suspected_at": None, "unexplained": difference}])

    def _write_checks(self, groups: Collection[str], values: list[dict[str, Any]]) -> None:
        if not groups:
            return
        with self._database.transaction() as connection:
            keys = intern(connection, source_objects, "id", groups)
            known = {
                row.group_key: row.unexplained for row in connection.execute(_SELECT_CHECKS, {"groups": keys.values()})
            }
            rows = [
                {"group_key": keys[group], "unexplained": known.get(keys[group], 0), **value}
                for group, value in zip(groups, values, strict=True)
                if keys[group] in known or value["suspected_at"] is not None or value.get("unexplained")
            ]
            upsert(connection, member_checks, rows)


def _is_due(last: str | None, pace: CheckPace, now: datetime) -> bool:
    if last is None:
        return True
    waited = now - datetime.fromisoformat(last)
    return waited >= pace.every or waited < -pace.every  # a clock that was set back must not silence it


# ---- statements -----------------------------------------------------------------------------------------------------


def _active(statement: Select[Any]) -> Select[Any]:
    return statement.where(source_groups.c.state == "active")


def _select_counts() -> Select[Any]:
    checked = member_checks
    members = (
        select(func.count())
        .select_from(source_members)
        .where(source_members.c.group_key == source_groups.c.key, is_visible())
        .scalar_subquery()
    )
    return (
        select(source_objects.c.id, members, checked.c.unexplained, checked.c.suspected_at)
        .select_from(source_groups)
        .join(source_objects, source_objects.c.key == source_groups.c.key)
        .outerjoin(checked, checked.c.group_key == source_groups.c.key)
        .where(among_bound(source_groups.c.key, "groups"))
        .order_by(source_groups.c.key)
    )


_WAITED = member_checks.c.suspected_at <= bindparam("suspected_until")
_KEYS = _active(select(source_groups.c.key)).limit(bindparam("most"))
_BY_KEY = _KEYS.order_by(source_groups.c.key)
_LOAD_DUE = select(exists().where(_WAITED).label("suspected"), SELECT_MARKER.scalar_subquery().label("counted"))
_SELECT_SUSPECTED = select(member_checks.c.group_key).where(_WAITED)
_SELECT_AGAIN = _KEYS.where(among_bound(source_groups.c.key, "groups"))
_SELECT_FOLLOWING = _BY_KEY.where(source_groups.c.key > bindparam("position"))
_SELECT_FIRST = _BY_KEY.where(source_groups.c.key <= bindparam("position"))
_COUNT_GROUPS = _active(select(func.count()).select_from(source_groups))
_SELECT_CHECKS = select(member_checks).where(among_bound(member_checks.c.group_key, "groups"))
_LOAD_COUNTS = _select_counts()
