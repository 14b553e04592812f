"""The store, opened and checked."""

from __future__ import annotations

from syncd.config import Settings
from syncd.store.db.database import Database, open_database
from syncd.store.db.revision import ensure_schema


def open_store(settings: Settings, *, create: bool) -> Database:
    """Open the store and check its revision; ``create`` brings up an empty one. Raises StoreError, SchemaMismatch."""
    database = open_database(settings.store.url.reveal(), settings.store.url.reveal)
    try:
        ensure_schema(database, create=create)
    except BaseException:
        database.close()
        raise
    return database
