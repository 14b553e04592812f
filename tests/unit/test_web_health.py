"""Health, metrics and the status page say how a daemon is, and nothing about people."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from syncd.clock import Clock
from syncd.daemon.state import HeldChanges
from syncd.errors import StoreError
from syncd.model.durations import Durations
from syncd.model.run import RunKind, RunRecord, RunRequest
from syncd.plan.daily import Allowance
from syncd.store.reports.gauges import Gauges
from syncd.web import bounds
from syncd.web.bounds import CONNECTIONS
from syncd.web.health import serve_health
from tests.fakes.daemon import watching_logs

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_run(number: int, kind: RunKind = "delta", **changes: object) -> RunRecord:
    """Return a closed run of five seconds."""
    start = NOW + timedelta(minutes=number)
    values: dict[str, object] = {"status": "succeeded", "phases": {"pull": 1.0, "read portal": 1.0, "apply": 3.0}}
    values |= {"started_at": start, "finished_at": start + timedelta(seconds=5), **changes}
    return RunRecord(id=number, kind=kind, trigger="schedule", **values)  # type: ignore[arg-type]


@dataclass
class FakeVitals:
    """A daemon as its pages see it."""

    role: str = "working"
    running: RunRequest | None = None
    running_since: datetime | None = None
    progress: Counter[str] = field(default_factory=Counter)
    runs_total: Counter[tuple[str, str]] = field(default_factory=Counter)
    changes_total: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    traffic_total: Counter[tuple[str, str]] = field(default_factory=Counter)
    messages_total: Counter[tuple[str, str]] = field(default_factory=Counter)
    durations: dict[tuple[str, str], Durations] = field(default_factory=dict)
    reload_refused: bool = False
    settings_since: datetime = NOW
    credentials: dict[str, datetime] = field(default_factory=dict)
    gauges: Gauges = field(default_factory=lambda: Gauges(failing=0, seats={}, seats_free={}, licences_waiting={}))
    runs: list[RunRecord] = field(default_factory=list)
    problem: str = ""
    stale: bool = False
    held: HeldChanges = field(default_factory=lambda: HeldChanges(0, None, ()))
    states: dict[str, dict[str, int]] = field(default_factory=dict)
    drift: dict[str, int] = field(default_factory=dict)
    allowances: list[Allowance] = field(default_factory=list)

    def now(self) -> datetime:
        return NOW

    def next_times(self) -> dict[str, datetime]:
        return {"delta": NOW + timedelta(minutes=5)}

    def is_stale(self, last_through: datetime | None) -> bool:
        return self.stale

    async def probe_store(self) -> str:
        return self.problem

    async def load_runs(self, limit: int) -> list[RunRecord]:
        if self.problem:
            raise StoreError(self.problem)
        return self.runs[:limit]

    async def load_last(self, kind: RunKind) -> RunRecord | None:
        return next((run for run in self.runs if run.kind == kind), None)

    async def load_held(self) -> HeldChanges:
        return self.held

    async def load_states(self) -> dict[str, dict[str, int]]:
        return self.states

    async def load_drift(self) -> dict[str, int]:
        return self.drift

    async def load_allowances(self) -> list[Allowance]:
        return self.allowances

    async def load_last_through(self) -> datetime | None:
        return next((run.finished_at for run in self.runs if run.status in ("succeeded", "held", "partial")), None)

    async def load_last_good(self) -> datetime | None:
        return next((run.finished_at for run in self.runs if run.status in ("succeeded", "held")), None)

    async def load_last_success(self) -> datetime | None:
        return next((run.finished_at for run in self.runs if run.status == "succeeded"), None)

    async def load_gauges(self) -> Gauges:
        return self.gauges


@asynccontextmanager
async def served(vitals: FakeVitals) -> AsyncIterator[aiohttp.ClientSession]:
    """Serve the pages on a free port; the session knows the address."""
    with watching_logs() as log:
        server = asyncio.create_task(serve_health("127.0.0.1", 0, vitals, Clock()), name="health")  # type: ignore[arg-type]
        port = (await log.wait("health.listening"))["port"]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            yield session
        server.cancel()
        await asyncio.wait([server])


async def fetch(session: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    """Return status and text of a page."""
    async with session.get(path) as answer:
        return answer.status, await answer.text()


async def test_live_while_the_store_is_gone() -> None:
    """/healthz asks nobody: a daemon without its store is alive, and /readyz says why it is not ready."""
    async with served(FakeVitals(problem="the disk is gone")) as session:
        assert await fetch(session, "/healthz") == (200, '{"status": "ok"}')
        status, text = await fetch(session, "/readyz")
        assert (status, json.loads(text)) == (503, {"status": "unready", "reason": "the disk is gone"})
        assert "syncd_store_usable 0.0" in (await fetch(session, "/metrics"))[1]
        assert "the disk is gone" in (await fetch(session, "/"))[1]


async def test_a_standby_is_ready() -> None:
    """A standby answers 200 and says standby, and its metrics say so too."""
    async with served(FakeVitals(role="standby")) as session:
        status, text = await fetch(session, "/readyz")
        assert (status, json.loads(text)["status"]) == (200, "standby")
        assert "syncd_standby 1.0" in (await fetch(session, "/metrics"))[1]


async def test_starting_and_stopping_are_not_ready() -> None:
    """Before the store is open, and once a stop was asked for, nobody should count on this daemon."""
    for role in ("starting", "stopping"):
        async with served(FakeVitals(role=role)) as session:
            assert (await fetch(session, "/readyz"))[0] == 503


async def test_staleness_is_told_and_fails_nothing() -> None:
    """A daemon without a good run for too long is still ready, and says stale."""
    async with served(FakeVitals(stale=True, runs=[make_run(1)])) as session:
        status, text = await fetch(session, "/readyz")
        assert (status, json.loads(text)["stale"]) == (200, True)
        assert "syncd_stale 1.0" in (await fetch(session, "/metrics"))[1]
        assert "too long ago" in (await fetch(session, "/"))[1]


SAMPLE = re.compile(r'(?:syncd|process)_[a-z_]+(?:\{(?:[a-z]+="[^"]*",?)+\})? [0-9.e+-]+')


async def read_metrics(vitals: FakeVitals) -> dict[str, float]:
    """Return the samples of the page: what each is called, with its labels, and its value."""
    async with served(vitals) as session:
        _, text = await fetch(session, "/metrics")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(SAMPLE.fullmatch(line) for line in lines), lines
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def make_busy() -> FakeVitals:
    """Return a daemon that has done a little of everything."""
    took = Durations()
    for seconds in (0.5, 1.0, 20.0, 99_999.0):
        took.add(seconds)
    return FakeVitals(
        runs=[make_run(3, counts={"held": 4}, status="held"), make_run(2), make_run(1, "full")],
        runs_total=Counter({("delta", "held"): 1}),
        changes_total=Counter({("create", "user", "done"): 5, ("revoke", "privilege", "failed"): 3}),
        traffic_total=Counter({("graph", "requests"): 7, ("graph", "throttled"): 1, ("bps", "bytes_received"): 99}),
        messages_total=Counter({("mail", "sent"): 2}),
        durations={("run", "full"): took, ("phase", "read portal"): took},
        reload_refused=True,
        credentials={"graph.certificate_file": NOW},
        held=HeldChanges(4, NOW, (3,)),
        allowances=[Allowance(action="unlink", object="membership", used=12, allowed=40)],
        gauges=Gauges(
            failing=2, seats={"PowerUser": 5}, seats_free={"PowerUser": 0}, licences_waiting={"PowerUser": 3}
        ),
    )


async def test_metrics_are_well_formed_and_complete() -> None:
    """Totals carry their labels, gauges tell the newest run of each kind, and every line can be parsed."""
    found = await read_metrics(make_busy())
    assert found['syncd_runs_total{kind="delta",status="held"}'] == 1.0
    assert found['syncd_changes_total{action="create",object="user",outcome="done"}'] == 5.0
    assert found['syncd_changes_total{action="revoke",object="privilege",outcome="failed"}'] == 3.0
    assert found['syncd_changes_total{action="revoke",object="licence",outcome="failed"}'] == 0.0
    assert found['syncd_requests_total{side="graph"}'] == 7.0
    assert found['syncd_throttled_total{side="graph"}'] == 1.0
    assert found['syncd_received_bytes_total{side="bps"}'] == 99.0
    assert found['syncd_messages_total{channel="mail",outcome="sent"}'] == 2.0
    assert found['syncd_last_run_duration_seconds{kind="full"}'] == 5.0
    assert found["syncd_held_changes"] == 4.0
    assert found["syncd_held_since_timestamp_seconds"] == NOW.timestamp()
    assert found['syncd_daily_removals{action="unlink",object="membership"}'] == 12.0
    assert found['syncd_daily_removals_allowed{action="unlink",object="membership"}'] == 40.0
    assert found["syncd_failing_changes"] == 2.0
    assert found['syncd_licence_seats{type="PowerUser"}'] == 5.0
    assert found['syncd_licence_seats_free{type="PowerUser"}'] == 0.0
    assert found['syncd_licences_waiting{type="PowerUser"}'] == 3.0
    assert found["syncd_config_last_reload_successful"] == 0.0
    assert found['syncd_credential_expiry_timestamp_seconds{setting="graph.certificate_file"}'] == NOW.timestamp()
    due = NOW + timedelta(minutes=5)
    assert found['syncd_next_run_timestamp_seconds{kind="delta"}'] == due.timestamp()
    assert any(name.startswith('syncd_build_info{python="3.') for name in found)
    assert found["process_start_time_seconds"] > 0


async def test_a_run_that_held_something_went_through_but_did_not_succeed() -> None:
    """Success means success: the newest run that succeeded is told beside the newest one that went through."""
    found = await read_metrics(make_busy())
    for name, number in (("success", 2), ("completed", 3)):
        end = make_run(number).finished_at
        assert end is not None
        assert found[f"syncd_last_{name}_timestamp_seconds"] == end.timestamp()


async def test_durations_are_counted_up_to_each_bound() -> None:
    """A bucket holds all that is not longer than its bound; the last one holds all."""
    found = await read_metrics(make_busy())
    phase = "syncd_phase_duration_seconds"
    buckets = {name.split('le="')[1].split('"')[0]: found[name] for name in found if name.startswith(f"{phase}_bucket")}
    assert (buckets["1.0"], buckets["15.0"], buckets["60.0"], buckets["14400.0"], buckets["+Inf"]) == (2, 2, 3, 3, 4)
    assert found['syncd_phase_duration_seconds_count{phase="read_portal"}'] == 4.0
    assert found['syncd_phase_duration_seconds_sum{phase="read_portal"}'] == 100020.5


async def test_known_labels_begin_at_zero() -> None:
    """The first failed run of a process is an increase, and no alert has to guess what a missing series means."""
    found = await read_metrics(FakeVitals())
    for name in (
        'syncd_runs_total{kind="full",status="failed"}',
        'syncd_changes_total{action="revoke",object="licence",outcome="failed"}',
        'syncd_changes_total{action="grant",object="privilege",outcome="deferred"}',
        'syncd_requests_total{side="bps"}',
        'syncd_retries_total{side="graph"}',
        'syncd_messages_total{channel="webhook",outcome="failed"}',
    ):
        assert found[name] == 0.0
    assert found["syncd_config_last_reload_successful"] == 1.0


async def test_people_and_groups_are_told_by_state() -> None:
    """Each known state, also those that nobody is in; nothing is told before they were counted."""
    found = await read_metrics(FakeVitals(states={"user": {"active": 10_000, "skipped": 3}, "group": {}}))
    assert (found['syncd_people{state="active"}'], found['syncd_people{state="held"}']) == (10_000.0, 0.0)
    assert found['syncd_groups{state="active"}'] == 0.0
    assert not any(name.startswith("syncd_people") for name in await read_metrics(FakeVitals()))


async def test_what_was_changed_by_hand_is_told_by_kind_of_object() -> None:
    """Each kind, also where nothing was."""
    found = await read_metrics(FakeVitals(drift={"membership": 4}))
    assert found['syncd_drift_differences{object="membership"}'] == 4.0
    assert found['syncd_drift_differences{object="user"}'] == 0.0


async def test_a_company_that_takes_too_long_to_count_is_no_trouble_with_the_store() -> None:
    """Everything else is told."""

    class Slow(FakeVitals):
        async def load_states(self) -> dict[str, dict[str, int]]:
            raise StoreError("the store did not answer within 5 seconds")

        async def load_drift(self) -> dict[str, int]:
            raise StoreError("the store did not answer within 5 seconds")

    found = await read_metrics(Slow())
    assert found["syncd_store_usable"] == 1.0
    assert not any(name.startswith(("syncd_people", "syncd_drift")) for name in found)


async def test_promtool_finds_nothing_to_say_about_the_metrics() -> None:
    """Names, units, types and help texts are by Prometheus' conventions."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("the metrics were not checked: no promtool (Debian's package prometheus)")
    async with served(make_busy()) as session:
        _, text = await fetch(session, "/metrics")
    checked = await asyncio.to_thread(
        subprocess.run, [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


async def test_the_page_shows_runs_held_changes_and_sides_and_escapes_them() -> None:
    """An operator sees what is held and which side failed; text from outside cannot become markup."""
    failed = make_run(3, "full", status="failed", error="portal <b>down</b>", phases={"pull": 1.0, "read portal": 1.0})
    held = make_run(4, status="held", counts={"held": 12, "done": 3}, error="held: 12 unlinks, the limit is 10")
    vitals = FakeVitals(
        runs=[held, failed, make_run(2, "full", status="failed", error="portal <b>down</b>")],
        running=RunRequest(pull="delta", trigger="signal"),
        progress=Counter({"users read": 1200}),
        held=HeldChanges(12, NOW, (4,)),
        states={"user": {"active": 10_000, "out_of_scope": 3}, "group": {"active": 4}},
    )
    async with served(vitals) as session:
        status, page = await fetch(session, "/")
    assert status == 200
    assert "12 changes of run 4, the oldest since 2026-03-01 12:00:00 UTC: held: 12 unlinks, the limit is 10" in page
    assert "<tr><th>People<td>active 10,000, out of scope 3</tr>" in page
    assert "a delta run (asked for by signal): users read 1,200" in page
    assert page.count("<td>portal &lt;b&gt;down&lt;/b&gt;") == page.count("<td>as in run 3") == 1
    assert "<b>" not in page
    assert "syncd <small>busy with a run</small>" in page
    assert "Next delta run" in page


async def test_a_daemon_that_waits_is_idle_in_words() -> None:
    """The page says what it does, not only which part it has; of the counters of a run those that tell of changes."""
    run = make_run(1, "full", counts={"create": 3, "done": 3, "graph_requests": 77, "pages": 5})
    async with served(FakeVitals(runs=[run])) as session:
        _, page = await fetch(session, "/")
    assert "<small>idle</small>" in page
    assert "idle: no run is in hand" in page
    assert "<td>create 3, done 3<td>" in page
    assert "graph_requests" not in page
    async with served(FakeVitals(role="standby")) as session:
        assert "this one takes over" in (await fetch(session, "/"))[1]


async def test_unknown_pages_and_methods_are_refused() -> None:
    """Nothing else is served, and nothing can be written."""
    async with served(FakeVitals()) as session:
        assert (await fetch(session, "/config"))[0] == 404
        async with session.post("/healthz") as answer:
            assert answer.status == 405


class PatientClock(Clock):
    """A clock whose sleeper waits to be let go on."""

    def __init__(self) -> None:
        self.sleeping = asyncio.Event()
        self.go_on = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.sleeping.set()
        await self.go_on.wait()
        self.go_on.clear()


async def test_an_address_in_use_is_logged_once_and_tried_again() -> None:
    """The daemon works on without its pages, and has them as soon as the address is free."""
    clock = PatientClock()
    with watching_logs() as log, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = asyncio.create_task(serve_health("127.0.0.1", port, FakeVitals(), clock), name="health")  # type: ignore[arg-type]
        for _ in range(3):
            await _pass(clock)
        taken.close()
        clock.go_on.set()
        await log.wait("health.listening")
        assert len(log.of("health.unreachable")) == 1
        server.cancel()
        await asyncio.wait([server])


async def _pass(clock: PatientClock) -> None:
    async with asyncio.timeout(10):
        await clock.sleeping.wait()
    clock.sleeping.clear()
    clock.go_on.set()


async def open_idle(session: aiohttp.ClientSession, count: int) -> list[socket.socket]:
    """Open so many connections to the pages, and send nothing over them."""
    address = ("127.0.0.1", session._base_url.port if session._base_url else 0)
    found = []
    for _ in range(count):
        one = socket.socket()
        one.setblocking(False)
        found.append(one)
        await asyncio.get_running_loop().sock_connect(one, address)
    return found


def count_open() -> int:
    """Return how many files and connections this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_hundreds_of_idle_connections_use_up_nothing() -> None:
    """They take the place of one another, nobody else is kept out, and not a line is logged."""
    async with served(FakeVitals()) as session:
        before = count_open()
        idle = await open_idle(session, 400)
        for _ in range(3):
            assert (await fetch(session, "/healthz"))[0] == 200
        await asyncio.sleep(0.1)
        assert count_open() - before - len(idle) <= CONNECTIONS + 5
        for one in idle:
            one.close()


async def test_a_head_that_never_becomes_whole_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is one of which a byte comes now and then; a connection in use stays open meanwhile."""
    monkeypatch.setattr(bounds, "IDLE_SECONDS", 0.4)
    async with served(FakeVitals()) as session:
        (one,) = await open_idle(session, 1)
        loop = asyncio.get_running_loop()
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 100 and not _is_closed(one):
                await loop.sock_sendall(one, b"G")
                await asyncio.sleep(0.05)
                sent += 1
        one.close()
        assert sent < 100
        assert (await fetch(session, "/healthz"))[0] == 200


def _is_closed(one: socket.socket) -> bool:
    try:
        return one.recv(1) == b""
    except BlockingIOError:
        return False
