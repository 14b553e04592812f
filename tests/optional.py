"""Modules that some tests need and that a checkout may lack."""

from __future__ import annotations

import importlib
from typing import Any

import pytest


def import_or_skip(module: str, *, reason: str) -> Any:
    """Return the module; where it is not here, skip the test with a line that says what was not tested."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return pytest.skip(reason)
