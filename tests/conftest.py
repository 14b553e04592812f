"""What every test gets: no task left behind, and a store of its own on each engine that this machine has."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.postgres import PostgresUnavailable, fresh_database, private_postgres

# Plug-ins ask for "the current event loop" outside of any test; told once that there is none, they make none, and no
# loop is left for the garbage collector to complain about in a test that has nothing to do with it.
asyncio.set_event_loop(None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--once-each``: what another version of Python has to show, without the many variants of one test."""
    parser.addoption(
        "--once-each",
        action="store_true",
        help="of each test with parameters only the first set, and those of a driver",
    )


@pytest.hookimpl(trylast=True)  # when -m and -k have chosen
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no core is left with one such test in the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    if config.getoption("--once-each"):
        seen: set[str] = set()
        left = []
        for item in items:
            name = item.nodeid.partition("[")[0]
            if name in seen and item.get_closest_marker("driver") is None:
                left.append(item)
            seen.add(name)
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in set(left)]


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


@pytest.fixture(scope="session", autouse=True)
def _statements_compiled_once() -> Iterator[None]:
    """Let the stores of all tests share what SQLAlchemy made of the program's statements."""
    from tests.stores import sharing_compiled_statements  # imported late: not every suite under this file has a store

    with sharing_compiled_statements():
        yield


@pytest.fixture(params=ENGINES)
def empty_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without a single table that only this test uses, once per engine; dropped afterwards."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    with fresh_database(request.getfixturevalue("postgres_url")) as url:
        yield url


@pytest.fixture(params=ENGINES)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated database with no row that only this test uses, once per engine; dropped afterwards."""
    from tests.stores import postgres_template, template

    if request.param == "sqlite":
        shutil.copy(template(), tmp_path / "store.db")
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    server = request.getfixturevalue("postgres_url")
    with fresh_database(server, template=postgres_template(server)) as url:
        yield url
