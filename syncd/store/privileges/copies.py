"""A store that was put back: its own record of privileges is of another time."""

from __future__ import annotations

from syncd.store.db.database import Database
from syncd.store.db.markers import PRIVILEGE_STORE, load_markers, save_marker
from syncd.store.db.witness import Witness
from syncd.store.privileges import statements as ask


def recognise(database: Database, mark: str) -> int | None:
    """Return how much may be by hand by now; see `Privileges.recognise`."""
    witness = Witness(database)
    if witness.is_private:
        return None
    known, doubted = load_markers(database, PRIVILEGE_STORE).get(PRIVILEGE_STORE), None
    copied, mark = known is not None and not witness.knows(known), witness.make_mark(mark)
    if known == mark:  # a server knows it by the same number in each run
        return None
    witness.note([mark] if copied or known is None else [known, mark])  # whichever a killed run leaves in the store
    with database.transaction() as connection:
        if copied:
            doubted = int(connection.scalar(ask.COUNT_DOUBTED) or 0)
            for statement in (ask.DOUBT_ALL, *ask.FORGET_READINGS):
                connection.execute(statement)
        save_marker(connection, PRIVILEGE_STORE, mark)
    witness.note([mark])
    return doubted
