"""Law 8: whatever either side, or something before it, says: nothing that was sent is seen, and nobody is named.

Every text of both sides is one time or another a canary: an error that repeats the whole request in all encodings, and
names a person, as JSON in the shape of the API, as plain text or as a web page, with any status, at any request of a
run. Afterwards everything that syncd writes is searched: the store's files, the log, the documents and tables of the
run, the status page, the metrics, the messages to a hook and by mail, every page of the console, and the plan file.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
import stamina
import structlog
from aiohttp import web
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from syncd.cli.screen.changes import describe_changes
from syncd.cli.screen.runs import describe_run
from syncd.clock import Clock as SystemClock
from syncd.errors import RemoteError
from syncd.logs.pipe import configure_logs
from syncd.model.event import EVENTS
from syncd.model.run import RunRecord
from syncd.plan.planfile import Head, encode_plan
from syncd.sandbox.wire.faults import Fault
from syncd.sandbox.wire.http import Answer
from syncd.sandbox.wire.knobs import PortalKnobs
from syncd.store.db.database import Database
from syncd.store.store import Store
from syncd.sync.notify import Notifications
from syncd.web.metrics import render_metrics
from syncd.web.page import render_page
from syncd.web.vitals import StoreView
from syncd.webhook import HookOptions, WebHook
from tests.contract.office import Office
from tests.fakes.channel import FakeChannel
from tests.fakes.console import open_console, walk
from tests.fakes.tenant import Tenant
from tests.fakes.wired import Wire
from tests.stores import open_migrated
from tests.unit.test_web_health import FakeVitals

SECRET = "c4n+ry/s3cret=of&the~portal"
HOOK_SECRET = "h00k-p4th-canary-4711"
PERSON = "Kasimira Canarynska"
PAGES = 12
"""So many kinds of pages the console has at least."""

PARTS = 12
"""So many characters in a row of something sent are too many."""

echoes: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    side=st.sampled_from(["portal", "graph"]),
    status=st.sampled_from([200, 400, 401, 403, 404, 405, 409, 410, 413, 423, 429, 500, 501, 502, 503, 504]),
    content_type=st.sampled_from(["application/json", "text/plain", "text/html"]),
    skip=st.integers(0, 12),
    count=st.sampled_from([1, 3, -1]),
    method=st.sampled_from([".*", "GET", "POST", "PATCH", "DELETE"]),
)


class _Watched(Wire):
    """Remembers the tokens that were sent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sent: set[str] = set()

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        self.sent.add(headers.get("Authorization", "").partition(" ")[2])
        return super().answer(method, target, headers, body)


@pytest.mark.slow
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking whole runs takes minutes
)
@given(faults=st.lists(echoes, min_size=1, max_size=3))
@example([{"side": "portal", "status": 403, "content_type": "text/html", "skip": 6, "count": -1, "method": ".*"}])
@example([{"side": "portal", "status": 409, "content_type": "application/json", "skip": 4, "count": 3, "method": ".*"}])
@example([{"side": "graph", "status": 403, "content_type": "application/json", "skip": 0, "count": -1, "method": ".*"}])
@example([{"side": "graph", "status": 200, "content_type": "text/html", "skip": 2, "count": -1, "method": "GET"}])
def test_nothing_that_was_sent_comes_out_anywhere(faults: list[dict[str, Any]]) -> None:
    """Tokens and secrets are in no file, line, page or message; a person is named only where an operator asks."""
    with TemporaryDirectory() as folder, stamina.set_testing(True, attempts=2, cap=True):
        asyncio.run(_live_through(Path(folder), faults))


async def _live_through(folder: Path, faults: list[dict[str, Any]]) -> None:
    database = open_migrated(f"sqlite:///{folder}/store.db")
    log = io.StringIO()
    structlog.reset_defaults()
    configure_logs("json", "info", log)
    try:
        office, tenant, sent = _found_company(database)
        runs = [await office.sync("full")]
        for fault in faults:
            planned = Fault("echo", **{**fault, "body": f"{PERSON} is known already.".encode()})
            (office.wire if fault["side"] == "portal" else tenant).faults.add(planned)
        _change_everything(tenant)
        runs += [await office.sync("full"), await office.sync("delta", write=False)]
        hook = FakeChannel()
        for run in runs:
            await Notifications(office.clock, "mail", EVENTS).notify_run(hook, Store(database), run)
        shown = _render(database, runs) | await _walk_through_console(office)
        shown["plan file"] = _write_plan(office, runs[-1])
        shown["hook's answer"] = await _tell_a_hook_that_repeats(faults[0])
    finally:
        structlog.reset_defaults()
        database.close()
    public = {
        "log": log.getvalue(),
        "hook": json.dumps(hook.got, default=str),
        "mail": "\n".join(f"{each.subject} {each.plain} {each.html}" for each in hook.letters),
        "page": shown.pop("page"),
        "metrics": shown.pop("metrics"),
    }
    files = {path.name: path.read_bytes().decode("latin-1") for path in folder.iterdir()}
    for where, text in (*public.items(), *shown.items(), *files.items()):
        _search(where, text, [SECRET, HOOK_SECRET, *office.wire.sent, *sent])  # type: ignore[attr-defined]  # it is a _Watched
    for where, text in public.items():
        assert PERSON not in text, f"{where} names somebody: {text[:2000]}"


