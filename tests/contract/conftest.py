"""What holds for all contract tests."""

from __future__ import annotations

import asyncio
import inspect

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let plain tests have no event loop: looptime asks for one, and Python 3.11 would make and leak it."""
    if not inspect.iscoroutinefunction(getattr(item, "obj", None)):
        asyncio.set_event_loop(None)
