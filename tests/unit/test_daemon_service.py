"""The context of a daemon: standby, take over, stop, and what it refuses to start on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from syncd.clock import Clock
from syncd.config import Listen, Settings
from syncd.daemon import service as service_module
from syncd.daemon.service import Service
from syncd.daemon.state import DaemonState
from syncd.errors import ConfigError, SchemaMismatch
from syncd.model.target import Account, Creation
from syncd.store.db.database import open_database
from syncd.store.db.lock import StoreLock
from syncd.store.store import Store
from tests.fakes.channel import FakeChannel
from tests.fakes.daemon import FakeParts, LogWatch, make_settings, open_new_store, watching_logs
from tests.fakes.portal import FakePortal
from tests.postgres import fresh_database

pytestmark = [pytest.mark.driver, pytest.mark.both_engines]


@asynccontextmanager
async def living(store_url: str, parts: FakeParts, **keys: str) -> AsyncIterator[tuple[Service, LogWatch]]:
    """Let a daemon live for a block, and stop it at the end; it must end with exit code 0."""
    settings = make_settings(store_url, **keys)
    with watching_logs() as log:
        service = Service(settings, lambda: settings, composition=parts.composition(), clock=Clock(), leave=_never)
        async with asyncio.TaskGroup() as tasks:
            context = tasks.create_task(service.run(), name="daemon")
            yield service, log
            service.stop("test")
        assert context.result() == 0
        assert log.names()[-1] == "daemon.stopped"


def _never(code: int) -> None:
    pytest.fail(f"the daemon left at once with {code}")


def test_the_address_of_a_store_holds_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither user nor options either: it goes into a log line, and tells which of two stores is meant."""
    monkeypatch.chdir(tmp_path)
    for url, address in (
        ("sqlite:///syncd.db", f"sqlite:///{tmp_path / 'syncd.db'}"),
        ("postgresql+psycopg://ann:s3cret@db.example:5433/syncd?password=s3cret", "db.example:5433/syncd"),
    ):
        database = open_database(url)
        assert database.address.removeprefix("postgresql+psycopg://") == address
        database.close()


