"""What every test gets: no task left behind, and an empty store on each engine that this machine has."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.postgres import PostgresUnavailable, fresh_database, private_postgres

# Plug-ins ask for "the current event loop" outside of any test; told once that there is none, they make none, and no
# loop is left for the garbage collector to complain about in a test that has nothing to do with it.
asyncio.set_event_loop(None)


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


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database that only this test uses, once per engine; dropped afterwards."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    with fresh_database(request.getfixturevalue("postgres_url")) as url:
        yield url
