"""Finds people and groups by a part of what they are known by, without a look at everybody in the program."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, false, func, or_, select

from syncd.model.kinds import RecordKind
from syncd.store.db.database import Database
from syncd.store.db.parameters import among_bound, like_any_case
from syncd.store.reports.status_statements import TABLES, select_orphans
from syncd.store.schema.tables import source_objects, target_principals


def search_keys(database: Database, kind: RecordKind, needle: str, *, limit: int) -> list[tuple[int, bool]]:
    """Return the keys of source objects, then of records of ours without one (True), in the order of lists.

    They are those whose name, login, BPS id or source id contains ``needle``, without case; where more than ``limit``
    do, any of them, since nothing is put in order that nobody sees. SQLite knows the case of English letters only, so
    that of others several spellings are looked for.
    """
    spelled = [needle] if needle.isascii() else [needle.lower(), needle, needle.upper(), needle.title()]
    asked: dict[str, Any] = {f"needle{number}": _escape(text) for number, text in enumerate(spelled)}
    sources = database.load_values(_select_sources(kind, len(spelled)), {**asked, "most": limit})
    found = [(key, False) for key in sources]
    if len(found) < limit:
        asked |= {"found": sources, "most": limit - len(found)}
        found += [(key, True) for key in database.load_values(_select_orphans(kind, len(spelled)), asked)]
    return found


def find_keys(database: Database, kind: RecordKind, source: int) -> list[tuple[int, bool]]:
    """Return what the list has of one source object: its own key, and those of other records of it (True)."""
    others = database.load_values(_select_others(kind), {"source": source})
    return [(source, False), *((key, True) for key in others)]


def _escape(needle: str) -> str:
    return "%" + needle.replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"


# ---- statements -----------------------------------------------------------------------------------------------------


def _contains(column: Any, spellings: int) -> Any:
    return or_(*(like_any_case(column, f"needle{n}") for n in range(spellings)))


def _have_id(spellings: int) -> Select[Any]:
    named = target_principals.alias("named")
    return select(named.c.key).where(_contains(named.c.bps_fold, spellings))


@cache
def _select_others(kind: RecordKind) -> Select[Any]:
    inner = select_orphans(kind).subquery()
    return select(inner.c.key).where(inner.c.source_key == bindparam("source")).order_by(inner.c.bps_id)


@cache
def _select_sources(kind: RecordKind, spellings: int) -> Select[Any]:
    source, desired, target, _ = TABLES[kind]
    has_id = _have_id(spellings)
    # It stops as soon as it has found enough: a letter that everybody's name has costs no look at everybody.
    found = (
        select(
            source.c.key,
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
        .limit(bindparam("most"))
        .subquery()
    )
    return select(found.c.key).order_by(found.c.place, found.c.then)


@cache
def _select_orphans(kind: RecordKind, spellings: int) -> Select[Any]:
    target, inner = TABLES[kind].target, select_orphans(kind)
    # Whoever may fit is found by simple means before it is asked, of few then, whether it is a record without a source.
    fitting = select(target.c.key).where(
        or_(
            _contains(target.c.name, spellings),
            target.c.key.in_(_have_id(spellings)),
            among_bound(target.c.source_key, "found"),
        )
    )
    orphans = inner.where(target.c.key.in_(fitting)).subquery()
    return (
        select(orphans.c.key)
        .where(
            or_(
                _contains(orphans.c.name, spellings),
                _contains(orphans.c.bps_id, spellings),
                _contains(orphans.c.source_id, spellings),
            )
        )
        .order_by(func.lower(orphans.c.bps_id), orphans.c.bps_id)
        .limit(bindparam("most"))
    )
