"""The suite's own promises: it notices what a careless test leaves behind, and every store starts empty."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from syncd.store.db.database import open_database
from syncd.store.db.revision import ensure_schema
from syncd.store.schema.tables import metadata, source_objects

ROOT = Path(__file__).parents[2]
NEVER = re.compile(r"\btime\.sleep\(|\bmark\.(skip|skipif|xfail)\b|\b(pytest\.xfail|importorskip)\(")


@pytest.fixture
def strict_suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """An empty suite of its own that lives under our conftest."""
    pytester.makeconftest((ROOT / "tests/conftest.py").read_text())
    pytester.makeini(
        f"[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\npythonpath = {ROOT}\n"
    )
    return pytester


def test_a_task_left_running_fails_its_test(strict_suite: pytest.Pytester) -> None:
    """A test that passes but leaves a task behind is reported, with the task's name."""
    strict_suite.makepyfile(
        """
        import asyncio

        async def test_careless():
            global kept
            kept = asyncio.create_task(asyncio.Event().wait(), name="forgotten")
        """
    )
    result = strict_suite.runpytest_subprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*tasks left running: forgotten*"])


def test_tidy_coroutines_fixtures_and_plain_functions_pass(strict_suite: pytest.Pytester) -> None:
    """A task owned by a fixture, a cancelled task and a test without a loop are all fine."""
    strict_suite.makepyfile(
        """
        import asyncio
        import pytest

        @pytest.fixture
        async def server():
            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(asyncio.Event().wait())
                yield
                task.cancel()

        async def test_fixture_owns_a_task(server):
            pass

        async def test_cancelled_task_need_not_be_awaited():
            global kept
            kept = asyncio.create_task(asyncio.Event().wait())
            kept.cancel()

        def test_no_loop_at_all():
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop()
        """
    )
    strict_suite.runpytest_subprocess().assert_outcomes(passed=3)


def test_once_each_runs_every_test_and_of_its_parameters_the_first(strict_suite: pytest.Pytester) -> None:
    """No test is left out, and what shows a driver is run with all of them."""
    strict_suite.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", [1, 2, 3])
        def test_many(number):
            assert number == 1

        @pytest.mark.parametrize("engine", ["one", pytest.param("two", marks=pytest.mark.driver)])
        def test_driver(engine):
            pass

        class TestOf:
            def test_many(self):
                pass

        def test_single():
            pass
        """
    )
    strict_suite.runpytest_subprocess("--once-each").assert_outcomes(passed=5, deselected=2)


def test_what_only_sqlite_was_asked_is_named_after_a_run_of_all_tests(strict_suite: pytest.Pytester) -> None:
    """Also when another process of the session asked; a run of some tests shows nothing about it."""
    strict_suite.makepyfile(
        """
        from tests.engines import asked

        def test_both():
            asked["sqlite"] |= {"plans/pairs.py: load", "plans/undo.py: load"}

        def test_one():
            asked["postgresql"].add("plans/pairs.py: load")
        """
    )
    ini = strict_suite.path / "tox.ini"
    ini.write_text(f"{ini.read_text()}\ntestpaths = .\n")
    for processes in ("-n0", "-n2"):
        ended = strict_suite.runpytest_subprocess(processes)
        ended.assert_outcomes(passed=2)
        ended.stdout.fnmatch_lines(["UNASKED on PostgreSQL: plans/undo.py: load*"])
        ended.stdout.no_fnmatch_line("*pairs.py*")
    strict_suite.runpytest_subprocess("-k", "test_both or test_one").stdout.no_fnmatch_line("UNASKED*")


def test_no_test_sleeps_or_is_switched_off() -> None:
    """Tests wait for what happens; only a missing tool, found out while running, skips one and says so."""
    files = (path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))
    lines = ((path, line) for path in files for line in path.read_text().splitlines())
    assert [f"{path.name}: {line.strip()}" for path, line in lines if NEVER.search(line)] == []


BY_MIGRATIONS = {"facts": 1, "run_chain": 1}
"""Rows that a new store has: since when history is noted, and where the chain of run records begins."""


@pytest.mark.both_engines
@pytest.mark.parametrize("round_number", [1, 2])
def test_every_empty_store_is_empty(empty_store_url: str, round_number: int) -> None:
    """What one test leaves in its store is not there for the next, on either engine."""
    engine = sa.create_engine(empty_store_url)
    try:
        with engine.begin() as connection:
            assert sa.inspect(connection).get_table_names() == []
            connection.execute(sa.text("CREATE TABLE left_behind (id integer)"))
    finally:
        engine.dispose()


@pytest.mark.both_engines
@pytest.mark.parametrize("round_number", [1, 2])
def test_every_store_has_the_schema_and_no_row(store_url: str, round_number: int) -> None:
    """What one test writes to its store is not in the copy that the next one gets, on either engine."""
    database = open_database(store_url)
    try:
        ensure_schema(database, create=False)
        with database.transaction() as connection:
            for table in metadata.sorted_tables:
                number = connection.scalar(sa.select(sa.func.count()).select_from(table))
                assert number == BY_MIGRATIONS.get(table.name, 0), table.name
            connection.execute(sa.insert(source_objects).values(id="left-behind"))
    finally:
        database.close()


def test_the_command_line_of_the_expression_library_is_not_loaded() -> None:
    """No process of ours pays for the terminal program that the CEL library brings along."""
    code = "import sys, syncd.plan.cel.expressions; print({'typer', 'prompt_toolkit'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"
