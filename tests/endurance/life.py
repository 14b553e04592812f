"""Days of virtual time with everything on, in minutes: the real daemons between the two imitations.

Two daemons share one store. One works and one waits, and every few hours the working one is stopped, and begun again
as the one that waits. Meanwhile the company lives, both sides fail in all ways, the certificate of the tenant's
application and the secret of the portal's are renewed, the configuration is changed and read again, and old runs are
let go.

At the end every promise is looked at, and what may not grow is compared with what it was after the first third.
"""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from syncd.bootstrap.rules import identify_rules
from syncd.bootstrap.runs import make_runs
from syncd.bootstrap.settings import list_expiring, read_settings
from syncd.bootstrap.sides import open_sides
from syncd.bootstrap.states import count_drift, count_states
from syncd.bootstrap.store import open_store
from syncd.clock import Clock
from syncd.config import Listen
from syncd.daemon import leadership, worker
from syncd.daemon.composition import Composition
from syncd.daemon.service import Service
from syncd.daemon.state import DaemonState
from syncd.http import QuietTimes
from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.tenant.events import live
from syncd.sandbox.wire.faults import Fault
from syncd.store.db.database import Compiled, Database, open_database
from syncd.store.runs.verify import Chain
from tests.contract.certificates import issue
from tests.e2e.truth import Truth
from tests.endurance.growth import (
    Look,
    Tally,
    count_rows,
    judge_growth,
    measure_kept,
    name_descriptors,
    read_resident,
    tell_growth,
)
from tests.endurance.virtual import VirtualClock, VirtualLoop, everybody_goes_by

HOURS = 72
_CHURN_EVERY, _FAULT_EVERY, _RELOAD_EVERY, _ROTATE_EVERY, _CHANGE_EVERY, _LOOK_EVERY = (
    600.0, 1500.0, 2.5 * 3600, 7 * 3600.0, 5 * 3600.0, 3 * 3600.0,
)  # fmt: skip
"""Seconds between two changes of the company, faults, reloads, renewals, changes of the working daemon, and looks."""
_TRACED = 1.0
"""So many hours at least tell something about memory."""
_OVERLAP = 1200.0
"""So long the old certificate and secret count beside the new ones."""
_POLL_SECONDS = 60.0
"""The daemons look every two seconds whether somebody asks something of them; here a minute is enough."""

_CONFIGURATION = """
[graph]
tenant_id = "{tenant}"
client_id = "{client}"
certificate_file = "{folder}/graph.pem"
authority_url = "{login}"
base_url = "{graph}"
ca_file = "{ca}"

[bps]
portal_url = "{portal}"
client_id = "{portal_client}"
client_secret_file = "{folder}/bps-secret"
ca_file = "{ca}"

[store]
url = "sqlite:///{folder}/store.db"

[schedule]
full = "0 */{full} * * *"
delta = "{delta}"

[guard]
max_removal_percent = false
max_daily_removal_percent = false
max_update_percent = false
max_removals = false

[health]
listen = ""
"""
_VARIANTS = ({"full": 6, "delta": "5m"}, {"full": 8, "delta": "7m"})


