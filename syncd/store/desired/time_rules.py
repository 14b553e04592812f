"""What rules over ``now`` need of the store: everybody's attributes, and for which moment they were last asked."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select

from syncd.model.kinds import RecordKind
from syncd.store.db.markers import RULES_ASKED, load_markers, save_marker
from syncd.store.db.part import StorePart
from syncd.store.db.sql import decode_json
from syncd.store.runs.touched import touch_groups, touch_users
from syncd.store.schema.tables import source_groups, source_objects, source_users

_CHUNK = 1000


class TimeRules(StorePart):
    """Finds and touches those about whom time alone changes a decision."""

    def load_rules_asked(self) -> datetime | None:
        """Return for which moment rules over ``now`` were last asked about everybody; None: for none."""
        text = load_markers(self._database, RULES_ASKED).get(RULES_ASKED)
        return datetime.fromisoformat(text) if text else None

    def save_rules_asked(self, now: datetime) -> None:
        """Remember that they were asked for this moment, and everybody whom that concerns is decided or touched."""
        with self._database.transaction() as connection:
            save_marker(connection, RULES_ASKED, now.isoformat())

    def iterate_active(self, kind: RecordKind) -> Iterator[list[tuple[int, dict[str, Any]]]]:
        """Yield (key, attributes) of all active users or groups in chunks."""
        last = -1
        while rows := self._database.load_rows(_ACTIVE[kind], {"after": last}):
            yield [(row[0], {**decode_json(row[1]), "id": row[2]}) for row in rows]
            last = rows[-1][0]

    def touch_judged_anew(self, kind: RecordKind, keys: Collection[int]) -> None:
        """Have the rules decide about these again."""
        with self._database.transaction() as connection:
            if kind == "user":
                touch_users(connection, keys)
            else:
                touch_groups(connection, keys, whole=False)


_ACTIVE = {
    kind: select(table.c.key, table.c.attributes, source_objects.c.id)
    .join(source_objects, source_objects.c.key == table.c.key)
    .where(table.c.state == "active", table.c.key > bindparam("after"))
    .order_by(table.c.key)
    .limit(_CHUNK)
    for kind, table in (("user", source_users), ("group", source_groups))
}
