"""What holds for all contract tests."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator

import pytest
import stamina
import structlog

from syncd.sandbox.wire.knobs import PortalKnobs
from syncd.store.db.database import open_database
from tests.contract.office import Office, found_company


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let plain tests have no event loop: looptime asks for one, and Python 3.11 would make and leak it."""
    if not inspect.iscoroutinefunction(getattr(item, "obj", None)):
        asyncio.set_event_loop(None)


@pytest.fixture
def impatient() -> Iterator[None]:
    """Let retries follow at once."""
    structlog.reset_defaults()
    with stamina.set_testing(True, attempts=6, cap=True):
        yield


@pytest.fixture
async def office(store_url: str, impatient: None, request: pytest.FixtureRequest) -> AsyncIterator[Office]:
    """Four people, three groups, nothing in the portal but strangers; the switches of the portal are the parameter.

    What the portal is like hardly concerns the store: one history of access asks both engines, the others SQLite.
    """
    database = open_database(store_url)
    made = Office(database, PortalKnobs(**getattr(request, "param", {})))
    found_company(made)
    yield made
    made.database.close()  # which a test may have opened anew
    database.close()
    assert made.judge.broken == []
