"""The daemon, put together."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from syncd.bootstrap.settings import list_expiring
from syncd.bootstrap.sides import open_sides
from syncd.bootstrap.store import make_runs, open_store
from syncd.clock import Clock
from syncd.config import (
    Settings,
)
from syncd.notifications import open_hook

if TYPE_CHECKING:
    pass

_COLLECT_AFTER = 10_000
"""So many more values made than forgotten let Python look for cycles among the youngest (its own number is 700)."""


def spare_collector() -> None:
    """Let Python's collector of cycles pass over what is loaded by now, and look at the rest more rarely.

    To be called once by a process whose business is runs. A plan makes hundreds of thousands of values, none of them in
    a cycle: with Python's own thresholds a seventh of the time of planning went into looking at them again and again.
    What is in a cycle waits a little longer for its end, which costs some 3 MB.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)


def run_daemon(load_settings: Callable[[], Settings]) -> int:
    """Be the daemon until a signal ends it, and return the exit code; ``load_settings`` is called again at SIGHUP.

    Raises ConfigError for the first settings, StoreError and SchemaMismatch when their store cannot be opened.
    """
    from syncd.daemon.composition import Composition  # late: no other command needs scheduler or web server
    from syncd.daemon.service import serve
    from syncd.http import QuietTimes
    from syncd.web.health import serve_health

    spare_collector()
    clock = Clock()
    composition = Composition(
        open_store=partial(open_store, create=True),
        open_sides=partial(open_sides, quiet=QuietTimes()),
        make_runs=make_runs,
        serve_health=lambda listen, state: serve_health(listen.host, listen.port, state, clock),
        list_expiring=list_expiring,
        open_hook=open_hook,
    )
    return serve(load_settings, composition, clock)
