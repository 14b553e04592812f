"""Which groups' members to count next, and what counting them has shown so far."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select

from syncd.model.members import CheckPace, GroupToCount
from syncd.store.db.database import reading
from syncd.store.db.markers import MEMBERS_COUNTED, MEMBERS_POSITION, load_marker, save_marker
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import among, intern, upsert
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
        with self._database.transaction() as connection:
            waited = member_checks.c.suspected_at <= now - pace.again_after
            suspected = list(connection.scalars(select(member_checks.c.group_key).where(waited)))
            again = _active(select(source_groups.c.key)).where(among(source_groups.c.key, suspected, connection))
            keys = list(connection.scalars(again.limit(pace.most))) if suspected else []
            if _is_due(load_marker(connection, MEMBERS_COUNTED), pace, now):
                keys += self._take_sample(connection, pace)
                save_marker(connection, MEMBERS_COUNTED, now.isoformat())
        return self._load_counts(keys) if keys else []

    def _take_sample(self, connection: Connection, pace: CheckPace) -> list[int]:
        groups = connection.scalar(_active(select(func.count()).select_from(source_groups))) or 0
        size = min(max(-(-groups // pace.rounds), pace.least), pace.most)
        position = int(load_marker(connection, MEMBERS_POSITION) or 0)
        ordered = _active(select(source_groups.c.key)).order_by(source_groups.c.key)
        keys = list(connection.scalars(ordered.where(source_groups.c.key > position).limit(size)))
        if len(keys) < size:
            first = ordered.where(source_groups.c.key <= position)
            keys += connection.scalars(first.limit(size - len(keys)))
        if keys:
            save_marker(connection, MEMBERS_POSITION, str(keys[-1]))
        return keys

    def _load_counts(self, keys: Collection[int]) -> list[GroupToCount]:
        checked = member_checks
        members = (
            select(func.count())
            .select_from(source_members)
            .where(source_members.c.group_key == source_groups.c.key, is_visible())
            .scalar_subquery()
        )
        statement = (
            select(source_objects.c.id, members, checked.c.unexplained, checked.c.suspected_at)
            .select_from(source_groups)
            .join(source_objects, source_objects.c.key == source_groups.c.key)
            .outerjoin(checked, checked.c.group_key == source_groups.c.key)
            .order_by(source_groups.c.key)
        )
        with reading(self._database) as connection:
            rows = connection.execute(statement.where(among(source_groups.c.key, keys, connection)))
            return [
                GroupToCount(group_id=row[0], stored=row[1], unexplained=row[2] or 0, suspected=row[3] is not None)
                for row in rows
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
                row.group_key: row.unexplained
                for row in connection.execute(
                    select(member_checks).where(among(member_checks.c.group_key, list(keys.values()), connection))
                )
            }
            rows = [
                {"group_key": keys[group], "unexplained": known.get(keys[group], 0), **value}
                for group, value in zip(groups, values, strict=True)
                if keys[group] in known or value["suspected_at"] is not None or value.get("unexplained")
            ]
            upsert(connection, member_checks, rows)


def _active(statement: Select[Any]) -> Select[Any]:
    return statement.where(source_groups.c.state == "active")


def _is_due(last: str | None, pace: CheckPace, now: datetime) -> bool:
    if last is None:
        return True
    waited = now - datetime.fromisoformat(last)
    return waited >= pace.every or waited < -pace.every  # a clock that was set back must not silence it
