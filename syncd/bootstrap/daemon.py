"""The daemon, put together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from syncd.bootstrap.process import tune_process
from syncd.bootstrap.rules import identify_rules
from syncd.bootstrap.runs import make_runs
from syncd.bootstrap.settings import list_expiring
from syncd.bootstrap.sides import open_sides
from syncd.bootstrap.states import count_states
from syncd.bootstrap.store import open_store
from syncd.clock import Clock
from syncd.config import (
    Settings,
)
from syncd.notifications import list_outlets


def run_daemon(load_settings: Callable[[], Settings]) -> int:
    """Be the daemon until a signal ends it, and return the exit code; ``load_settings`` is called again at SIGHUP.

    Raises ConfigError for the first settings, StoreError and SchemaMismatch when their store cannot be opened.
    """
    from syncd.daemon.composition import Composition  # late: no other command needs scheduler or web server
    from syncd.daemon.service import serve
    from syncd.http import QuietTimes
    from syncd.web.health import serve_health

    tune_process()
    clock = Clock()
    composition = Composition(
        open_store=partial(open_store, create=True),
        open_sides=partial(open_sides, quiet=QuietTimes()),
        make_runs=make_runs,
        identify_rules=identify_rules,
        count_states=count_states,
        serve_health=lambda listen, state: serve_health(listen.host, listen.port, state, clock),
        list_expiring=list_expiring,
        list_outlets=list_outlets,
    )
    return serve(load_settings, composition, clock)
