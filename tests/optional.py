"""Modules that some tests need and that a checkout may lack."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest


def import_or_skip(module: str, *, reason: str) -> Any:
    """Return the module; where it is not here, skip the test with a line that says what was not tested."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return pytest.skip(reason)


def find_program_or_skip(*names: str, reason: str) -> str:
    """Return the path of the first of these programs that is there; where none is, skip the test with a line."""
    found = next(filter(None, map(shutil.which, names)), None)
    return found if found is not None else pytest.skip(reason)


def build_library_or_skip(source: Path, folder: Path, *, reason: str) -> Path:
    """Return the library that the C compiler makes of a source; where there is none, skip the test with a line."""
    compiler, library = find_program_or_skip("cc", reason=reason), folder / f"{source.stem}.so"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library
