"""The store, opened and checked."""

from __future__ import annotations

from pathlib import Path

from syncd.config import Settings
from syncd.store.db.database import Compiled, Database, open_database, open_to_read
from syncd.store.db.revision import ensure_schema, load_revision


def open_store(settings: Settings, *, create: bool, compiled: Compiled | None = None) -> Database:
    """Open the store and check its revision; ``create`` brings up an empty one. Raises StoreError, SchemaMismatch.

    ``compiled``: statements that it shares with others that this process opens.
    """
    url = settings.store.url
    database = open_database(url.reveal(), url.reveal, compiled=compiled)
    try:
        ensure_schema(database, create=create)
    except BaseException:
        database.close()
        raise
    return database


def open_to_copy(settings: Settings) -> Database:
    """Open the store at whatever revision it has, to be copied and nothing else. Raises StoreError.

    SchemaMismatch where there is none, or an empty one.
    """
    url = settings.store.url
    database = open_database(url.reveal(), url.reveal)
    try:
        if load_revision(database) is None:
            ensure_schema(database, create=False)
    except BaseException:
        database.close()
        raise
    return database


def open_stored(settings: Settings) -> Database | None:
    """Open the store so that nothing can write to it; None when there is none, or an empty one.

    Raises StoreError, and SchemaMismatch for another revision than this program's.
    """
    url = settings.store.url.reveal()
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///").partition("?")[0]).is_file():
        return None
    database = open_to_read(url)
    try:
        if load_revision(database) is not None:
            ensure_schema(database, create=False)
            return database
    except BaseException:
        database.close()
        raise
    database.close()
    return None
