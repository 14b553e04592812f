"""What every test gets: no task left behind, and a store of its own on each engine that this machine has."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import structlog

from tests.postgres import PostgresUnavailable, fresh_database, private_postgres

if TYPE_CHECKING:
    from tests.fakes.world import Companies, World
    from tests.kept_database import KeptDatabase

AGAIN = {"contract": 2, "property": 0, "e2e": 0, "fault": 0, "container": 0}
"""By folder, how many tests of each module are run on a further Python without a mark; in others it is all."""

# Plug-ins ask for "the current event loop" outside of any test; told once that there is none, they make none, and no
# loop is left for the garbage collector to complain about in a test that has nothing to do with it.
asyncio.set_event_loop(None)

# Each search for garbage looks through what all tests have in common: at Python's own pace that is a sixth of their
# processor time. What a test leaves open is found as before, at the latest when the session ends.
gc.set_threshold(20_000, 20, 50)

# A machine that is busy with something else is no failure: no example has a time limit.
hypothesis.settings.register_profile("syncd", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("syncd")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--again``: what another version of Python has to show, which is less than the first one has shown."""
    parser.addoption("--again", action="store_true", help="only what a further version of Python has to show")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Twice the number of cores: a test waits for a store, a thread or a program about as long as it works."""
    return 2 * len(os.sched_getaffinity(0))


@pytest.hookimpl(trylast=True)  # when -m and -k have chosen
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no core is left with one such test in the end."""
    chosen = (_choose_again if config.getoption("--again") else _choose_for_engines)(items)
    if len(chosen) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = [item for item in items if item in chosen]
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """Search no longer for garbage among all modules and tests: they are there to the end."""
    gc.collect()
    gc.freeze()


def _choose_for_engines(items: list[pytest.Item]) -> set[pytest.Item]:
    """Return all but the second and further variants on PostgreSQL of tests whose parameters change no statement."""
    seen: set[str] = set()
    chosen = set(items)
    for item in items:
        mark, name = item.get_closest_marker("both_engines"), item.nodeid.partition("[")[0]
        if mark is None or mark.kwargs.get("every") or item.get_closest_marker("postgresql") is None:
            continue
        if name in seen:
            chosen.remove(item)
        seen.add(name)
    return chosen


def _choose_again(items: list[pytest.Item]) -> set[pytest.Item]:
    """Return what a further Python has to show; `docs/development/tests.md` says why.

    Of every test at most the first set of parameters, for a driver the first one on either engine. Of the tests of
    the wire those that begin their module; of those that start programs or play histories, those marked ``again``.
    """
    chosen: dict[tuple[str, bool], pytest.Item] = {}
    places: dict[str, dict[str, int]] = {}
    for item in items:
        module, name = item.nodeid.partition("::")[0], item.nodeid.partition("[")[0]
        place = places.setdefault(module, {}).setdefault(name, len(places[module]))
        on_postgresql = item.get_closest_marker("postgresql") is not None
        marks = {mark.name for mark in item.iter_markers()}
        begins = place < AGAIN.get(Path(module).parts[1] if len(Path(module).parts) > 2 else "", sys.maxsize)
        if "once" in marks or (on_postgresql and not marks & {"again", "driver"}):
            continue
        if begins or marks & {"again", "driver"}:
            chosen.setdefault((name, on_postgresql), item)
    return set(chosen.values())


