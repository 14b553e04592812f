"""What the names of groups in the settings mean, remembered by id, and the groups that may bear one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from syncd.plan.group_names import KnownGroup, Remembered
from syncd.store.db.markers import GROUP_NAMES, SCOPE_GROUPS, load_markers, save_marker
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart
from syncd.store.db.sql import chunked, decode_json, encode_json
from syncd.store.schema.tables import source_groups, source_objects, touched_groups

_CHUNK = 1000


class GroupNames(StorePart):
    """Its methods are called in the store's thread, or by commands."""

    def load_group_names(self) -> dict[str, Remembered]:
        """Return what the names mean that were looked up, by name as `fold_name` has it."""
        return self.load_scope()[0]

    def load_scope(self) -> tuple[dict[str, Remembered], str]:
        """Return that, and which groups the scope meant when people were last decided about."""
        markers = load_markers(self._database, GROUP_NAMES, SCOPE_GROUPS)
        names = {
            name: Remembered(id=each["id"], called=each["called"], rivals=tuple(each["rivals"]))
            for name, each in decode_json(markers.get(GROUP_NAMES)).items()
        }
        return names, markers.get(SCOPE_GROUPS, "")

    def save_group_names(self, names: Mapping[str, Remembered]) -> None:
        """Remember what these names mean, and forget all others."""
        plain = {
            name: {"id": each.id, "called": each.called, "rivals": list(each.rivals)} for name, each in names.items()
        }
        with self._database.transaction() as connection:
            save_marker(connection, GROUP_NAMES, encode_json(plain) if plain else None)

    def find_group(self, group_id: str) -> KnownGroup | None:
        """Return a group by its id, deleted or not."""
        row = self._database.load_row(_SELECT_BY_ID, {"reference": group_id})
        return None if row is None else _make_group(row)

    def iterate_named_groups(self, *, touched_only: bool) -> Iterator[list[KnownGroup]]:
        """Yield all groups, or the touched ones, in chunks: deleted ones too."""
        if touched_only:
            for keys in chunked(self._database.load_values(_SELECT_TOUCHED), _CHUNK):
                yield _make_groups(self._database.load_rows(_SELECT_THESE, {"keys": keys}))
            return
        last = -1
        while rows := self._database.load_rows(_SELECT_PAGE, {"after": last}):
            yield _make_groups(rows)
            last = rows[-1].key


def _make_group(row: Any) -> KnownGroup:
    return KnownGroup(key=row.key, id=row.id, name=row.name or "", there=row.state == "active")


def _make_groups(rows: Sequence[Any]) -> list[KnownGroup]:
    return [_make_group(row) for row in rows]


# ---- statements -----------------------------------------------------------------------------------------------------

_SELECT = select(source_groups.c.key, source_objects.c.id, source_groups.c.name, source_groups.c.state).join(
    source_objects, source_objects.c.key == source_groups.c.key
)
_SELECT_BY_ID = _SELECT.where(source_objects.c.id == bindparam("reference"))
_SELECT_TOUCHED = select(touched_groups.c.key)
_SELECT_THESE = _SELECT.where(among_bound(source_groups.c.key, "keys"))
_SELECT_PAGE = _SELECT.where(source_groups.c.key > bindparam("after")).order_by(source_groups.c.key).limit(_CHUNK)
