"""Notes which functions of the store have asked which engine, so that PostgreSQL is asked everything that SQLite is.

Most tests have a store on SQLite only: what they show does not depend on the engine. For that to be true, the tests
that have both must reach every function of the store that sends a statement.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

import syncd

_STORE = f"{Path(syncd.__file__).parent / 'store'}{os.sep}"
_BELOW = f"{_STORE}db{os.sep}"

asked: dict[str, set[str]] = {"sqlite": set(), "postgresql": set()}
"""By engine, the functions that sent it a statement, as "FILE: NAME"."""


def begin_noting() -> None:
    """Note from now on which function of the store sends a statement; those of `syncd.store.db` are its tools."""
    event.listen(Engine, "before_cursor_execute", _note)


def _note(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
    if statement.startswith(("BEGIN", "PRAGMA")):  # which only SQLite is told
        return
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_STORE) and not file.startswith(_BELOW):
            asked[connection.dialect.name].add(f"{file.removeprefix(_STORE)}: {frame.f_code.co_qualname}")
            return
        frame = frame.f_back


def merge(other: Mapping[str, list[str]]) -> None:
    """Take over what another process has noted."""
    for engine, functions in other.items():
        asked[engine].update(functions)


def list_unasked() -> list[str]:
    """Return what SQLite was asked and PostgreSQL was not; nothing where there was no PostgreSQL."""
    return sorted(asked["sqlite"] - asked["postgresql"]) if asked["postgresql"] else []