def _is_whole(config: pytest.Config) -> bool:
    """Return whether all tests were asked for."""
    chosen = config.option.markexpr or config.option.keyword or config.option.again
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not chosen


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over which engine was asked what in a worker that has ended."""
    from tests.engines import merge

    merge(getattr(node, "workeroutput", {}).get("asked", {}))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let a worker hand over which engine was asked what; fail a run of all tests that did not ask PostgreSQL all."""
    from tests.engines import asked, list_unasked

    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["asked"] = {engine: sorted(functions) for engine, functions in asked.items()}
    elif _is_whole(config) and list_unasked() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what PostgreSQL was not asked and SQLite was, in a run of all tests."""
    from tests.engines import list_unasked

    if _is_whole(terminalreporter.config) and not hasattr(terminalreporter.config, "workeroutput"):
        for function in list_unasked():
            terminalreporter.write_line(f"UNASKED on PostgreSQL: {function} (mark a test of it both_engines)", red=True)


@pytest.fixture
async def _leave_no_task() -> AsyncIterator[None]:
    """Fail the test when a task still runs after the test and its fixtures are over."""
    yield
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:  # one turn of the loop for those that were cancelled and have only to notice
        _, left = await asyncio.wait(left, timeout=0)
    if left:
        names = sorted(f"{task.get_name()} ({task.get_coro()})" for task in left)
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=5)
        pytest.fail("tasks left running: " + "; ".join(names), pytrace=False)


@pytest.fixture(autouse=True)
def _strict_asyncio(request: pytest.FixtureRequest) -> None:
    """Ask for the check above in coroutine tests only; being set up first, it looks last."""
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("_leave_no_task")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A private PostgreSQL server for this session: the URL of its superuser and the database ``postgres``.

    Skips where no server can be started, or SYNCD_TEST_POSTGRES is 0; where it is 1, a missing server is a failure.
    """
    wanted = os.environ.get("SYNCD_TEST_POSTGRES", "")
    if wanted == "0":
        pytest.skip("PostgreSQL was not tested: SYNCD_TEST_POSTGRES is 0")
    with ExitStack() as stack:
        try:
            url = stack.enter_context(private_postgres())
        except PostgresUnavailable as error:
            if wanted == "1":
                pytest.fail(f"SYNCD_TEST_POSTGRES is 1, but {error}", pytrace=False)
            pytest.skip(f"PostgreSQL was not tested: {error}")
        yield url


@pytest.fixture(scope="session", autouse=True)
def _retries_are_not_logged() -> None:
    """Let retries be logged as little as in a process of ours, which is all of `tune_process` that tests rely on."""
    from syncd.http import stop_logging_retries  # imported late: not every suite under this file has a client

    stop_logging_retries()


ENGINES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give SQLite to every test that wants a store, and PostgreSQL as well to those that are marked so."""
    for name in {"store_url", "empty_store_url"} & set(metafunc.fixturenames):
        both = metafunc.definition.get_closest_marker("both_engines") is not None
        metafunc.parametrize(name, ENGINES if both else ENGINES[:1], indirect=True)


@pytest.fixture(scope="session", autouse=True)
def _statements_compiled_once() -> Iterator[None]:
    """Let the stores of all tests share what SQLAlchemy made of the program's statements."""
    from tests.engines import begin_noting  # imported late: not every suite under this file has a store
    from tests.stores import sharing_compiled_statements

    begin_noting()
    with sharing_compiled_statements():
        yield


@pytest.fixture
def empty_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without a single table that only this test uses; dropped afterwards."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    with fresh_database(request.getfixturevalue("postgres_url")) as url:
        yield url


@pytest.fixture
def store_url(request: pytest.FixtureRequest, tmp_path: Path, companies: Companies) -> Iterator[str]:
    """The URL of a migrated database that only this test uses, on SQLite dropped and on PostgreSQL put back afterwards.

    It has no row, but for those of the company that the test's `world` begins with, if that has begun on this server.
    """
    from tests.kept_database import EMPTY
    from tests.stores import template

    if request.param == "sqlite":
        shutil.copy(template(), tmp_path / "store.db")
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    mark = request.node.get_closest_marker("company")
    begun = companies.find_moment(mark.kwargs["founded_by"]) if mark and "world" in request.fixturenames else None
    with request.getfixturevalue("kept_database").lend(begun or EMPTY) as url:
        yield url


@pytest.fixture(scope="session")
def kept_database(postgres_url: str) -> KeptDatabase:
    """The migrated database on PostgreSQL that tests of this session have one after the other."""
    from tests.kept_database import KeptDatabase
    from tests.stores import postgres_template

    return KeptDatabase(postgres_url, postgres_template(postgres_url))


@pytest.fixture(scope="session")
def companies(tmp_path_factory: pytest.TempPathFactory) -> Companies:
    """The companies of this session's tests, each founded once."""
    from tests.fakes.world import Companies

    return Companies(tmp_path_factory.mktemp("companies"))


@pytest.fixture
async def world(request: pytest.FixtureRequest, store_url: str, companies: Companies) -> AsyncIterator[World]:
    """A tenant, a portal and a store; in them the company that the mark ``company`` names, otherwise nothing."""
    from tests.fakes.world import open_world

    structlog.reset_defaults()
    mark = request.node.get_closest_marker("company")
    if mark is None:
        made = open_world(store_url)
    elif store_url.startswith("sqlite:///"):
        made = await companies.open(mark.kwargs["founded_by"], Path(store_url.removeprefix("sqlite:///")))
    else:
        kept = request.getfixturevalue("kept_database")
        made = await companies.open_on_server(mark.kwargs["founded_by"], store_url, kept)
    yield made
    made.database.close()
