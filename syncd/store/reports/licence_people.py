"""Everybody whom a licence rule could concern, with what they hold: what other rules are tried on."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sqlalchemy import bindparam, func, select

from syncd.plan.licences import HeldLicence
from syncd.store.db.database import Database, reading
from syncd.store.db.parameters import among_bound
from syncd.store.licences.holdings import load_holding
from syncd.store.licences.seats import load_seats
from syncd.store.licences.taken import is_held, load_taken
from syncd.store.reports.status_statements import choose_sources
from syncd.store.schema.tables import desired_users, source_members, source_users, target_licences

_CHUNK = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A source user. ``record``: the key of the account's BPS id, present or wanted; None where there is no BPS id.

    ``state``: the decision of the last planning, None before the first one.
    """

    key: int
    name: str | None
    record: int | None
    bps_id: str
    state: str | None
    exists: bool
    owned: bool
    taken: bool
    held: tuple[HeldLicence, ...]
    removed: dict[str, bool]


def iterate_candidates(database: Database) -> Iterator[list[Candidate]]:
    """Yield all source users in the order of their keys, in chunks."""
    last = -1
    while keys := database.load_values(_SELECT_KEYS, {"after": last, "most": _CHUNK}):
        last = keys[-1]
        rows = sorted(database.load_rows(choose_sources("user"), {"keys": keys}), key=lambda row: row.key)
        records = {row.key: row.record if row.record is not None else row.principal_key for row in rows}
        some = [key for key in records.values() if key is not None]
        with reading(database) as connection:
            held, removed = load_holding(connection, some), load_taken(connection, some)
        yield [
            Candidate(
                key=row.key,
                name=row.name,
                record=records[row.key],
                bps_id=row.bps_id or row.mapped or "",
                state=row.desired,
                exists=row.record is not None and row.bps_id is not None,
                owned=row.origin is not None and row.owner == row.key,
                taken=bool(row.taken),
                held=tuple(held.get(records[row.key] or 0, ())),
                removed=removed.get(records[row.key] or 0, {}),
            )
            for row in rows
        ]


def load_states(database: Database) -> dict[int, str]:
    """Return the decision of the last planning about each source user, by key."""
    return {row.key: row.state for row in database.load_rows(_SELECT_STATES)}


def load_users_in(database: Database, groups: Collection[int]) -> frozenset[int]:
    """Return the keys of the source users who are direct members of any of these groups."""
    return frozenset(database.load_values(_SELECT_USERS_IN, {"groups": groups}))


def load_held_counts(database: Database) -> tuple[dict[tuple[str, bool], int], dict[str, tuple[int, int]]]:
    """Return how many licences are held by (type, ours), and the seats of each type with those that no list shows."""
    with reading(database) as connection:
        held = {(row.type, bool(row.ours)): row.number for row in connection.execute(_COUNT_HELD)}
        return held, load_seats(connection)


# ---- statements -----------------------------------------------------------------------------------------------------

_SELECT_KEYS = (
    select(source_users.c.key)
    .where(source_users.c.key > bindparam("after"))
    .order_by(source_users.c.key)
    .limit(bindparam("most"))
)
_SELECT_STATES = select(desired_users.c.key, desired_users.c.state)
_SELECT_USERS_IN = (
    select(source_members.c.member_key)
    .join(source_users, source_users.c.key == source_members.c.member_key)
    .where(among_bound(source_members.c.group_key, "groups"))
    .distinct()
)
_OURS = target_licences.c.origin.is_not(None)
_COUNT_HELD = (
    select(target_licences.c.type, _OURS.label("ours"), func.count().label("number"))
    .where(is_held())
    .group_by(target_licences.c.type, _OURS)
)