async def test_a_standby_waits_and_takes_over(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process holds the store nothing is run; when it is gone, the standby works."""
    monkeypatch.setattr("syncd.daemon.leadership.SETTLE_SECONDS", 0.1)
    parts = FakeParts()
    database = open_new_store(make_settings(store_url))
    try:
        with StoreLock(database):
            async with living(store_url, parts) as (service, log):
                waiting = await log.wait("standby.waiting")
                assert waiting["store"] == database.address
                assert "another syncd works on this store" in waiting["reason"]
                assert parts.states[0].role == "standby"
                service.request("delta")
        assert "run.started" not in log.names()
        lock = StoreLock(database)
        assert lock.try_acquire()
        async with living(store_url, parts) as (service, log):
            await log.wait("standby.waiting")
            lock.release()
            await log.wait("run.finished")
            assert "standby.taken_over" in log.names()
            assert parts.states[-1].role == "working"
    finally:
        database.close()


@pytest.mark.parametrize(("on_start", "events"), [("full", ["full"]), ("delta", ["delta"]), ("none", [])])
async def test_the_first_run_is_what_on_start_says(tmp_path: Path, on_start: str, events: list[str]) -> None:
    """full, delta or nothing at all is asked for when work begins."""
    async with living(f"sqlite:///{tmp_path / 'store.db'}", FakeParts(), schedule__on_start=on_start) as (_, log):
        await log.wait("daemon.working")
    assert [event["kind"] for event in log.of("request.queued")] == events


async def test_a_full_run_that_was_missed_is_made_up_at_the_start(tmp_path: Path) -> None:
    """Nobody worked when the nightly full run was due, so the first run is full and not delta."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    async with living(url, FakeParts()) as (_, log):
        await log.wait("run.finished")
    database = open_database(url)
    with database.transaction() as connection:
        connection.execute(sa.text("UPDATE runs SET started_at = '2020-01-01 00:00:00'"))
    database.close()
    async with living(url, FakeParts()) as (_, log):
        finished = await log.wait("run.finished")
    assert (finished["kind"], finished["trigger"]) == ("full", "start")


async def test_a_stop_in_mid_run_ends_the_run_after_the_page_in_hand(tmp_path: Path) -> None:
    """The run is closed as interrupted, and the daemon ends well."""
    url, parts = f"sqlite:///{tmp_path / 'store.db'}", FakeParts()
    for number in range(20):
        parts.source.put_user(f"v{number}", userPrincipalName=f"v{number}@x.example", displayName="V")
    parts.source.gate.clear()
    async with living(url, parts) as (service, log):
        await parts.source.asked.wait()
        service.stop("SIGTERM")
        parts.source.gate.set()
        assert (await log.wait("run.finished"))["status"] == "interrupted"


async def test_a_stop_counts_even_when_its_log_line_is_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second signal in the middle of that line raises in it; the daemon must not live on as if nobody had asked."""

    class Broken:
        def info(self, event: str, **_: object) -> None:
            raise RuntimeError("reentrant call")

    settings = make_settings(f"sqlite:///{tmp_path / 'store.db'}")
    with watching_logs() as log:
        service = Service(
            settings, lambda: settings, composition=FakeParts().composition(), clock=Clock(), leave=_never
        )
        context = asyncio.create_task(service.run(), name="daemon")
        await log.wait("run.finished")
        with monkeypatch.context() as patch:
            patch.setattr(service, "_log", Broken())
            with pytest.raises(RuntimeError):
                service.stop("SIGTERM")
        async with asyncio.timeout(20):
            assert await context == 0


class StuckPortal(FakePortal):
    """A portal whose creations wait while ``gate`` is closed; ``asked`` tells that one does."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.asked = asyncio.Event(), asyncio.Event()

    async def create_account(self, account: Account, *, sent_before: bool = False) -> Creation:
        """Create once the gate is open."""
        self.asked.set()
        await self.gate.wait()
        return await super().create_account(account, sent_before=sent_before)


def load_statuses(url: str) -> list[str]:
    """Return how the runs of a store ended."""
    with contextlib.closing(open_database(url)) as database:
        return [run.status for run in Store(database).runs.load_runs(5)]


async def test_a_run_that_reads_is_broken_off_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer that it waits for may never come: it is closed as interrupted long before the grace time is over."""
    monkeypatch.setattr(service_module, "READING_SECONDS", 0.05)
    url, parts = f"sqlite:///{tmp_path / 'store.db'}", FakeParts()
    parts.source.gate.clear()
    async with living(url, parts) as (_, log):
        await parts.source.asked.wait()
    assert "run.cancelled" in log.names()
    assert load_statuses(url) == ["interrupted"]


async def test_a_run_that_writes_has_the_whole_grace_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent is finished, so that nobody has to find out what became of it."""
    monkeypatch.setattr(service_module, "READING_SECONDS", 0.0)
    url, parts = f"sqlite:///{tmp_path / 'store.db'}", FakeParts()
    parts.portal = portal = StuckPortal()
    async with living(url, parts) as (service, log):
        await portal.asked.wait()
        service.stop("SIGTERM")
        await asyncio.sleep(0.1)
        portal.gate.set()
    assert "run.cancelled" not in log.names()
    assert "ann@x.example" in portal.accounts


async def test_a_run_that_does_not_stop_in_time_is_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the grace time the run is cancelled and closed as interrupted; the exit code is still 0."""
    monkeypatch.setattr(service_module, "READING_SECONDS", 0.0)
    monkeypatch.setattr(service_module, "GRACE_SECONDS", 0.05)
    url, parts = f"sqlite:///{tmp_path / 'store.db'}", FakeParts()
    parts.portal = portal = StuckPortal()
    async with living(url, parts) as (_, log):
        await portal.asked.wait()
    assert "run.cancelled" in log.names()
    assert load_statuses(url) == ["interrupted"]


async def test_a_lost_lock_stops_the_run_and_leads_back_to_standby(
    postgres_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the database drops the session that holds the lock, the run ends, and the daemon waits for the lock anew."""
    monkeypatch.setattr("syncd.daemon.leadership.SETTLE_SECONDS", 0.1)
    parts = FakeParts()
    parts.source.gate.clear()
    async with living(postgres_store, parts) as (_, log):
        await parts.source.asked.wait()
        _drop_other_sessions(postgres_store)
        await log.wait("standby.lock_lost")
        parts.source.gate.set()
        await log.wait("run.finished", 2)
    assert [event["status"] for event in log.of("run.finished")][1] == "succeeded"


@pytest.fixture
def postgres_store(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database on PostgreSQL."""
    with fresh_database(request.getfixturevalue("postgres_url")) as url:
        yield url


def _drop_other_sessions(url: str) -> None:
    database = open_database(url)
    with database.transaction() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        )
    database.close()


async def test_a_store_of_another_revision_is_refused(tmp_path: Path) -> None:
    """The daemon does not start on a store that this version cannot use."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    database = open_new_store(make_settings(url))
    with database.transaction() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    database.close()
    settings = make_settings(url)
    service = Service(settings, lambda: settings, composition=FakeParts().composition(), clock=Clock(), leave=_never)
    with watching_logs(), pytest.raises(SchemaMismatch, match="syncd migrate"):
        await service.run()


async def test_readiness_tells_what_is_wrong_with_the_store(tmp_path: Path) -> None:
    """A store that somebody migrated away under the daemon is said to be unusable."""
    url, parts = f"sqlite:///{tmp_path / 'store.db'}", FakeParts()
    async with living(url, parts) as (_, log):
        await log.wait("run.finished")
        (state,) = parts.states
        assert await state.probe_store() == ""
        assert not state.is_stale(await state.load_last_through())
        assert [run.kind for run in await state.load_runs(5)] == ["full"]
        database = open_database(url)
        with database.transaction() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        database.close()
        assert "9999" in await state.probe_store()


async def test_a_changed_configuration_is_adopted_and_a_bad_one_refused(tmp_path: Path) -> None:
    """A reload says what changed; one with problems lists all of them and changes nothing."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    answers: list[Settings | ConfigError] = [
        make_settings(url, schedule__on_start="none", schedule__delta="1h", guard__max_removals="7"),
        ConfigError(["graph.tenant_id: is missing", "guard.grace: is unknown"], where="read from syncd.toml"),
    ]

    def load() -> Settings:
        answer = answers.pop(0)
        if isinstance(answer, ConfigError):
            raise answer
        return answer

    parts, channel = FakeParts(), FakeChannel()
    parts.channels["mail"] = channel
    with watching_logs() as log:
        service = Service(
            make_settings(url, schedule__on_start="none"),
            load,
            composition=parts.composition(),
            clock=Clock(),
            leave=_never,
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(service.run(), name="daemon")
            await log.wait("daemon.working")
            service.reload()
            assert (await log.wait("config.reloaded"))["changed"] == ["schedule", "guard"]
            state = service._context.state
            assert (state.reload_refused, state.settings_since > state.started_at) == (False, True)
            in_force_since = state.settings_since
            service.reload()
            refused = await log.wait("config.refused")
            assert (state.reload_refused, state.settings_since) == (True, in_force_since)
            assert refused["problems"] == ["graph.tenant_id: is missing", "guard.grace: is unknown"]
            assert refused["where"] == "read from syncd.toml"
            await channel.wait("refused_configuration")
            assert channel.got[0]["problems"] == refused["problems"]
            service.stop("test")


async def test_a_reload_moves_to_another_store(tmp_path: Path) -> None:
    """With another store.url the daemon leaves the old store, works on the new one, and lets the old one go."""
    old, new = (f"sqlite:///{tmp_path / name}.db" for name in ("old", "new"))
    with watching_logs() as log:
        service = Service(
            make_settings(old),
            lambda: make_settings(new),
            composition=FakeParts().composition(),
            clock=Clock(),
            leave=_never,
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(service.run(), name="daemon")
            await log.wait("run.finished")
            service.reload()
            await log.wait("run.finished", 2)
            database = open_database(old)
            with StoreLock(database):
                database.close()
            service.stop("test")
    database = open_database(new)
    assert [run.kind for run in Store(database).runs.load_runs(5)] == ["full"]
    database.close()


async def test_a_reload_opens_moves_and_closes_the_console(tmp_path: Path) -> None:
    """It is served where the settings say, with those in force; what has not changed leaves it alone."""
    current = make_settings(f"sqlite:///{tmp_path / 'syncd.db'}")
    told = asyncio.Queue[str]()

    def set_web(**changes: object) -> None:
        nonlocal current
        current = current.model_copy(update={"web": current.web.model_copy(update=changes)})

    async def serve_console(listen: Listen, state: DaemonState, settings: Callable[[], Settings]) -> None:
        told.put_nowait(f"open {listen} {settings().web.sign_in}")
        try:
            await asyncio.Event().wait()
        finally:
            told.put_nowait(f"close {listen}")

    composition = replace(FakeParts().composition(), serve_console=serve_console)
    with watching_logs() as log:
        service = Service(current, lambda: current, composition=composition, clock=Clock(), leave=_never)
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(20):
            tasks.create_task(service.run(), name="daemon")
            await log.wait("daemon.started")
            set_web(listen=Listen("127.0.0.1", 1), sign_in="token")
            service.reload()
            assert await told.get() == "open 127.0.0.1:1 token"
            service.reload()
            await log.wait("config.reloaded", 2)
            set_web(listen=Listen("127.0.0.1", 2))
            service.reload()
            assert [await told.get(), await told.get()] == ["close 127.0.0.1:1", "open 127.0.0.1:2 token"]
            set_web(listen=None)
            service.reload()
            assert await told.get() == "close 127.0.0.1:2"
            await log.wait("config.reloaded", 4)
            service.stop("test")
    assert told.empty()
