"""What a process of ours changes for itself as a whole, and who does it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from syncd.bootstrap.daemon import run_daemon
from syncd.cli.main import program
from syncd.cli.one_run import execute
from syncd.model.run import RunRecord, RunRequest
from tests.fakes.daemon import make_settings, open_new_store

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RECORD = RunRecord(id=1, kind="plan", trigger="cli", status="succeeded", started_at=NOW, finished_at=NOW)

LOOK = """
import gc, json, sys
from stamina.instrumentation import get_on_retry_hooks
import syncd.bootstrap.sides
hooks, spared = get_on_retry_hooks(), gc.get_freeze_count()
print(json.dumps([sys.getswitchinterval(), gc.get_threshold()[0], spared > 0, len(hooks)]))
"""
TUNE = "from syncd.bootstrap.process import tune_process; tune_process()\n"


def look(code: str) -> object:
    """Return what holds in a process of its own: turn in seconds, values until a look, anything spared, hooks."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_a_process_is_tuned_at_one_place_and_by_nobody_who_loads_us() -> None:
    """Loading what puts the parts together changes nothing; one call does it all."""
    untouched, tuned = look(LOOK), look(TUNE + LOOK)
    assert untouched == [0.005, look("import gc; print(gc.get_threshold()[0])"), False, 2]
    assert tuned == [0.001, 10_000, True, 0]


def test_a_tuned_process_may_open_what_the_system_allows() -> None:
    """A low limit is raised, never beyond the hard one, and a higher one stays."""
    limit = "import json, resource; print(json.dumps(resource.getrlimit(resource.RLIMIT_NOFILE)))"
    begin = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({}, {}))\n"
    assert look(begin.format(256, 2048) + TUNE + limit) == [2048, 2048]
    assert look(begin.format(512, 512) + TUNE + limit) == [512, 512]


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who tuned the process, which is left as it is."""
    found: list[str] = []
    monkeypatch.setattr("syncd.bootstrap.process.tune_process", lambda: found.append("command"))
    monkeypatch.setattr("syncd.bootstrap.daemon.tune_process", lambda: found.append("daemon"))
    return found


def test_the_daemon_tunes_its_process(tuned: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it serves."""
    monkeypatch.setattr("syncd.daemon.service.serve", lambda *_: len(tuned))
    assert run_daemon(lambda: make_settings("sqlite:///unused.db")) == 1


def test_a_one_shot_run_tunes_its_process(tuned: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When both sides are loaded, and before the run begins."""

    class Runs:
        async def execute(self, *_: object, **__: object) -> RunRecord:
            assert tuned == ["command"]
            return RECORD

    @asynccontextmanager
    async def open_sides(*_: object, **__: object) -> AsyncIterator[None]:
        assert tuned == []
        yield

    monkeypatch.setattr("syncd.bootstrap.sides.open_sides", open_sides)
    monkeypatch.setattr("syncd.bootstrap.runs.make_runs", lambda *_: Runs())
    settings = make_settings(f"sqlite:///{tmp_path / 'store.db'}")
    database = open_new_store(settings)
    try:
        assert execute(settings, database, RunRequest(pull="none", trigger="cli", write=False)) is RECORD
    finally:
        database.close()


def test_the_check_tunes_its_process(tuned: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It sends requests too, which may be repeated."""

    async def check(*_: object) -> list[object]:
        assert tuned == ["command"]
        return []

    monkeypatch.setattr("syncd.bootstrap.checks.check", check)
    monkeypatch.setattr("syncd.cli.options.Invocation.start", lambda *_: make_settings("sqlite:///unused.db"))
    assert CliRunner().invoke(program, ["check", "--json"]).exit_code == 0
