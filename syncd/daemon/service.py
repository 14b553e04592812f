"""The context of the daemon: open the store, serve terms on it, obey signals, reload, stop.

A stop ends the run in hand at its next safe place. After ``READING_SECONDS`` it is broken off if it only reads, after
``GRACE_SECONDS`` (less than the time that deploy/ gives the process to stop) whatever it does.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import structlog

from syncd.clock import Clock
from syncd.config import Settings
from syncd.daemon.composition import Composition
from syncd.daemon.credentials import watch_credentials
from syncd.daemon.leadership import LeadershipTerm
from syncd.daemon.shared import make_context
from syncd.daemon.signals import Signals, leave_at_once
from syncd.errors import ConfigError, SchemaMismatch, StoreError, SyncdError
from syncd.logs.pipe import configure_logs
from syncd.model.run import PullKind, RunRequest
from syncd.store.db.database import Database
from syncd.sync.notify import Reload
from syncd.tasks import background_tasks

READING_SECONDS = 15.0
GRACE_SECONDS = 25.0
_LAST_SECONDS = 10.0
"""A run that was broken off has so long to put its transaction away; then the process leaves without it."""
_OPEN_ATTEMPTS = 3


def serve(load_settings: Callable[[], Settings], composition: Composition, clock: Clock) -> int:
    """Be the daemon until a signal ends it, and return the exit code.

    Raises ConfigError, and StoreError when the store cannot be opened (SchemaMismatch: not by this version).
    """
    settings = load_settings()
    configure_logs(settings.log.format, settings.log.level, sys.stdout)
    return asyncio.run(Service(settings, load_settings, composition=composition, clock=clock).run())


class Service:
    """One daemon. Not reused. ``leave`` ends the process at once."""

    def __init__(
        self,
        settings: Settings,
        load_settings: Callable[[], Settings],
        *,
        composition: Composition,
        clock: Clock,
        leave: Callable[[int], None] = leave_at_once,
    ) -> None:
        self._load_settings = load_settings
        self._composition = composition
        self._clock = clock
        self._leave = leave
        self._context = make_context(settings, composition, clock)
        self._reload = asyncio.Event()
        self._rebind = asyncio.Event()
        self._reopen = asyncio.Event()
        self._term: LeadershipTerm | None = None
        self._log = structlog.get_logger("syncd.daemon")

    async def run(self) -> int:
        """Live until stopped; return the exit code."""
        signals = Signals(request=self.request, reload=self.reload, stop=self.stop, leave=self._leave)
        with signals.receiving(asyncio.get_running_loop()):
            self._log.info("daemon.started")
            async with background_tasks(
                (self._serve_health(), "health"),
                (self._serve_console(), "console"),
                (self._reload_on_demand(), "reload"),
                (self._context.schedule.watch_clock(), "watch clock"),
                (watch_credentials(self._context), "watch credentials"),
                (self._context.notifier.work(self._context), "news"),
                (self._keep_deadline(), "deadline"),
            ):
                await self._live()
            self._log.info("daemon.stopped")
        return 0

    def request(self, kind: PullKind) -> None:
        """Ask for a run now, as an operator."""
        self._context.queue.put(RunRequest(pull=kind, trigger="signal", retry_failed=True))

    def reload(self) -> None:
        """Ask for the configuration to be read again."""
        self._reload.set()

    def stop(self, why: str) -> None:
        """Ask for a graceful end."""
        in_hand = self._context.state.running is not None
        self._context.state.take_part("stopping")
        self._context.stop.set()
        self._context.bell.set()
        self._log.info("daemon.stopping", signal=why, run_in_hand=in_hand)  # last: a second signal may break it off

    # ---- stores -----------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        context = self._context
        database = await self._open_store()
        try:
            while not context.stop.is_set():
                if context.next_database is not None:
                    await asyncio.to_thread(database.close)
                    database, context.next_database = context.next_database, None
                await asyncio.to_thread(context.state.attach, database)
                context.notifier.attach(database)
                context.credentials_due.set()
                self._term = LeadershipTerm(context, database)
                await self._term.serve()
        finally:
            self._term = None
            for opened in (database, context.next_database):
                if opened is not None:
                    await asyncio.to_thread(opened.close)

    async def _open_store(self) -> Database:
        """Open the store; a second and third attempt, because a twin may be creating the same one just now."""
        for attempt in range(1, _OPEN_ATTEMPTS + 1):
            try:
                return await asyncio.to_thread(self._composition.open_store, self._context.settings)
            except SchemaMismatch:
                raise
            except StoreError:
                if attempt == _OPEN_ATTEMPTS or self._context.stop.is_set():
                    raise
                await self._context.rest(1.0)
        raise AssertionError("unreachable")

    # ---- beside the work --------------------------------------------------------------------------------------------

    async def _serve_health(self) -> None:
        """Serve health where the settings say, from one change of the address to the next."""
        while True:
            self._rebind.clear()
            listen = self._context.settings.health.listen
            if listen is None:
                await self._rebind.wait()
                continue
            async with background_tasks((self._composition.serve_health(listen, self._context.state), "health server")):
                await self._rebind.wait()

    async def _serve_console(self) -> None:
        """Serve the console where the settings say, from one change of its settings to the next."""
        while True:
            self._reopen.clear()
            listen = self._context.settings.web.listen
            if listen is None:
                await self._reopen.wait()
                continue
            console = self._composition.serve_console(listen, self._context.state, lambda: self._context.settings)
            async with background_tasks((console, "console server")):
                await self._reopen.wait()

    async def _reload_on_demand(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            try:
                settings = await asyncio.to_thread(self._load_settings)
                if settings.store != self._context.settings.store:
                    await self._prepare_move(settings)
            except SyncdError as error:
                problems, where = [str(error)], ""
                if isinstance(error, ConfigError):
                    problems, where = list(error.problems), error.where
                self._context.state.note_settings(refused=True)
                self._log.error("config.refused", problems=problems, where=where or None)
                self._context.notifier.report(Reload(problems, where))
                continue
            self._apply_settings(settings)

    async def _prepare_move(self, settings: Settings) -> None:
        """Open another store, so that it is known to work before the old one is left."""
        opened = await asyncio.to_thread(self._composition.open_store, settings)
        overtaken, self._context.next_database = self._context.next_database, opened
        if overtaken is not None:
            await asyncio.to_thread(overtaken.close)

    def _apply_settings(self, settings: Settings) -> None:
        """Switch to validated settings: logs, schedule and health now; both sides from the next run."""
        before, self._context.settings = self._context.settings, settings
        sections = [name for name in type(settings).model_fields if getattr(before, name) != getattr(settings, name)]
        changed = [name.removesuffix("_side") for name in sections if name not in ("source", "file")]
        if "log" in changed:
            configure_logs(settings.log.format, settings.log.level, sys.stdout)
        self._context.schedule.replace(settings.schedule)
        if "health" in changed:
            self._rebind.set()
        if "web" in changed:
            self._reopen.set()
        self._context.bell.set()
        self._context.credentials_due.set()
        self._context.state.note_settings(refused=False)
        self._context.notifier.report(Reload())
        self._log.info("config.reloaded", changed=changed, run_in_hand=self._context.state.running is not None)

    async def _keep_deadline(self) -> None:
        """After a stop: break off what does not end in time, and at last leave without it."""
        await self._context.stop.wait()
        await self._clock.sleep(READING_SECONDS)
        if self._term is not None:
            self._term.cancel_reading()
        await self._clock.sleep(GRACE_SECONDS - READING_SECONDS)
        if self._term is not None:
            self._term.cancel_run()
        await self._clock.sleep(_LAST_SECONDS)
        self._log.error("daemon.exit_forced")
        self._leave(0)
