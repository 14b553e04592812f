"""What the composition root hands to the daemon, so that the daemon opens nothing itself and knows no adapter."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from syncd.clock import Clock
from syncd.config import Listen, Settings
from syncd.daemon.state import DaemonState
from syncd.store.db.database import Database
from syncd.sync.notify import Outlet
from syncd.sync.ports.progress import Progress
from syncd.sync.runs import Runs, Sides


class OpenSides(Protocol):
    """Opens both sides for one run; raises SyncdError when the settings do not suffice."""

    def __call__(
        self,
        settings: Settings,
        database: Database,
        clock: Clock,
        *,
        progress: Progress,
        stopping: Callable[[], bool],
    ) -> AbstractAsyncContextManager[Sides]:
        """Return the sides as a context that closes them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """How to make what a daemon works with.

    ``open_store`` opens the store of the settings and brings up an empty one (StoreError, SchemaMismatch).
    ``serve_health`` answers on an address until it is cancelled, and keeps address trouble to itself.
    ``list_expiring`` returns for the settings whose credential ends soon, or has ended, when that is; it reads files
    and the store, so it runs in a thread (StoreError). ``list_outlets`` names the ways that messages go; it opens
    nothing yet.
    ``identify_rules`` returns a hash of everything that a plan is made by; ``count_states`` how many users and groups
    are in each state, ``count_drift`` what was changed by hand. ``serve_console`` does for the console what
    ``serve_health`` does for health; it asks for the settings in force again and again.
    """

    open_store: Callable[[Settings], Database]
    open_sides: OpenSides
    make_runs: Callable[[Settings, Database, Clock], Runs]
    identify_rules: Callable[[Settings], str]
    count_states: Callable[[Settings, Database, datetime], Mapping[str, Mapping[str, int]]]
    count_drift: Callable[[Settings, Database], Mapping[str, int]]
    serve_health: Callable[[Listen, DaemonState], Coroutine[Any, Any, None]]
    serve_console: Callable[[Listen, DaemonState, Callable[[], Settings]], Coroutine[Any, Any, None]]
    list_expiring: Callable[[Settings, Database, datetime], Mapping[str, datetime]]
    list_outlets: Callable[[Settings, Clock], Sequence[Outlet]]
