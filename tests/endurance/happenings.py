"""One company, two daemons that share a store, and everything that happens to them in a long life."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable
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
from syncd.daemon.composition import Composition
from syncd.daemon.service import Service
from syncd.daemon.state import DaemonState
from syncd.http import Shared
from syncd.sandbox.server import Sandbox
from syncd.sandbox.tenant.events import live
from syncd.sandbox.wire.faults import Fault
from syncd.store.db.database import Compiled
from tests.contract.certificates import issue
from tests.e2e.truth import Truth, flatten, maps, name_of
from tests.endurance.growth import (
    Look,
    Tally,
    count_rows,
    measure_kept,
    name_descriptors,
    read_resident,
    tell_growth,
)

_OVERLAP = 1200.0
"""So long the old certificate and secret count beside the new ones."""
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

[mapping]
group.owners = true

[policy]
substitute = "manager"

[[licences]]
group = "{licensed}"
type = "{licence}"

[guard]
max_removal_percent = false
max_daily_removal_percent = false
max_update_percent = false
max_removals = false

[health]
listen = ""
"""
_LICENCE = "PowerUser"
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
        self.truth = Truth(sandbox.directory, sandbox.portal, owners=True)
        self.licensed = max(sandbox.directory.active_groups(), key=lambda group: (len(group.members), group.id))

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
            licensed=self.licensed.id,
            licence=_LICENCE,
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
            open_sides=partial(open_sides, shared=Shared()),
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

    def find_wrong_licences(self) -> list[str]:
        """Return who of our accounts holds the licence of the rule and should not, or the other way round."""
        directory, portal = self.sandbox.directory, self.sandbox.portal
        people = (directory.get(member) for member in flatten(directory, self.licensed))
        wanted = {name_of(person) for person in people if maps(person)}
        holders = self.sandbox.portal_service.licences.holders.items()
        held = {key for key, holder in holders if _LICENCE in holder.licences}
        ours = {key for key, account in portal.accounts.items() if account.origin == "rest"}
        if not held & ours:
            return ["nobody has the licence of the rule"]
        return [f"{key} {'lacks' if key in wanted else 'has'} a licence" for key in sorted(wanted ^ (held & ours))]

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
