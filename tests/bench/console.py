"""What each page of the console costs in a large company: ``python -m tests.bench.console``.

Makes a store of 50,000 people, 5,000 groups and 300,000 memberships on the fakes, with a run that holds thousands of
removals and some handovers, drift, orphans and a year of runs. Then it serves the console on loopback, asks every route
of its table as nobody, as a viewer and as an approver, and prints the processor time of the process (the asking
included) and the size. Nothing is decided: a form stops at its page of numbers. Exit code 1 when a page is over.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from syncd.clock import Clock
from syncd.config.sections import LicenceSetting
from syncd.model.run import PullKind, RunRequest
from syncd.plan.rules import LicenceRule, Rules
from syncd.store.console.sessions import ConsoleRole
from syncd.store.schema.tables import runs
from syncd.web.console.access import ROUTES
from syncd.web.console.checking import CHECKS_PATH
from syncd.web.console.warming import prepare
from tests.fakes.console import Answer, Browser, ConsoleStage, open_console
from tests.fakes.rules import make_limits, make_rules
from tests.fakes.world import World, open_world

ROLES: tuple[ConsoleRole, ...] = ("viewer", "approver")
MILLISECONDS, KILOBYTES = 150.0, 200.0
_REPEAT = 3
_RUNS = 5000

ASKED: dict[str, tuple[str, ...]] = {
    "/": ("",),
    "/runs": ("", "?status=held", "?before=2000", "?kind=delta&status=failed"),
    "/runs/{run}": ("", "?outcome=held&by=record", "?q=person", "?page=100"),
    "/held": ("",),
    "/held/{run}": ("", "?by=record", "?action=unlink&q=u01", "?page=40"),
    "/{kind}": ("", "?page=900", "?q=person", "?q=u4321", "?q=zzz", "?state=held", "?state=active&page=700"),
    "/{kind}/{id}": ("",),
    "/records/{id}": ("",),
    "/drift": ("", "?page=10"),
    "/orphans": ("", "?class=would_match", "?page=30"),
    "/licences": ("",),
    "/settings": ("",),
    "/checks": ("",),
}
"""By route of the table, what is asked for behind it. A route that is not here fails the measurement."""
OTHERS = ("/groups", "/groups?q=group", "/groups/big0", "/groups/g100", "/users/u25000", "/users/new1", "/runs/1")
"""Further addresses: a group of 10,000, the run that created everybody."""
FORMS: tuple[tuple[tuple[str, str], ...], ...] = (
    (("decision", "approve"), ("scope", "all")),
    (("decision", "reject"), ("scope", "kinds"), ("kind", "unlink")),
    (("decision", "approve"), ("scope", "people"), *(("only", f"u{number}@x.com") for number in range(50))),
)


class ConsoleClock(Clock):
    """What the console goes by: the time of day of the world, whose clock never really waits, and true seconds."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> datetime:
        """Return the present of the world."""
        return self._world.clock.now()


@dataclass(frozen=True, slots=True)
class Company:
    """How large it is."""

    people: int
    groups: int
    memberships: int


@dataclass(frozen=True, slots=True)
class Cost:
    """One page as one role sees it: the median of processor time, and the size of the document."""

    role: str
    method: str
    path: str
    status: int
    milliseconds: float
    kilobytes: float

    @property
    def over(self) -> bool:
        """Return whether it costs more than it may."""
        return self.milliseconds > MILLISECONDS or self.kilobytes > KILOBYTES


@dataclass(frozen=True, slots=True)
class Readers:
    """People who read pages beside a run, each with a pause in seconds after every page."""

    name: str
    number: int
    pause: float


READERS = (
    Readers("alone", 0, 0.0),
    Readers("beside a reader who opens a page a second", 1, 1.0),
    Readers("beside three readers without a pause", 3, 0.0),
)
READ = ("/", "/runs", "/users", "/held", "/users/u1", "/groups/g100", "/drift", "/licences")
LICENCES = (LicenceSetting(group="Everybody 1", type="PowerUser"),)


def make_company_rules() -> Rules:
    """Return rules under which some thousands of removals are held."""
    limits = make_limits(max_removals=500, max_removal_percent=1, max_adoptions=0, max_handovers=0)
    return make_rules(limits=limits, licences=tuple(LicenceRule(each.group, each.type) for each in LICENCES))


