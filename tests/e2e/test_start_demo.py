"""What `make demo` does before there is anything to play with."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools import start_demo


def make_lock(folder: Path, text: str) -> Path:
    """Return a lock file."""
    lock = folder / "requirements.txt"
    lock.write_text(text)
    return lock


@pytest.mark.slow
def test_an_environment_is_made_once_for_each_lock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is complete after that, and made anew when the lock is another one."""
    home, lock = tmp_path / "environment", make_lock(tmp_path, "# nothing\n")
    digest = start_demo.compute_digest(lock)
    assert not start_demo.is_installed(home, digest)
    assert start_demo.install(home, lock) == 0, capsys.readouterr().out
    assert start_demo.is_installed(home, digest)
    assert not start_demo.is_installed(home, start_demo.compute_digest(make_lock(tmp_path, "# something\n")))


@pytest.mark.slow
def test_libraries_that_cannot_be_had_are_told_and_leave_nothing_half_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of what pip said is shown, and the next demo begins anew."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    home, lock = tmp_path / "environment", make_lock(tmp_path, f"nothing-of-this-name==1 --hash=sha256:{'0' * 64}\n")
    assert start_demo.install(home, lock) == 1
    said = capsys.readouterr().out
    assert "The libraries cannot be installed:" in said
    assert "nothing-of-this-name" in said
    assert not start_demo.is_installed(home, start_demo.compute_digest(lock))


def test_the_demo_needs_nothing_that_only_tests_need() -> None:
    """Its libraries are those of the program and of the sandbox: no test runner, no linter, no second spreadsheet."""
    names = {
        path.name: set(re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==", path.read_text("utf-8"), re.MULTILINE))
        for path in start_demo.ROOT.glob("requirements*.txt")
    }
    wanted = names[start_demo.LOCK.name]
    assert names["requirements.txt"] <= wanted < names["requirements-dev.txt"]
    assert not wanted & {"pytest", "mypy", "ruff", "hypothesis", "openpyxl", "pyte", "mkdocs", "mutmut"}


def test_an_environment_of_others_is_not_cleared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A link leads to a folder that somebody else may work with."""
    others = tmp_path / "others"
    others.mkdir()
    (others / "kept").touch()
    (tmp_path / "link").symlink_to(others)
    assert start_demo.install(tmp_path / "link", make_lock(tmp_path, "")) == 1
    assert "is not cleared" in capsys.readouterr().out
    assert [path.name for path in others.iterdir()] == ["kept"]


def test_a_line_comes_before_anything_is_installed(tmp_path: Path) -> None:
    """It needs nothing but Python: also where no environment can be made, the first line says what happens."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; import start_demo\n"
        "start_demo.HOME = Path(sys.argv[2]) / 'environment'\n"
        "start_demo.install = lambda home, lock: 7\n"
        "sys.exit(start_demo.main())\n"
    )
    command = [sys.executable, "-I", "-c", script, str(start_demo.ROOT / "tools"), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stderr) == (7, "")
    assert ended.stdout.startswith("syncd: a company, a tenant and a portal are invented here.")
