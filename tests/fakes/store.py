"""A store that a test can break: everything that enters its thread passes a hook first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from syncd.store.db.database import Database
from syncd.store.store import Store


class WatchedDatabase(Database):
    """The same database as another one; ``before`` is called before anything is run in its thread, and may raise."""

    def __init__(self, database: Database, before: Callable[[], None], *, inline: bool = False) -> None:
        """``inline``: run at once in the thread of the caller, where a test makes thousands of calls."""
        vars(self).update(vars(database))
        self._before = before
        self._inline = inline

    async def call(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run, unless the hook raises."""
        self._before()
        if self._inline:
            return work(*args, **kwargs)
        return await super().call(work, *args, **kwargs)


def watch_store(database: Database, before: Callable[[], None], *, inline: bool = False) -> Store:
    """Return the store of a database behind such a hook."""
    return Store(WatchedDatabase(database, before, inline=inline))
