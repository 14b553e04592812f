"""``syncd backup`` and ``completion``: a copy that works, made beside whoever writes; words that a shell completes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from syncd.cli.main import program
from syncd.cli.screen.unfinished import name_place
from syncd.store.db.backup import back_up
from syncd.store.db.database import open_database
from syncd.store.db.lock import StoreLock
from syncd.store.db.revision import load_revision
from syncd.store.store import Store
from tests.fakes.world import Companies, World
from tests.unit.desk import document, fill, syncd
from tests.unit.test_cli_desk import at_home as at_home


@pytest.fixture
async def world(tmp_path: Path, companies: Companies) -> AsyncIterator[World]:
    """A store after one sync."""
    made = await fill(tmp_path / "syncd.db", companies)
    yield made
    made.database.close()


async def test_a_copy_is_a_store_by_itself(world: World, tmp_path: Path) -> None:
    """Made while somebody works on the store and another one writes; private, in one file, and usable at once."""
    with StoreLock(world.database):
        told = document("backup", "copy.db")
    copy = tmp_path / "copy.db"
    assert (told["file"], told["bytes"]) == ("copy.db", copy.stat().st_size)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("copy")) == ["copy.db"]
    database = open_database(f"sqlite:///{copy}")
    assert [run.id for run in Store(database).runs.load_runs(9)] == [1]
    database.close()
    again = syncd("backup", "copy.db")
    assert again.exit_code == 0
    assert "copy.db has the store at revision" in again.stdout


async def test_a_backup_that_fails_leaves_what_was_there(world: World, tmp_path: Path) -> None:
    """Neither a half copy nor a changed store; the store itself is no place for a copy."""
    (tmp_path / "old.db").write_text("before")
    (tmp_path / "link.db").symlink_to(tmp_path / "syncd.db")
    for place, said in (("link.db", "is the store itself"), ("missing/copy.db", "no folder")):
        refused = syncd("backup", place)
        assert (refused.exit_code, said in refused.stderr) == (2, True)
    world.database.close()
    size = (tmp_path / "syncd.db").stat().st_size
    with (tmp_path / "syncd.db").open("r+b") as file:
        file.seek(size // 2)
        file.write(os.urandom(min(65_536, size // 3)))
    broken = syncd("backup", "old.db")
    assert broken.exit_code == 1
    assert (tmp_path / "old.db").read_text() == "before"
    assert not list(tmp_path.glob("*.part"))


async def test_a_store_of_another_version_is_copied_as_it_is(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that an upgrade begins with a copy, whatever the version before could do; an empty store is none."""
    with world.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0008'")
    assert "syncd migrate" in syncd("users").stderr
    assert document("backup", "copy.db")["revision"] == "0008"
    copied = open_database(f"sqlite:///{tmp_path / 'copy.db'}")
    assert load_revision(copied) == "0008"
    copied.close()
    monkeypatch.setenv("SYNCD_STORE__URL", f"sqlite:///{tmp_path / 'none'}")
    refused = syncd("backup", "none.db")
    assert (refused.exit_code, "is empty" in refused.stderr) == (1, True)
    assert not (tmp_path / "none.db").exists()


async def test_what_a_killed_backup_left_is_removed_by_the_next_one(world: World, tmp_path: Path) -> None:
    """Of processes that are gone, and of them alone, with what SQLite kept beside it; a sentence says so."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    place, elsewhere = name_place(), "0123abcd"
    assert elsewhere != place
    left = [
        f"copy.db.{gone.pid}.{place}.part",
        f"copy.db.{gone.pid}.{place}.part-journal",
        f"copy.db.{os.getpid()}.{place}.part",  # the first process of each container is number 1
        f"copy.db.{gone.pid}.part",  # of an older version, long ago
        f"copy.db.1.{elsewhere}.part-wal",
    ]
    kept = [
        f"copy.db.{os.getppid()}.{place}.part",
        f"copy.db.{gone.pid}.{elsewhere}.part",  # of another machine, and new
        f"other.db.{gone.pid}.{place}.part",
        f"copy.db.{gone.pid}.{place}.partial",
        "copy.db.part",
    ]
    for name in (*left, *kept):
        (tmp_path / name).write_bytes(b"half a copy")
    (tmp_path / f"copy.db.{gone.pid + 1}.{place}.part").mkdir()
    for name in left[3:]:
        os.utime(tmp_path / name, (0, 0))
    done = syncd("backup", "copy.db")
    assert done.exit_code == 0, done.output
    names = {path.name for path in tmp_path.iterdir() if path.is_file() and "part" in path.name}
    assert names == set(kept)
    assert [line.split()[1] for line in done.stderr.splitlines()] == sorted(left)
    assert "(11 bytes), left by a process that is gone" in done.stderr
    assert syncd("backup", "copy.db").stderr == ""


@pytest.mark.postgresql
def test_postgresql_is_dumped_by_its_own_program(store_url: str, tmp_path: Path) -> None:
    """In the custom format, with every table in it."""
    if store_url.startswith("sqlite"):
        pytest.skip("of SQLite the tests above make copies")
    database = open_database(store_url)
    back_up(database, tmp_path / "copy.dump")
    database.close()
    listed = subprocess.run(
        ["pg_restore", "--list", str(tmp_path / "copy.dump")], capture_output=True, text=True, check=True, timeout=60
    )
    assert " TABLE DATA public runs " in listed.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_what_it_needs_to_complete(shell: str) -> None:
    """The script that click knows for it, for the name syncd."""
    printed = syncd("completion", shell)
    assert printed.exit_code == 0
    assert "_SYNCD_COMPLETE" in printed.stdout
    assert syncd("completion", "tcsh").exit_code == 2


def test_commands_and_options_are_completed() -> None:
    """As the script asks: the words so far in the environment."""
    for words, expected in (("syncd st", "status"), ("syncd trigger --w", "--wait"), ("syncd runs sh", "show")):
        done = BashComplete(program, {}, "syncd", "_SYNCD_COMPLETE")
        *before, last = words.split()[1:]
        assert expected in {item.value for item in done.get_completions(before, last)}
