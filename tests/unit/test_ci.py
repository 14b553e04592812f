"""What CI does on machines that lack something, shown with stand-ins for every program that it calls."""

from __future__ import annotations

import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("bash", "dirname", "sed", "grep", "tail", "cat", "chmod", "env", "mktemp", "rm", "sleep")
OFFERED = "echo '  Candidate: 3.13.5-1'"
NOT_OFFERED = "echo '  Candidate: (none)'"


@dataclass
class Machine:
    """A machine with nothing but what a test puts there; ``calls`` of make and apt-get are written down."""

    folder: Path

    def put(self, name: str, script: str, *, folder: str = "bin") -> None:
        """Put a program there; every call of it is noted, with what of the environment concerns the tests."""
        path = self.folder / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        note = f'echo "{name} $* container=${{SYNCD_TEST_CONTAINER:-}} tool=${{SYNCD_CONTAINER:-}}"'
        path.write_text(f"#!{shutil.which('bash')}\n{note} >> {self.folder / 'calls'}\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run CI of a clone on it."""
        clone = self.folder / "clone"
        (clone / ".ci").mkdir(parents=True)
        shutil.copy(ROOT / ".ci/run", clone / ".ci/run")
        shutil.copy(ROOT / "Dockerfile", clone)
        command = [clone / ".ci/run"]
        environment = {"PATH": str(self.folder / "bin")}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    def find_tests(self) -> str:
        """Return how the tests of the first Python were called."""
        return next(call for call in self.calls("make") if call.startswith("make test "))

    def calls(self, name: str) -> list[str]:
        """Return the calls of a program."""
        return [line for line in (self.folder / "calls").read_text().splitlines() if line.startswith(f"{name} ")]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One with Python 3.11, docker and package sources without 3.13."""
    made = Machine(tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / "bin" / tool).symlink_to(found)
    for name in ("make", "apt-get", "python3.11", "docker", "promtool", "tinyproxy", "chromedriver"):
        made.put(name, "exit 0")
    made.put("apt-cache", NOT_OFFERED)
    return made


def test_a_python_that_debian_does_not_have_is_said(machine: Machine) -> None:
    """That is no failure: everything else was tested."""
    ended = machine.run()
    assert ended.returncode == 0, ended.stderr
    assert "NOT TESTED: Python 3.13, which is not here, and which this machine's package sources do" in ended.stdout
    assert "FAILED" not in ended.stdout
    asked = ["--jobs=2 --output-sync static", "--silent site", "test", "venv tools"]
    assert sorted(call.removeprefix("make ").partition(" PYTHON=")[0] for call in machine.calls("make")) == asked
    assert "container=1" in machine.find_tests()


def test_a_python_that_debian_has_is_installed_and_tested(machine: Machine) -> None:
    """Beside the first one it shows what could be different there, which takes no image."""
    there = machine.folder / "bin" / "python3.13"
    machine.put("apt-cache", OFFERED)
    install = f"printf '#!/bin/sh\\nexit 0\\n' > {there}; chmod +x {there}"
    machine.put("apt-get", f'[[ "$*" != *python3.13-venv* ]] || {{ {install}; }}')
    ended = machine.run()
    assert ended.returncode == 0, ended.stderr
    assert "Python" not in ended.stdout.partition("== done")[2]
    assert sorted(call for call in machine.calls("make") if " test " in call) == [
        f"make --silent test PYTHON={there} ARGS=--again container= tool=",
        f"make test PYTHON={machine.folder / 'bin/python3.11'} container=1 tool=",
    ]


@pytest.mark.parametrize("broken", ["site", "static", "ARGS=--again", "test?PYTHON=*3.11"])
def test_a_step_that_fails_ends_ci_at_once(machine: Machine, broken: str) -> None:
    """What it printed is shown, and tests that would take an hour more are ended: `run` waits for all that print."""
    machine.put("python3.13", "exit 0")
    fails = f'if [[ "$*" == *{broken}* ]]; then echo "it is {broken} that fails"; exit 2; fi'
    machine.put("make", f'{fails}; if [[ "$*" == test* ]]; then sleep 3600; fi')
    ended = machine.run()
    assert ended.returncode == 2
    assert f"it is {broken} that fails" in ended.stdout
    assert "== done" not in ended.stdout


def test_a_python_that_cannot_be_installed_is_a_failure(machine: Machine) -> None:
    """Debian has it, so that CI must not do without."""
    machine.put("apt-cache", OFFERED)
    machine.put("apt-get", '[[ "$*" != *install* ]]')
    assert machine.run().returncode != 0


def test_package_sources_that_do_not_answer_are_a_failure(machine: Machine) -> None:
    """After everything else was tested, since nobody knows whether they have it."""
    if not any(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        pytest.skip("package sources that do not answer were not tested: PostgreSQL would be asked for first")
    machine.put("apt-get", '[[ "$*" != *update* ]]')
    ended = machine.run()
    assert ended.returncode == 1
    assert "NOT TESTED: Python 3.13, which is not here, and the package sources could not be asked" in ended.stdout
    assert machine.find_tests()


@pytest.mark.parametrize(
    ("docker", "why"),
    [
        ("exit 1", "neither docker nor podman works here"),
        ('[[ "$*" == info ]]', "is not here and cannot be pulled"),
    ],
)
def test_without_the_image_ci_fails_after_everything_else(machine: Machine, docker: str, why: str) -> None:
    """No tool, or no base image: the rest is tested without it, and CI is not green."""
    machine.put("docker", docker)
    ended = machine.run()
    assert ended.returncode == 1, ended.stdout
    assert f"{why}" in ended.stdout
    assert "NOT TESTED: the container image" in ended.stdout
    assert ended.stdout.rstrip().rpartition("\n")[2].startswith("FAILED")
    assert "container=0" in machine.find_tests()


def test_tools_beside_the_clone_are_used_first(machine: Machine) -> None:
    """With a base image of their own no registry is needed, and no docker."""
    machine.put("docker", "exit 1")
    machine.put("container", "exit 0", folder="shared/tools")
    machine.put("base-image", "echo building; echo localhost/python:x", folder="shared/tools")
    ended = machine.run()
    assert ended.returncode == 0, ended.stdout
    assert "the container image" not in ended.stdout
    assert machine.find_tests().endswith(f"container=1 tool={machine.folder / 'shared/tools/container'}")


def test_a_base_image_that_cannot_be_made_ends_ci(machine: Machine) -> None:
    """Nor is it green when the tools beside the clone fail."""
    machine.put("container", "exit 0", folder="shared/tools")
    machine.put("base-image", "exit 3", folder="shared/tools")
    assert machine.run().returncode == 3
