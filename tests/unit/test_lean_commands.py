"""A command imports what it uses: a page from the store needs no HTTP client, no token, no scheduler, no expression."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_SIDES = ("aiohttp", "msal", "cryptography", "apscheduler", "alembic", "stamina", "syncd.graph", "syncd.bps")
_ENGINE = ("syncd.sync", "syncd.daemon", "syncd.sandbox", "syncd.web", "trustme")
_TALK = ("structlog", "pygments", "sqlalchemy.dialects.postgresql", "psycopg")
"""What writes log lines, and the engine that this store has not."""
_DRAWING = ("rich",)
_RULES = ("cel", "syncd.plan.cel", "syncd.plan.desired")

_LOOK = """
import sys
from syncd.cli.main import run
try:
    run()
finally:
    print(*sorted(sys.modules), file=open(sys.argv[0], "w"))
"""

FORBIDDEN = {
    "runs": (*_SIDES, *_ENGINE, *_RULES, *_TALK, *_DRAWING),
    "runs show 1": (*_SIDES, *_ENGINE, *_RULES, *_TALK, *_DRAWING),
    "held": (*_SIDES, *_ENGINE, *_TALK, *_DRAWING),
    "users": (*_SIDES, *_ENGINE, *_TALK, *_DRAWING),
    "groups": (*_SIDES, *_ENGINE, *_TALK, *_DRAWING),
    "due": (*_SIDES, *_ENGINE, *_TALK, *_DRAWING),
    "status": (*(each for each in _SIDES if each != "apscheduler"), *_TALK, *_DRAWING),  # which knows the next times
    "orphans": (*_SIDES, *_ENGINE, *_RULES, *_TALK, *_DRAWING),
    "licences": (*_SIDES, *_ENGINE, *_TALK, *_DRAWING),
    "who Sales --at 2026-01-01": (*_SIDES, *_ENGINE, *_TALK, *_DRAWING),
    "verify": (*_SIDES, *_ENGINE, *_RULES, *_TALK, *_DRAWING),
    "explain ann@x.example": (*_SIDES, *_ENGINE, *_TALK, *_DRAWING),
}


@pytest.mark.once
@pytest.mark.parametrize("command", FORBIDDEN)
def test_a_command_imports_nothing_that_it_does_not_use(command: str, store_url: str, tmp_path: Path) -> None:
    """Each of the modules named would cost a person a tenth of a second and more, each time."""
    seen = tmp_path / "seen"
    environ = {**os.environ, "SYNCD_STORE__URL": store_url}
    look = _LOOK.replace("sys.argv[0]", repr(str(seen)))
    done = subprocess.run(
        [sys.executable, "-c", look, *command.split()],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stderr, done.stderr
    modules = seen.read_text().split()
    assert "syncd.store.db.database" in modules, done.stderr
    found = [name for name in FORBIDDEN[command] if any(f"{each}.".startswith(f"{name}.") for each in modules)]
    assert found == []


@pytest.mark.once
def test_no_plugin_of_a_library_is_looked_for(store_url: str, tmp_path: Path) -> None:
    """Whatever else is installed beside syncd: nothing of it is loaded, and so nothing of it reads settings."""
    (tmp_path / "spy.py").write_text("print('loaded')\nplugin = None\n")
    described = tmp_path / "spy-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: spy\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[pydantic]\nspy = spy:plugin\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "syncd.cli.main", "runs"],
        env={**os.environ, "SYNCD_STORE__URL": store_url, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "No run yet. 'syncd sync full' makes the first.\n"), done.stderr