class Life:
    """One company, two daemons, and everything that happens to them."""

    def __init__(
        self, sandbox: Sandbox, folder: Path, clock: Clock, *, keep: timedelta, tell: Callable[[str], None], seed: str
    ) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.clock = clock
        self.tally = Tally()
        self.tell = tell
        self.chance = random.Random(seed)
        self.daemons: list[tuple[Service, asyncio.Task[int]]] = []
        self.variant = 0
        self.keep = keep
        self.created: Counter[str] = Counter()
        self.begun = clock.monotonic()
        self.certificates = 0
        self.compiled = Compiled()
        sandbox.portal_service.observer = self._watch
        self.truth = Truth(sandbox.directory, sandbox.portal)

    # ---- daemons

    def write_settings(self) -> None:
        """Write the configuration in its present variant."""
        sandbox = self.sandbox
        text = _CONFIGURATION.format(
            folder=self.folder,
            tenant=sandbox.tenant_id,
            client=sandbox.client_id,
            login=sandbox.login_url,
            graph=sandbox.graph_url,
            portal=sandbox.portal_url,
            portal_client=sandbox.portal_client_id,
            ca=sandbox.ca_file,
            **_VARIANTS[self.variant],
        )
        (self.folder / "syncd.toml").write_text(text, encoding="utf-8")

    def start_daemon(self) -> None:
        """Start one more daemon."""
        service = Service(
            self._load(), self._load, composition=self._compose(), clock=self.clock, leave=self._must_not_leave
        )
        self.daemons.append((service, asyncio.create_task(service.run(), name="daemon")))

    def find_working(self) -> int:
        """Return the place of the daemon that works: the one that took over first, which need not be the oldest."""
        roles = [service._context.state.role for service, _ in self.daemons]
        return roles.index("working") if "working" in roles else 0

    async def rest(self) -> None:
        """Wait until no run is in hand: its connections, and what it works on, are no growth."""
        while any(service._context.state.running for service, _ in self.daemons):
            await self.clock.sleep(1)

    def request_full(self) -> None:
        """Ask the daemon that works for a full run; the other one would keep it until it takes over."""
        self.daemons[self.find_working()][0].request("full")

    async def stop_daemon(self) -> None:
        """Stop the daemon that works, or the oldest one."""
        service, task = self.daemons.pop(self.find_working())
        service.stop("SIGTERM")
        if await task != 0:
            self.tally.wrong.append("a daemon did not end well")

    def _load(self) -> Any:
        """Read the configuration; runs are let go sooner than it allows, since that is to be seen within days."""
        settings = read_settings(self.folder / "syncd.toml", {}, need=frozenset())
        kept = settings.store.model_copy(update={"keep_runs": self.keep, "keep_history": self.keep})
        return settings.model_copy(update={"store": kept})

    def _compose(self) -> Composition:
        return Composition(
            open_store=partial(open_store, create=True, compiled=self.compiled),
            open_sides=partial(open_sides, quiet=QuietTimes()),
            make_runs=make_runs,
            identify_rules=identify_rules,
            count_states=count_states,
            count_drift=count_drift,
            serve_health=_serve_nothing,
            serve_console=lambda listen, state, settings: _serve_nothing(listen, state),
            list_expiring=list_expiring,
            list_outlets=lambda settings, clock: [],
        )

    def _must_not_leave(self, code: int) -> None:
        self.tally.wrong.append(f"a daemon left at once with {code}")

    # ---- what happens

    async def churn(self) -> None:
        """Let the company live."""
        self.tally.happened["changes in the company"] += len(live(self.sandbox.directory, self.chance, 2))
        self.truth.look()

    async def fail(self) -> None:
        """Let one of the two sides fail for a while, each time otherwise."""
        faults, chance = self.sandbox.faults, self.chance
        kind = chance.choice(list(_FAULTS))
        self.tally.happened[f"fault: {kind}"] += 1
        faults.clear()
        for fault in _FAULTS[kind]():
            faults.add(fault)
        if kind == "expired links":
            self.sandbox.graph.engine.expire_checkpoints()
        if kind == "revoked tokens":
            self.sandbox.book.revoke_all()
        await self.clock.sleep(chance.uniform(60, 1200))
        faults.clear()

    async def reload(self) -> None:
        """Change the configuration and have it read again; now and then it is a broken one, which is refused."""
        self.variant = (self.variant + 1) % len(_VARIANTS)
        file = self.folder / "syncd.toml"
        if self.chance.random() < 0.3:
            file.write_text("[schedule]\ndelta = 5 minutes\n", encoding="utf-8")
            self.tally.happened["broken configurations"] += 1
        else:
            self.write_settings()
            self.tally.happened["reloads"] += 1
        for service, _ in self.daemons:
            service.reload()
        await self.clock.sleep(30)
        self.write_settings()

    async def rotate(self) -> None:
        """Renew the certificate and the secret; the old ones count for a while, and then no more."""
        self.write_certificate()
        secret = f"secret-{self.chance.getrandbits(64):x}"
        self.sandbox.portal_application.secrets.append(secret)
        (self.folder / "bps-secret").write_text(secret, encoding="utf-8")
        self.tally.happened["renewals of certificate and secret"] += 1
        await self.clock.sleep(_OVERLAP)
        del self.sandbox.registration.trust.certificates[:-1]
        del self.sandbox.portal_application.secrets[:-1]
        self.sandbox.book.revoke_all()

    def write_certificate(self) -> None:
        """Register one more certificate, and let the file be that one."""
        self.certificates += 1
        issued = issue(f"syncd {self.certificates}")
        self.sandbox.registration.trust.certificates.append(issued.certificate)
        (self.folder / "graph.pem").write_bytes(issued.key_pem() + issued.pem)

    async def change_guard(self) -> None:
        """The daemon that works goes, the other one takes over, and a new one waits."""
        await self.stop_daemon()
        self.start_daemon()
        self.tally.happened["changes of the working daemon"] += 1

    async def look(self) -> None:
        """Measure."""
        await self.rest()
        hour = (self.clock.monotonic() - self.begun) / 3600
        gc.collect()
        kept = measure_kept() if tracemalloc.is_tracing() else Counter[str]()
        counts = await asyncio.to_thread(count_rows, self.folder / "store.db")
        log_lines = sum(self.tally.log.values())
        found = Look(
            hour=round(hour, 1),
            descriptors=name_descriptors(),
            threads=threading.active_count(),
            tasks=len(asyncio.all_tasks()),
            runs=counts["runs"],
            changes=counts["changes"],
            store_bytes=counts["bytes"],
            log_lines=log_lines,
            resident=read_resident(),
            kept=kept,
        )
        last = self.tally.looks[-1] if self.tally.looks else found
        self.tally.looks.append(found)
        self.tell(str(found))
        self.tell(f"  descriptors: {tell_growth(Counter(), found.descriptors, most=20)}")
        self.tell(f"  since the last look: {tell_growth(last.descriptors, found.descriptors)}")
        if kept:
            self.tell(f"  kept: {tell_growth(Counter(), kept)}")
        if self.truth.find_touched_foreigners():
            self.tally.wrong.append(f"hour {hour:.0f}: records of others were touched")

    def _watch(self, method: str, path: str, query: dict[str, str], body: bytes, status: int, answer: bytes) -> None:
        if method == "POST" and path.endswith(("/admin/users", "/admin/groups")) and status < 300:
            import json

            self.created[json.loads(body)["bpsId"].casefold()] += 1
        if method == "DELETE" and "substitutions" not in path:
            self.tally.wrong.append(f"DELETE {path}")

    def note(self, _logger: object, _method: str, event: Any) -> Any:
        """Be a structlog processor: count what is logged, and how runs end."""
        name = event["event"]
        self.tally.log[name] += 1
        if name == "run.finished":
            self.tally.runs[f"{event['kind']} {event['status']}"] += 1
        raise structlog.DropEvent