async def found_company(world: World, company: Company) -> None:
    """Let it begin, be pushed, and then let things happen of which a run holds the most."""
    source, portal = world.source, world.portal
    source.page_size = 999
    portal.totals["PowerUser"] = company.people // 10
    _hire(world, company)
    portal.add_account("robot@elsewhere.example", name="Robot")
    for number in range(company.people // 25):
        portal.add_account(f"old{number}@elsewhere.example", name=f"Old account {number}")
    first = await world.sync("full")
    print(f"run 1: {first.status}, {first.counts}", file=sys.stderr)
    for number in range(company.people // 50):
        name = f"u{number + company.people // 2}@x.com"
        portal.accounts[name] = replace(portal.accounts[name], name=f"Changed by hand {number}")
    world.rules = replace(world.rules, policy=replace(world.rules.policy, drift="report"))
    second = await world.sync("full")
    print(f"run 2: {second.status}, {second.counts}", file=sys.stderr)
    for number in range(company.people // 100):
        source.put_user(f"u{number}", accountEnabled=False)
    for number in range(20):
        gone = company.people - 1 - number
        source.remove_user(f"u{gone}")
        source.put_user(f"new{number}", userPrincipalName=f"u{gone}@x.com", displayName=f"Newcomer {number}")
    third = await world.sync("delta")
    print(f"run 3: {third.status}, {third.counts}", file=sys.stderr)


def _hire(world: World, company: Company) -> None:
    source, big = world.source, 3
    for number in range(company.people):
        login, boss = f"u{number}@x.com", None if number < 20 else f"u{number // 20}"
        attributes = {"displayName": f"Person {number * 7919 % company.people:05} of some department", "mail": login}
        source.put_user(f"u{number}", userPrincipalName=login, jobTitle="Clerk", manager=boss, **attributes)
    for number in range(big):
        source.put_group(f"big{number}", displayName=f"Everybody {number}", mailNickname=f"big{number}@grp")
        for member in range(company.people // 5):
            source.link(f"big{number}", f"u{(number * 9973 + member * 3) % company.people}")
    left = company.memberships - big * (company.people // 5)
    for number in range(company.groups - big):
        source.put_group(f"g{number}", displayName=f"Group {number:04}", mailNickname=f"g{number}@grp")
        if number % 10 == 5:
            source.link(f"g{number - 5}", f"g{number}", "group")
    groups = company.groups - big
    for number in range(left):
        source.link(f"g{number * 31 % groups}", f"u{(number * 17 + number // groups) % company.people}")


def add_history(world: World) -> None:
    """Put a year of runs before those that will be there, of which three in twenty went less than well."""
    statuses, now = ("succeeded",) * 17 + ("held", "partial", "failed"), world.clock.now()
    counts = json.dumps({"update": 12, "link": 30, "unlink": 4, "done": 46})
    with world.database.transaction() as connection:
        connection.execute(
            runs.insert(),
            [
                {
                    "kind": "full" if number % 24 == 0 else "delta",
                    "trigger": "schedule",
                    "status": statuses[number % len(statuses)],
                    "started_at": now - timedelta(minutes=105 * (_RUNS - number)),
                    "finished_at": now - timedelta(minutes=105 * (_RUNS - number) - 1),
                    "counts": counts,
                    "phases": json.dumps({"pull": 20.0, "plan": 1.0, "apply": 30.0}),
                    "error": "",
                }
                for number in range(_RUNS)
            ],
        )


def list_pages(world: World) -> Iterator[tuple[str, str, Sequence[tuple[str, str]]]]:
    """Yield (method, address, form) for every route of the console's table; a route that is not known here fails."""
    held = str(max(world.store.decisions.load_holding_runs(now=world.clock.now())))
    parts = {"run": held, "kind": "users", "id": "u1", "decision": "999999"}
    routes = [(route.method, re.sub(r"\{(\w+):(?:[^{}]|\{[^{}]*\})*\}", r"{\1}", route.path)) for route in ROUTES]
    for method, path in [*routes, ("GET", CHECKS_PATH)]:
        address = re.sub(r"\{(\w+)\}", lambda part: parts[part[1]], path)
        if path == "/records/{id}":
            address = "/records/old7@elsewhere.example"
        if method == "GET":
            yield from (("GET", address + query, ()) for query in ASKED[path])
        elif path.startswith("/held"):
            yield from (("POST", address, (*form, ("reason", "measured"))) for form in FORMS)
        else:
            yield "POST", address, ()
    yield from (("GET", address, ()) for address in (*OTHERS, f"/runs/{int(held) - 2}", f"/runs/{int(held) - 2}?q=u01"))


async def measure(stage: ConsoleStage) -> list[Cost]:
    """Ask for everything as everybody, one thing at a time; medians, after one round that counts and warms up."""
    browsers: dict[str, Browser] = {"nobody": Browser(stage)}
    browsers |= {role: stage.sign_in(role) for role in ROLES}
    tokens: dict[str, str] = {role: await browsers[role].form_token() for role in ROLES}
    found = []
    for method, path, form in list_pages(stage.world):
        for role, browser in browsers.items():
            spent = list[float]()
            for _ in range(1 + _REPEAT):
                begun = time.process_time()
                answer = await _ask(browser, method, path, form, tokens.get(role, ""))
                spent.append((time.process_time() - begun) * 1000)
            cost = statistics.median(spent[1:])
            found.append(Cost(role, method, path, answer.status, cost, len(answer.body) / 1000))
    return found


async def time_run(stage: ConsoleStage, kind: PullKind) -> float:
    """Return the seconds of a run; the console knows of it, as that of a daemon does."""
    request = RunRequest(pull=kind, trigger="cli")
    stage.vitals.running = request
    begun = time.perf_counter()
    await stage.world.sync(kind)
    spent = time.perf_counter() - begun
    stage.vitals.running = None
    return spent


async def compare_runs(stage: ConsoleStage, kind: PullKind, rounds: int) -> None:
    """Print what a run without news takes alone and beside readers, in turn; the first two settle what is held."""
    spent: dict[Readers, list[float]] = {readers: [] for readers in READERS}
    for _ in range(2):
        await time_run(stage, kind)
    for number in range(rounds):
        for readers in READERS[:: 1 if number % 2 else -1]:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(read_on(stage.sign_in("viewer"), readers.pause, first=number), name="a reader")
                    for _ in range(readers.number)
                ]
                await asyncio.sleep(random.random() if tasks else 0.0)
                spent[readers].append(await time_run(stage, kind))
                for task in tasks:
                    task.cancel()
    alone = spent[READERS[0]]
    for readers, seconds in spent.items():
        ratios = [each / other for each, other in zip(seconds, alone, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        told = f"median {statistics.median(seconds):.3f} s ({min(seconds):.3f} to {max(seconds):.3f})"
        print(
            f"a {kind} run {readers.name}: {told}; by pair {middle:.3f} times alone (quartiles {low:.3f}, {high:.3f})"
        )


async def read_on(browser: Browser, pause: float, first: int) -> None:
    """Open one page after the other until cancelled."""
    for place in itertools.count(first):
        await browser.get(READ[place % len(READ)])
        await asyncio.sleep(pause)


async def _ask(browser: Browser, method: str, path: str, form: Sequence[tuple[str, str]], token: str) -> Answer:
    if method == "GET":
        return await browser.get(path)
    headers = {"Origin": browser.stage.url}
    return await browser.send(method, path, headers=headers, form=[*form, ("form_token", token)])


async def run(company: Company, store: Path, rounds: int) -> list[Cost]:
    """Make the store where it is not there yet, and measure."""
    begun, made = time.process_time(), not store.exists()
    world = open_world(f"sqlite:///{store}")
    world.rules = make_company_rules()
    if made:
        add_history(world)
        await found_company(world, company)
        print(f"made in {time.process_time() - begun:.0f} s of processor time", file=sys.stderr)
    world.rules = replace(world.rules, policy=replace(world.rules.policy, drift="report"))
    async with open_console(world, clock=ConsoleClock(world)) as stage:
        stage.settings = stage.settings.model_copy(update={"licences": LICENCES})
        begun = time.process_time()
        prepare()  # as a console does when it has begun to listen
        prepared, begun = time.process_time() - begun, time.process_time()
        await stage.sign_in("viewer").get("/")
        first = time.process_time() - begun
        for thread in threading.enumerate():
            if thread.name == "console counts":
                await asyncio.to_thread(thread.join)
        counting = time.process_time() - begun - first
        print(f"made ready in {prepared * 1000:.0f} ms; the first page of all: {first * 1000:.0f} ms")
        print(f"everybody counted behind it: {counting:.1f} s")
        found = await measure(stage)
        if made and rounds:  # the company is in memory: a store that was kept has none
            await compare_runs(stage, "delta", rounds)
            await compare_runs(stage, "full", max(2, rounds // 4))
    world.database.close()
    return found


def main() -> int:
    """Measure, and print a line for each page and role, the dearest first."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.console", description=__doc__)
    parser.add_argument("--people", type=int, default=50_000)
    parser.add_argument("--groups", type=int, default=5_000)
    parser.add_argument("--memberships", type=int, default=300_000)
    parser.add_argument("--store", type=Path, help="a SQLite file to keep: made when it is not there, used when it is")
    parser.add_argument("--rounds", type=int, default=24, help="runs with and without readers; 0 leaves them out")
    options = parser.parse_args()
    structlog.configure(processors=[_say_nothing])
    company = Company(options.people, options.groups, options.memberships)
    with tempfile.TemporaryDirectory(prefix="syncd-bench-") as folder:
        found = asyncio.run(run(company, options.store or Path(folder) / "store.db", options.rounds))
    for cost in sorted(found, key=lambda each: -each.milliseconds):
        size = f"{cost.milliseconds:7.0f} ms {cost.kilobytes:7.1f} kB"
        print(f"{cost.role:9}{cost.method:5}{cost.status} {size}  {cost.path}{'  OVER' if cost.over else ''}")
    over = sum(cost.over for cost in found)
    print(f"{len(found)} answers, {over} over {MILLISECONDS:.0f} ms or {KILOBYTES:.0f} kB")
    return 1 if over else 0


def _say_nothing(*_: object) -> str:
    raise structlog.DropEvent


if __name__ == "__main__":
    sys.exit(main())
