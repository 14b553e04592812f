"""One measured piece of work of syncd, in a process of its own: the real adapters, use cases and store.

Prints one JSON object with the seconds of the work itself (imports and the making of an empty store are not work of a
daemon), the peak memory of the process, which includes its imports, and what was counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from syncd.bootstrap.process import tune_process
from syncd.bootstrap.runs import make_runs
from syncd.bootstrap.settings import read_settings
from syncd.bootstrap.sides import open_sides
from syncd.bootstrap.store import open_store
from syncd.bps.client import API, make_path
from syncd.bps.records import encode_account, encode_fields
from syncd.clock import Clock
from syncd.config import Settings
from syncd.model.change import Change, Phase
from syncd.model.run import PullKind, RunRecord, RunRequest
from syncd.model.target import Account
from syncd.store.db.database import Database
from syncd.store.store import Store

_LEVELS = 100

_REQUESTS: dict[str, RunRequest] = {
    "plan": RunRequest(pull="delta", trigger="cli", write=False),
    "push": RunRequest(pull="delta", trigger="cli"),
    "delta": RunRequest(pull="delta", trigger="cli"),
    "full": RunRequest(pull="full", trigger="cli"),
}


def _ignore(_counter: str, _added: int) -> None:
    return


def _never() -> bool:
    return False


async def pull(settings: Settings, database: Database, kind: PullKind = "full") -> dict[str, object]:
    """Read the whole tenant into an empty store, or what has changed into a filled one: no portal, no plan."""
    clock = Clock()
    started = time.perf_counter()
    async with open_sides(settings, database, clock, progress=_ignore, stopping=_never) as sides:
        result = await sides.pull.run(kind)
    if not result.complete:
        raise RuntimeError(f"the pull has no proof: {result.unproven}")
    return {"seconds": time.perf_counter() - started, "counts": result.counts}


async def run(settings: Settings, database: Database, request: RunRequest) -> dict[str, object]:
    """Carry out one run as a command or the daemon does."""
    clock = Clock()
    started = time.perf_counter()
    runs = make_runs(settings, database, clock)
    async with open_sides(settings, database, clock, progress=_ignore, stopping=_never) as sides:
        record: RunRecord = await runs.execute(request, sides)
    if record.status != "succeeded":
        raise RuntimeError(f"the run ended {record.status}: {record.error}")
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "run": record.id, "phases": dict(record.phases), "counts": dict(record.counts)}


def write_requests(settings: Settings, database: Database, run_id: int, to: Path) -> dict[str, object]:
    """Write down what the writes of a run have to be on the wire, as few as they can be: one call per change of a
    record, and per ``bps.members_per_request`` members of one group. Accounts come level by level, managers first, each
    level a phase of its own."""
    number = 0
    store = Store(database)
    with to.open("w", encoding="utf-8") as out:
        managers = {
            change.bps_id: change.after.get("manager") or ""
            for chunk in store.plans.iterate_changes(run_id, phase=Phase.USERS, statuses=["done"])
            for change in (planned.change for planned, _, _ in chunk)
            if change.action == "create"
        }

        def write(phase: Phase, method: str, path: str, body: object, *, level: int = 0) -> None:
            nonlocal number
            number += 1
            json.dump(
                [int(phase) * _LEVELS + level, method, API + path, None if body is None else json.dumps(body)], out
            )
            out.write("\n")

        for phase in Phase:
            group, members = "", list[str]()
            for chunk in store.plans.iterate_changes(run_id, phase=phase, statuses=["done"]):
                for change in (planned.change for planned, _, _ in chunk):
                    if change.object != "membership":
                        write(phase, *_encode(change), level=_find_level(change.bps_id, managers))
                        continue
                    if members and (group != change.bps_id or len(members) >= settings.bps.members_per_request):
                        write(phase, *_encode_links(group, members))
                        members = []
                    group = change.bps_id
                    members.append(change.target)
            if members:
                write(phase, *_encode_links(group, members))
    return {"requests": number}


def _find_level(bps_id: str, managers: Mapping[str, str]) -> int:
    """Return how many managers are above somebody who is created."""
    level = 0
    while (bps_id := managers.get(bps_id, "")) in managers:
        level += 1
    return level


def _encode(change: Change) -> tuple[str, str, object]:
    after = change.after
    match change.object, change.action:
        case "user", "create":
            return "POST", "/admin/users", encode_account(Account(bps_id=change.bps_id, **after))  # type: ignore[arg-type]
        case "user", "update":
            return "PATCH", make_path("/admin/user", change.bps_id), encode_fields(after)
        case "group", "create":
            return "POST", "/admin/groups", {"bpsId": change.bps_id, **after, "members": [], "owners": []}
    raise RuntimeError(f"a first push has no business with {change.action} {change.object}")


def _encode_links(group: str, members: list[str]) -> tuple[str, str, object]:
    return "POST", make_path("/admin/group/members/add", group), {"members": [{"bpsId": name} for name in members]}


def main() -> None:
    """Do one thing and print a JSON object."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.measured")
    parser.add_argument("what", choices=["empty", "pull", "pull-delta", "requests", *_REQUESTS])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--run", type=int)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    settings = read_settings(options.config, os.environ)
    database = open_store(settings, create=True)
    tune_process()
    try:
        if options.what == "empty":
            found: dict[str, object] = {}
        elif options.what == "pull":
            found = asyncio.run(pull(settings, database))
        elif options.what == "pull-delta":
            found = asyncio.run(pull(settings, database, "delta"))
        elif options.what == "requests":
            found = write_requests(settings, database, options.run, options.out)
        else:
            found = asyncio.run(run(settings, database, _REQUESTS[options.what]))
    finally:
        database.close()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    found["cpu_seconds"] = usage.ru_utime + usage.ru_stime
    found["peak_mb"] = usage.ru_maxrss / 1024
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