_FAULTS: dict[str, Callable[[], list[Fault]]] = {
    "portal down": lambda: [Fault("status", side="portal", status=503, count=-1)],
    "portal drops": lambda: [Fault("reset", side="portal", skip=n * 7, count=1) for n in range(6)],
    "lost answers": lambda: [Fault("lose", side="portal", method="POST|PATCH|DELETE", skip=n, count=1) for n in (0, 3)],
    "portal pages": lambda: [Fault("html", side="portal", status=403, method="POST|PATCH", count=-1)],
    "torn answers": lambda: [Fault("truncate", side="portal", skip=n * 5, count=1) for n in range(4)],
    "portal throttles": lambda: [
        Fault("status", side="portal", status=429, headers={"Retry-After": "20"}, skip=n * 4, count=1) for n in range(5)
    ],
    "tenant down": lambda: [Fault("status", side="graph", status=503, count=-1)],
    "tenant drops": lambda: [Fault("reset", side="graph", skip=n * 3, count=1) for n in range(4)],
    "tenant throttles": lambda: [
        Fault("status", side="graph", status=429, headers={"Retry-After": "30"}, skip=n * 2, count=1) for n in range(6)
    ],
    "errors in 200": lambda: [Fault("replace", side="graph", status=200, body=b'{"error":{"code":"x"}}', count=9)],
    "no sign-in": lambda: [Fault("status", side="login", status=500, count=-1)],
    "expired links": list,
    "revoked tokens": list,
}


async def _serve_nothing(_listen: Listen, _state: DaemonState) -> None:
    await asyncio.Event().wait()


async def _every(clock: Clock, seconds: float, happen: Callable[[], Any]) -> None:
    while True:
        await clock.sleep(seconds)
        await happen()


