"""Where settings arrive: a daemon is started with them, and each border notes what it is handed.

Everything between the settings and the borders is the program's own. What stands at the borders is replaced: the two
clients, the use cases, the hook, the listener and the worker, which looks at what it is given and ends the daemon.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog

from syncd.bootstrap.checks import list_group_references
from syncd.bootstrap.daemon import run_daemon
from syncd.cli.options import STORE_ONLY, Invocation
from syncd.clock import Clock
from syncd.config import Secret, Settings
from syncd.daemon.shared import DaemonContext
from syncd.graph.credentials import ClientCertificate, ClientSecret, FederatedToken, ManagedIdentity
from syncd.http import Shared
from syncd.plan.cel.expressions import Expression
from syncd.plan.rules import FieldRule
from syncd.store.db.database import Database
from syncd.sync.push import Push
from syncd.sync.runs import Runs

NOW = datetime(2100, 1, 15, 12, tzinfo=UTC)
"""A winter's noon so late that no schedule of the daemon comes due while a test runs."""

_LEVELS = ("debug", "info", "warning", "error", "critical")


class _StoppedClock(Clock):
    def now(self) -> datetime:
        return NOW

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


class Borders:
    """What was handed over, by border; ``seen`` has it as plain values by dotted path."""

    def __init__(self) -> None:
        self.seen: dict[str, object] = {}

    def note(self, path: str, value: object) -> None:
        """Note a value in its parts."""
        self.seen.update(_take_apart(path, value))

    # ---- replacements ------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def open_client(self, options: object, clock: Clock) -> AsyncIterator[None]:
        """Stand for the client of the tenant."""
        self.note("graph", options)
        yield

    def open_portal(self, options: object, clock: Clock) -> _Nothing:
        """Stand for the client of the portal."""
        self.note("bps", options)
        return _Nothing()

    def make_push(self, *given: object, **named: object) -> None:
        """Stand for the use case that plans and writes."""
        handed = inspect.signature(Push).bind(*given, **named).arguments
        self.note("rules", handed["rules"])
        self.note("fingerprint", handed["rules"].fingerprint())
        self.note("apply", handed["options"])

    def make_runs(self, *given: object, **named: object) -> None:
        """Stand for what executes runs."""
        handed = inspect.signature(Runs).bind(*given, **named).arguments
        day = NOW.replace(hour=0)
        self.seen["quiet"] = [hour for hour in range(24) if handed["is_quiet"](day + timedelta(hours=hour))]
        self.note("keep", handed["retention"])

    def open_hook(self, options: Any, clock: Clock) -> _Nothing:
        """Stand for the hook."""
        self.note("hook", options)
        return _Nothing()

    def open_mail(self, options: Any, clock: Clock) -> None:
        """Stand for what sends mail."""
        self.note("mail", options)

    async def serve_health(self, host: str, port: int, state: object, clock: Clock) -> None:
        """Stand for the listener."""
        self.seen["health"] = f"{host}:{port}"
        await asyncio.Event().wait()

    async def serve_console(
        self, listen: object, state: object, settings: Callable[[], Settings], *, clock: Clock
    ) -> None:
        """Stand for the console."""
        self.seen["web"] = str(listen)
        web = settings().web
        for name in sorted(type(web).model_fields.keys() - {"listen"}):
            value = getattr(web, name)
            self.seen[f"web.{name}"] = (
                value.reveal() if isinstance(value, Secret) else value.name if isinstance(value, Path) else value
            )
        await asyncio.Event().wait()

    async def find_nothing(self, *_: object, **__: object) -> tuple[list[str], list[str]]:
        """Stand for a look at both sides for what rules name and nobody has."""
        return [], []

    def make_worker(self, context: DaemonContext, database: Database, **_: object) -> _Worker:
        """Stand for the worker."""
        return _Worker(self, context, database)


class _Nothing:
    async def __aenter__(self) -> _Nothing:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