def _found_company(database: Database) -> tuple[Office, Tenant, set[str]]:
    """Return both sides, and the tokens of the tenant that are given out later on."""
    office, tenant = Office(database, PortalKnobs()), Tenant(opaque=True)
    office.wire = _Watched(office.clock, PortalKnobs(), secret=SECRET)
    office.rules = replace(office.rules, licences=())
    for number in range(5):
        upn = f"u{number}@x.com"
        user = tenant.directory.create_user(
            {"userPrincipalName": upn, "displayName": f"User {number}", "mail": upn, "accountEnabled": True}
        )
        if number == 0:
            group = tenant.directory.create_group({"displayName": "All", "mailNickname": "all@grp"})
        tenant.directory.add_member(group, user)
    issue, sent = tenant.issue_token, set[str]()

    def issue_known() -> str:
        token = issue()
        sent.add(token)
        return token

    tenant.issue_token = issue_known
    office.source = tenant.open_source(user_attributes=("jobTitle",))  # type: ignore[assignment]
    return office, tenant, sent


def _change_everything(tenant: Tenant) -> None:
    directory = tenant.directory
    people = list(directory.active_users())
    for number, user in enumerate(people):
        directory.set_attributes(user.id, jobTitle=f"Clerk {number}")
    (group,) = directory.active_groups()
    directory.remove_member(group.id, people[0].id)
    new = directory.create_user(
        {"userPrincipalName": "new@x.com", "displayName": "New", "mail": "new@x.com", "accountEnabled": True}
    )
    directory.add_member(group.id, new)


def _render(database: Database, runs: list[RunRecord]) -> dict[str, str]:
    """Return what operators, pages and machines are shown."""
    stored = Store(database).runs.load_runs(10)
    view = StoreView(problem="", runs=stored, last={run.kind: run for run in stored})
    vitals = FakeVitals()
    documents = [[describe_run(run), list(describe_changes(database, run.id))] for run in (*runs, *stored)]
    return {
        "page": render_page(vitals, view),  # type: ignore[arg-type]  # a daemon by shape
        "metrics": render_metrics(vitals, view).decode(),  # type: ignore[arg-type]  # the same
        "documents": json.dumps(documents, default=str),
    }


def _write_plan(office: Office, run: RunRecord) -> str:
    """Return the plan file of a run that only planned."""
    files = Store(office.database).plan_files
    head = Head(
        "https://portal.example/WEBCONBPS",
        run.id,
        "2026-01-01T00:00:00Z",
        office.rules.fingerprint(),
        files.load_directory_parts.blocking(),
    )
    records = (record for chunk in files.iterate_concerned(run.id, ("planned", "held")) for record in chunk)
    return b"\n".join(encode_plan(head, records, files.iterate_file_changes(run.id))).decode()


async def _tell_a_hook_that_repeats(fault: Mapping[str, Any]) -> str:
    """Return what becomes of a message to a hook that answers with all it got, its secret address among it."""

    async def repeat(request: web.Request) -> web.Response:
        said = f"{PERSON} {request.path} {quote(str(request.url), safe='')} {await request.text()}"
        headers = {"Location": str(request.url), "Server": request.path, "Retry-After": request.path}
        status = max(fault["status"], 400)
        return web.Response(status=status, text=said, content_type=fault["content_type"], headers=headers)

    app = web.Application()
    app.router.add_post(f"/hook/{HOOK_SECRET}", repeat)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}/hook/{HOOK_SECRET}"
        hook = WebHook(HookOptions(lambda: address, "bps.example.com"), SystemClock())
        async with hook:
            try:
                await hook.post({"text": "x"})
            except RemoteError as error:
                return f"{error} {error!r}"
    finally:
        await runner.cleanup()
    return ""


async def _walk_through_console(office: Office) -> dict[str, str]:
    """Return every kind of page that an approver can reach by links, with what can be downloaded as text."""
    world = SimpleNamespace(
        database=office.database, store=Store(office.database), clock=office.clock, rules=office.rules
    )
    async with open_console(world) as stage:  # type: ignore[arg-type]  # as much of a world as the console asks for
        seen = await walk(stage.sign_in("approver"))
    assert len(seen) >= PAGES, sorted(seen)
    return seen


def _search(where: str, text: str, canaries: list[str]) -> None:
    """Fail when a part of a token or of the secret is found, in any encoding."""
    plain = re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), text).replace("\\/", "/")
    for canary in canaries:
        for form in (canary, quote(canary, safe=""), base64.b64encode(canary.encode()).decode()):
            for start in range(0, max(1, len(form) - PARTS + 1), 7):
                part = form[start : start + PARTS]
                assert len(part) < PARTS or part not in plain, f"{where} shows {part!r} of what was sent"