@asynccontextmanager
async def _happening(life: Life) -> AsyncIterator[None]:
    tasks = [
        asyncio.create_task(_every(life.clock, seconds, happen), name=name)
        for name, seconds, happen in (
            ("churn", _CHURN_EVERY, life.churn),
            ("fail", _FAULT_EVERY, life.fail),
            ("reload", _RELOAD_EVERY, life.reload),
            ("rotate", _ROTATE_EVERY, life.rotate),
            ("change", _CHANGE_EVERY, life.change_guard),
            ("look", _LOOK_EVERY, life.look),
        )
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and task.exception() is not None:
                life.tally.wrong.append(f"{task.get_name()}: {task.exception()!r}")


@contextmanager
def _polling(seconds: float) -> Iterator[None]:
    polled = ((worker, "_ORDERS_EVERY"), (leadership, "WATCH_SECONDS"), (leadership, "_POLL_SECONDS"))
    before = [getattr(module, name) for module, name in polled]
    for module, name in polled:
        setattr(module, name, seconds)
    try:
        yield
    finally:
        for (module, name), value in zip(polled, before, strict=True):
            setattr(module, name, value)


async def _live(
    folder: Path, clock: Clock, *, hours: float, users: int, seed: str, tell: Callable[[str], None]
) -> Tally:
    options = SandboxOptions(
        users=users, groups=users // 4, memberships=4 * users, portal_delay=20.0, ledger="counters"
    )
    sandbox = Sandbox(options, folder / "sandbox", clock=clock)
    sandbox.registration.secrets.clear()
    async with sandbox:
        life = Life(sandbox, folder, clock, keep=timedelta(hours=hours / 6), tell=tell, seed=seed)
        life.write_certificate()
        (folder / "bps-secret").write_text(sandbox.portal_client_secret, encoding="utf-8")
        life.write_settings()
        structlog.configure(processors=[structlog.contextvars.merge_contextvars, life.note])
        for _ in range(2):
            life.start_daemon()
            await clock.sleep(60)
        async with _happening(life):
            await clock.sleep(hours * 3600 / 3)
            gc.collect()
            if hours > _TRACED:
                tracemalloc.start()
            await clock.sleep(hours * 3600 * 2 / 3)
        await _end(life)
        tracemalloc.stop()
        structlog.reset_defaults()
        return life.tally


async def _end(life: Life) -> None:
    """Let all faults be over, and look at every promise."""
    life.sandbox.faults.clear()
    life.write_settings()
    for service, _ in life.daemons:
        service.reload()
    await life.clock.sleep(2 * 3600)  # so long what delta told is believed against other readings
    life.request_full()
    await life.clock.sleep(1800)
    tally = life.tally
    before = Counter(tally.runs)
    life.request_full()
    await life.clock.sleep(1800)
    await life.look()
    if tally.runs["full succeeded"] <= before["full succeeded"]:
        tally.wrong.append(f"the last full run did not succeed: {tally.runs - before}")
    tally.wrong += life.truth.find_differences()[:5]
    tally.wrong += [f"{name} was made {times} times" for name, times in life.created.items() if times > 1]
    while life.daemons:
        await life.stop_daemon()
    await life.clock.sleep(10)
    left = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith(("daemon", "watch", "news"))]
    tally.wrong += [f"the task {name} is left over" for name in left]
    tally.hours = (life.clock.monotonic() - life.begun) / 3600
    tally.people = len(life.sandbox.directory.users)
    await asyncio.to_thread(_judge_store, life)
    judge_growth(tally)


def _judge_store(life: Life) -> None:
    database: Database = open_database(f"sqlite:///{life.folder / 'store.db'}")
    try:
        verdict = Chain(database).verify()
        rows = database.load_values(_text("SELECT count(*) FROM runs WHERE status = 'running'"))
    finally:
        database.close()
    life.tally.chained = verdict.checked
    life.tally.wrong += [f"verify: run {each.run_id}: {each.what}" for each in verdict.broken]
    if rows[0]:
        life.tally.wrong.append("a run is open")


def _text(statement: str) -> Any:
    from sqlalchemy import text

    return text(statement)


def live_through(folder: Path, *, hours: float, users: int, seed: str, tell: Callable[[str], None]) -> Tally:
    """Let so many hours pass in the given folder, which is empty; return what came of it."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    clock = VirtualClock(loop)
    try:
        with everybody_goes_by(clock), _polling(_POLL_SECONDS):
            return loop.run_until_complete(_live(folder, clock, hours=hours, users=users, seed=seed, tell=tell))
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()