class _Worker:
    """Takes up everything once, as a worker does for a run, and ends the daemon."""

    def __init__(self, borders: Borders, context: DaemonContext, database: Database) -> None:
        self._borders = borders
        self._context = context
        self._database = database

    def cancel_run(self) -> None:
        """Have no run."""

    async def work(self) -> None:
        """Look at everything, in the order of a run."""
        context, seen = self._context, self._borders.seen
        seen["store"] = self._database.address.rpartition("/")[2]
        seen |= {f"schedule.{kind}": time.isoformat() for kind, time in context.schedule.next_times().items()}
        request = context.queue.take()
        seen["schedule.on_start"] = "none" if request is None else request.pull
        parts, settings, clock = context.composition, context.settings, context.clock
        async with parts.open_sides(
            settings, self._database, clock, progress=context.state.count, stopping=context.stop.is_set
        ):
            parts.make_runs(settings, self._database, clock)
        for outlet in parts.list_outlets(settings, clock):
            seen["events"] = sorted(outlet.events)
            async with outlet.open():
                pass
        seen |= {f"ends.{name}": f"{at}" for name, at in parts.list_expiring(settings, self._database, NOW).items()}
        _log_at_each_level()
        context.stop.set()


def observe(settings: Settings, config: Path) -> dict[str, object]:
    """Start a daemon with the settings and return what arrived where; a daemon without a listener has no ``health``.

    ``config`` is where the settings come from: a command reads it once more.
    """
    borders = Borders()
    with pytest.MonkeyPatch.context() as patch:
        for name, replacement in (
            ("syncd.bootstrap.daemon.Clock", _StoppedClock),
            ("syncd.bootstrap.daemon.tune_process", lambda: None),
            ("syncd.bootstrap.rule_names.find_misnamed", borders.find_nothing),
            ("syncd.bootstrap.daemon._serve_console", borders.serve_console),
            ("syncd.bootstrap.sides.Pull", lambda *_, **__: None),
            ("syncd.bootstrap.sides.Push", borders.make_push),
            ("syncd.bootstrap.runs.Runs", borders.make_runs),
            ("syncd.bps.portal.BpsPortal", borders.open_portal),
            ("syncd.daemon.leadership.Worker", borders.make_worker),
            ("syncd.graph.client.open_client", borders.open_client),
            ("syncd.graph.source.GraphSource", lambda *_: None),
            ("syncd.mail.Mailer", borders.open_mail),
            ("syncd.notifications.WebHook", borders.open_hook),
            ("syncd.web.health.serve_health", borders.serve_health),
        ):
            patch.setattr(name, replacement)
        out, err = StringIO(), StringIO()
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        assert run_daemon(lambda: settings) == 0
        borders.seen["logs.daemon"] = _describe_log(out.getvalue())
        Invocation(config=config).start(need=STORE_ONLY)
        _log_at_each_level()
        borders.seen["logs.command"] = _describe_log(err.getvalue())
    borders.seen["check.groups"] = list_group_references(settings)
    return borders.seen


def _log_at_each_level() -> None:
    for level in _LEVELS:
        getattr(structlog.get_logger("probe"), level)("probe.line")


def _describe_log(text: str) -> str:
    """Return the form of the lines and the lowest level among ours."""
    lines = [line for line in text.splitlines() if "probe.line" in line]
    if lines[0].startswith("{"):
        return f"json from {json.loads(lines[0])['level']}"
    return f"console from {next(level for level in _LEVELS if level in lines[0])}"


def _take_apart(path: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield the leaves of a value; what must be called for its value is called, and what is shared is left out."""
    match value:
        case Shared():
            return
        case Expression():
            yield path, value.text
        case FieldRule():
            yield path, value.expression.text if value.expression else value.attributes
        case ClientSecret():
            yield path, f"secret {value.reveal()}"
        case ClientCertificate():
            password = value.reveal_password() if value.reveal_password else None
            yield path, f"certificate {value.path.name} {password}"
        case FederatedToken():
            yield path, f"token {value.path.name}"
        case ManagedIdentity():
            yield path, f"identity {value.client_id}"
        case Path():
            yield path, value.name
        case Mapping():
            for name, each in value.items():
                yield from _take_apart(f"{path}.{name}", each)
        case tuple() if any(is_dataclass(each) for each in value):
            for number, each in enumerate(value):
                yield from _take_apart(f"{path}.{number}", each)
        case _ if is_dataclass(value) and not isinstance(value, type):
            for field in (each for each in fields(value) if each.init):  # the others follow
                yield from _take_apart(f"{path}.{field.name}", getattr(value, field.name))
        case _ if callable(value):
            yield path, value()
        case _:
            yield path, value
