"""The daemon, put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING

from syncd.bootstrap.process import tune_process
from syncd.bootstrap.rules import identify_rules, make_rules
from syncd.bootstrap.runs import make_runs
from syncd.bootstrap.settings import list_credential_ends, list_expiring
from syncd.bootstrap.sides import open_sides
from syncd.bootstrap.states import count_drift, count_states
from syncd.bootstrap.store import open_store
from syncd.clock import Clock
from syncd.config import Listen, Settings
from syncd.notifications import list_outlets

if TYPE_CHECKING:
    from syncd.daemon.state import DaemonState
    from syncd.web.console.desk import Checked


def run_daemon(load_settings: Callable[[], Settings]) -> int:
    """Be the daemon until a signal ends it, and return the exit code; ``load_settings`` is called again at SIGHUP.

    Raises ConfigError for the first settings, StoreError and SchemaMismatch when their store cannot be opened. What
    rules about privileges name and nobody has is a ConfigError as well, as far as both sides can be asked.
    """
    from syncd.bootstrap.rule_names import PATIENCE_SECONDS, START_SECONDS, refuse_misnamed
    from syncd.daemon.composition import Composition  # late: no other command needs scheduler or web server
    from syncd.daemon.service import serve
    from syncd.http import Shared
    from syncd.web.health import serve_health

    tune_process()
    clock = Clock()
    composition = Composition(
        open_store=partial(open_store, create=True),
        open_sides=partial(open_sides, shared=Shared()),
        make_runs=make_runs,
        identify_rules=identify_rules,
        count_states=count_states,
        count_drift=count_drift,
        serve_health=lambda listen, state: serve_health(listen.host, listen.port, state, clock),
        serve_console=partial(_serve_console, clock=clock),
        list_expiring=list_expiring,
        list_outlets=list_outlets,
    )
    patience = chain((START_SECONDS,), repeat(PATIENCE_SECONDS))
    return serve(lambda: refuse_misnamed(load_settings(), next(patience)), composition, clock)


async def _serve_console(listen: Listen, state: DaemonState, settings: Callable[[], Settings], *, clock: Clock) -> None:
    """Serve the console of a daemon; its libraries are loaded only where there is one."""
    from syncd.web.console.desk import Desk
    from syncd.web.console.server import serve_console

    desk = Desk(
        settings=settings,
        vitals=state,
        clock=clock,
        make_rules=make_rules,
        list_ends=list_credential_ends,
        run_checks=_run_checks,
    )
    await serve_console(listen, desk)


async def _run_checks(settings: Settings, clock: Clock) -> Sequence[Checked]:
    from syncd.bootstrap.checks import check

    return await check(settings, clock)
