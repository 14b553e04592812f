"""The suite's own promises: it notices what a careless test leaves behind, and every store starts empty."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from textwrap import dedent

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


def test_a_task_left_running_fails_its_test_and_no_other(strict_suite: pytest.Pytester) -> None:
    """It is named; a task owned by a fixture, a cancelled task and a test without a loop are all fine."""
    strict_suite.makepyfile(
        """
        import asyncio
        import pytest

        async def test_careless():
            global kept
            kept = asyncio.create_task(asyncio.Event().wait(), name="forgotten")

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
    result = strict_suite.runpytest_subprocess()
    result.assert_outcomes(passed=4, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_careless*", "*tasks left running: forgotten*"])


WIRE = """
    import pytest

    def test_first():
        pass

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_second(number):
        assert number == 1

    def test_third():
        raise AssertionError

    @pytest.mark.once
    def test_fourth():
        raise AssertionError

    @pytest.mark.again
    def test_fifth():
        pass
"""

UNIT = """
    import pytest
    from tests.engines import asked

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_many(number):
        assert number == 1

    @pytest.mark.driver
    @pytest.mark.parametrize("engine", ["one", "two", pytest.param("three", marks=pytest.mark.postgresql)])
    def test_driver(engine):
        assert engine != "two"
        asked["postgresql" if engine == "three" else "sqlite"].add(f"plans/{engine}.py: load")

    @pytest.mark.parametrize("engine", [pytest.param("three", marks=pytest.mark.postgresql)])
    def test_other(engine):
        raise AssertionError

    class TestOf:
        def test_many(self):
            pass

    def test_third():
        pass
"""


def test_a_further_python_has_to_show_less(strict_suite: pytest.Pytester) -> None:
    """Of each test one variant, of a driver one on each engine; of the wire what begins, of programs what is marked.

    What PostgreSQL was not asked there says nothing about all tests.
    """
    for folder, text in (("unit", UNIT), ("contract", WIRE), ("e2e", WIRE)):
        path = strict_suite.path / "tests" / folder / f"test_{folder}.py"
        path.parent.mkdir(parents=True)
        path.write_text(dedent(text))
    ini = strict_suite.path / "tox.ini"
    ini.write_text(f"{ini.read_text()}\ntestpaths = tests\n")
    ended = strict_suite.runpytest_subprocess("--again", "-v", "-n0")
    passed = sorted(re.findall(r"^tests/\w+/test_(\S+) PASSED", ended.stdout.str(), re.MULTILINE))
    assert passed == [
        "contract.py::test_fifth",
        "contract.py::test_first",
        "contract.py::test_second[1]",
        "e2e.py::test_fifth",
        "unit.py::TestOf::test_many",
        "unit.py::test_driver[one]",
        "unit.py::test_driver[three]",
        "unit.py::test_many[1]",
        "unit.py::test_third",
    ]
    ended.assert_outcomes(passed=len(passed), deselected=14)
    ended.stdout.no_fnmatch_line("UNASKED*")


def test_postgresql_gets_one_variant_of_a_test_unless_every_one_is_asked_for(strict_suite: pytest.Pytester) -> None:
    """SQLite gets all of them."""
    strict_suite.makepyfile(
        """
        import pytest

        @pytest.mark.both_engines
        @pytest.mark.parametrize("number", [1, 2, 3])
        def test_rule(store_url, number):
            pass

        @pytest.mark.both_engines(every=True)
        @pytest.mark.parametrize("number", [1, 2, 3])
        def test_statement(store_url, number):
            pass
        """
    )
    listed = strict_suite.runpytest_subprocess("--collect-only", "-q", "-n0").outlines
    found = Counter(
        (name, engine)
        for name in ("rule", "statement")
        for engine in ("sqlite", "postgresql")
        for line in listed
        if f"::test_{name}[" in line and engine in line.rpartition("::")[2]
    )
    assert found == {
        ("rule", "sqlite"): 3,
        ("rule", "postgresql"): 1,
        ("statement", "sqlite"): 3,
        ("statement", "postgresql"): 3,
    }


def test_what_only_sqlite_was_asked_fails_a_run_of_all_tests(strict_suite: pytest.Pytester) -> None:
    """It is named, also when another process of the session asked."""
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
    ended = strict_suite.runpytest_subprocess("-n2")
    ended.assert_outcomes(passed=2)
    assert ended.ret == pytest.ExitCode.TESTS_FAILED
    ended.stdout.fnmatch_lines(["UNASKED on PostgreSQL: plans/undo.py: load*"])
    ended.stdout.no_fnmatch_line("*pairs.py*")


def test_no_test_sleeps_or_is_switched_off() -> None:
    """Tests wait for what happens; only a missing tool, found out while running, skips one and says so."""
    files = (path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))
    lines = ((path, line) for path in files for line in path.read_text().splitlines())
    assert [f"{path.name}: {line.strip()}" for path, line in lines if NEVER.search(line)] == []


BY_MIGRATIONS = {"facts": 1, "run_chain": 1}
"""Rows that a new store has: since when history is noted, and where the chain of run records begins."""


@pytest.mark.both_engines(every=True)
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


@pytest.mark.both_engines(every=True)
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
