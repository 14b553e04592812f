"""The seats of licences: how many are free, and whether a list of licences agrees with how many are assigned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from sqlalchemy import Connection, func, select

from syncd.model.licence import Seats
from syncd.store.db.database import reading
from syncd.store.db.markers import LICENCE_SEATS, load_marker, save_marker
from syncd.store.db.parameters import among_bound
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import decode_json, encode_json
from syncd.store.licences.taken import is_held
from syncd.store.schema.tables import target_licences, target_users


class LicenceSeats(StorePart):
    """Its methods are called in the store's thread."""

    @in_thread
    def has_other_licences(self, seats: Sequence[Seats]) -> bool:
        """Return whether the portal has assigned more or fewer seats than we know of: somebody did it by hand."""
        with reading(self._database) as connection:
            known, counted = load_seats(connection), _count_held(connection)
        return any(
            kind.type not in known or kind.assigned != counted.get(kind.type, 0) + known[kind.type][1]
            for kind in seats
            if kind.total is not None
        )

    @in_thread
    def store_seats(self, seats: Sequence[Seats]) -> None:
        """Remember the seats, and how many of them the list does not show; call it after `store_licences`."""
        with self._database.transaction() as connection:
            counted = _count_held(connection)
            known = {
                kind.type: (kind.total, kind.assigned - counted.get(kind.type, 0))
                for kind in seats
                if kind.total is not None
            }
            save_marker(
                connection, LICENCE_SEATS, encode_json({name: list(numbers) for name, numbers in known.items()})
            )

    @in_thread
    def load_free_seats(self) -> dict[str, int]:
        """Return the free seats of each type whose number is known, by the last word of the portal and our writes."""
        with reading(self._database) as connection:
            counted = _count_held(connection)
            return {
                kind: total - counted.get(kind, 0) - unseen for kind, (total, unseen) in load_seats(connection).items()
            }


def find_doubted(
    connection: Connection,
    *,
    gone: Collection[tuple[int, str]],
    listed: Collection[tuple[int, str]],
    seats: Sequence[Seats],
) -> set[str]:
    """Return the types of which all that the list lacks are still counted as assigned, as nobody else's are.

    An account that is gone keeps its seat without being listed, so that it says nothing.
    """
    accounts = set(connection.scalars(_SELECT_ACCOUNTS, {"keys": {key for key, _ in gone}}))
    lacking = Counter(kind for key, kind in gone if key in accounts)
    shown, known = Counter(kind for _, kind in listed), load_seats(connection)
    return {
        each.type
        for each in seats
        if lacking[each.type]
        and each.type in known
        and each.assigned - shown[each.type] - known[each.type][1] >= lacking[each.type]
    }


def load_seats(connection: Connection) -> dict[str, tuple[int, int]]:
    """Return the seats of each type, and how many of them are assigned without being listed."""
    found: dict[str, list[int]] = decode_json(load_marker(connection, LICENCE_SEATS))
    return {kind: (numbers[0], numbers[1]) for kind, numbers in sorted(found.items())}


def _count_held(connection: Connection) -> dict[str, int]:
    return {row[0]: row[1] for row in connection.execute(_COUNT_HELD)}


_SELECT_ACCOUNTS = select(target_users.c.key).where(among_bound(target_users.c.key, "keys"))
_COUNT_HELD = select(target_licences.c.type, func.count()).where(is_held()).group_by(target_licences.c.type)
