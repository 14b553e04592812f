"""What a person looks at before deciding about what is held: what hangs on it, and what the tenant says now."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, literal, null, select, union_all

from syncd.model.change import Placed
from syncd.store.db.database import Database
from syncd.store.db.parameters import among_bound
from syncd.store.db.sql import decode_json
from syncd.store.inventory.bps_ids import load_group_names
from syncd.store.reports.impact import describe_impact, load_impacts
from syncd.store.schema.tables import source_groups, source_objects, source_users

_NAMED = 10
_KINDS = ("memberships", "ownerships", "licences", "substitutions", "reports")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hanging:
    """An account or group that is to be deleted, in numbers and in words what hangs on it, and what is not known."""

    object: str
    bps_id: str
    numbers: Mapping[str, int]
    lines: list[str]
    unknown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What the directory says of a source object now."""

    name: str | None
    state: str
    enabled: bool | None
    removed_at: datetime | None


def load_hanging(database: Database, placed: Sequence[Placed]) -> list[Hanging]:
    """Return the cards of these deletions, in their order."""
    cards = load_impacts(database, placed)
    kinds = ("memberships", "ownerships")
    names = load_group_names(database, {name for card in cards.values() for kind in kinds for name in card[kind]})
    found = []
    for planned, _, _ in placed:
        card = cards.get(planned.seq)
        if card is None:
            continue
        named = {kind: [names.get(name, name) for name in card[kind]] for kind in kinds}
        found.append(
            Hanging(
                object=planned.change.object,
                bps_id=planned.change.bps_id,
                numbers={kind: len(card[kind]) for kind in _KINDS if card[kind]},
                lines=describe_impact({**card, **named}, _NAMED),
                unknown=str(card.get("unknown") or ""),
            )
        )
    return found


def load_present(database: Database, source_ids: Collection[str]) -> Mapping[str, Present]:
    """Return what the directory says of these source objects, by source id."""
    rows = database.load_rows(_SELECT_PRESENT, {"ids": list(source_ids)}) if source_ids else ()
    return {row.id: _make_present(row) for row in rows}


def _make_present(row: Any) -> Present:
    enabled = decode_json(row.attributes).get("accountEnabled") if row.is_user else None
    return Present(
        name=row.name, state=row.state, enabled=None if not row.is_user else enabled is not False,
        removed_at=row.removed_at,
    )  # fmt: skip


# ---- statements -----------------------------------------------------------------------------------------------------


def _select_present() -> Any:
    parts: list[Select[Any]] = [
        select(
            source_objects.c.id,
            table.c.name,
            table.c.state,
            table.c.removed_at,
            table.c.attributes if is_user else null().label("attributes"),
            literal(is_user).label("is_user"),
        )
        .join(source_objects, source_objects.c.key == table.c.key)
        .where(among_bound(source_objects.c.id, "ids", textual=True))
        for table, is_user in ((source_users, 1), (source_groups, 0))
    ]
    return union_all(*parts)


_SELECT_PRESENT = _select_present()
