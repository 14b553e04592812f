"""What holds for all tests of the real program."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from syncd.sandbox.server import Sandbox
from tests.contract.openapi import Judge


@pytest.fixture(autouse=True)
def _judged(request: pytest.FixtureRequest) -> Iterator[None]:
    """Judge by WEBCON's document what the program and a test's imitation portal say to each other."""
    if "sandbox" not in request.fixturenames:
        yield
        return
    sandbox: Sandbox = request.getfixturevalue("sandbox")
    sandbox.portal_service.observer = judge = Judge()
    yield
    assert judge.broken == []
