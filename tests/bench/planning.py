"""What planning takes: one run, with the processor time of the thread that plans, in whichever syncd is here.

Started as a file with another tree in ``PYTHONPATH``, it measures that tree: it knows nothing of syncd but that a
``Planner`` plans. Prints what ``tests.bench.measured`` prints, with ``planning``: processor seconds of each method that
a run calls. Reading the two sides, and what is done with a complete plan, is not planning.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

_PARTS = ("decide", "plan", "plan_records", "plan_places")
"""What a run calls of a planner, in any version."""


def _find_planner() -> Any:
    for name in ("syncd.sync.planning.planner", "syncd.sync.planning"):
        try:
            return import_module(name).Planner
        except (ModuleNotFoundError, AttributeError):
            continue
    raise SystemExit("this version of syncd has no planner that is known here")


def _watch(method: Callable[..., Any], name: str, spent: dict[str, float]) -> Callable[..., Any]:
    @wraps(method)
    def watched(*given: Any, **named: Any) -> Any:
        begun = time.thread_time()
        try:
            return method(*given, **named)
        finally:
            spent[name] = spent.get(name, 0.0) + time.thread_time() - begun

    return watched


def main() -> None:
    """Do one piece of work of ``tests.bench.measured`` and print its object."""
    spent: dict[str, float] = {}
    planner: Any = _find_planner()
    measured: Any = import_module("tests.bench.measured")
    for name in _PARTS:
        if hasattr(planner, name):
            setattr(planner, name, _watch(getattr(planner, name), name, spent))
    run = measured.run

    async def run_watched(*given: Any) -> dict[str, object]:
        return {**await run(*given), "planning": spent}

    measured.run = run_watched
    measured.main()
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
