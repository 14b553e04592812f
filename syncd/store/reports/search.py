"""Finds people and groups by a part of what they are known by, without a look at everybody in the program."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, false, func, literal, or_, select, union_all

from syncd.model.kinds import RecordKind
from syncd.store.db.database import Database
from syncd.store.reports.status_statements import TABLES, select_orphans
from syncd.store.schema.tables import source_objects, target_principals


def search_keys(database: Database, kind: RecordKind, needle: str, *, limit: int) -> list[tuple[int, bool]]:
    """Return the keys of source objects, then of records of ours without one (True), in the order of lists.

    They are those whose name, login, BPS id or source id contains ``needle``, without case; where more than ``limit``
    do, any of them, since nothing is put in order that nobody sees. SQLite knows the case of English letters only, so
    that of others several spellings are looked for.
    """
    spelled = [needle.lower()] if needle.isascii() else [needle.lower(), needle, needle.upper(), needle.title()]
    asked = {f"needle{number}": _escape(text) for number, text in enumerate(spelled)}
    rows = database.load_rows(_select(kind, len(spelled)), {**asked, "most": limit})
    return [(row.key, bool(row.is_orphan)) for row in rows]


def find_keys(database: Database, kind: RecordKind, source: int) -> list[tuple[int, bool]]:
    """Return what the list has of one source object: its own key, and those of other records of it (True)."""
    others = database.load_values(_select_others(kind), {"source": source})
    return [(source, False), *((key, True) for key in others)]


def _escape(needle: str) -> str:
    return "%" + needle.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"


def _contains(column: Any, spellings: int) -> Any:
    return or_(*(func.lower(column).like(bindparam(f"needle{n}"), escape="!") for n in range(spellings)))


@cache
def _select_others(kind: RecordKind) -> Select[Any]:
    inner = select_orphans(kind).subquery()
    return select(inner.c.key).where(inner.c.source_key == bindparam("source")).order_by(inner.c.bps_id)


@cache
def _select(kind: RecordKind, spellings: int) -> Select[Any]:
    source, desired, target, _ = TABLES[kind]
    named = target_principals.alias("named")
    has_id = select(named.c.key).where(_contains(named.c.bps_fold, spellings))
    sources = (
        select(
            source.c.key,
            literal(0).label("is_orphan"),
            func.lower(func.coalesce(source.c.name, source_objects.c.id)).label("place"),
            source_objects.c.id.label("then"),
        )
        .join(source_objects, source_objects.c.key == source.c.key)
        .where(
            or_(
                _contains(source.c.name, spellings),
                _contains(source.c.upn, spellings) if kind == "user" else false(),
                _contains(source_objects.c.id, spellings),
                source.c.key.in_(select(desired.c.key).where(desired.c.principal_key.in_(has_id))),
                source.c.key.in_(select(target.c.source_key).where(target.c.key.in_(has_id))),
            )
        )
    )
    inner = select_orphans(kind).subquery()
    orphans = select(
        inner.c.key, literal(1).label("is_orphan"), func.lower(inner.c.bps_id).label("place"), inner.c.bps_id
    ).where(
        or_(
            _contains(inner.c.name, spellings),
            _contains(inner.c.bps_id, spellings),
            _contains(inner.c.source_id, spellings),
        )
    )
    # Each part stops as soon as it has found enough: a letter that everybody's name has costs no look at everybody.
    parts = [part.limit(bindparam("most")).subquery() for part in (sources, orphans)]
    both = union_all(*(select(part) for part in parts)).subquery()
    return (
        select(both.c.key, both.c.is_orphan)
        .order_by(both.c.is_orphan, both.c.place, both.c.then)
        .limit(bindparam("most"))
    )
