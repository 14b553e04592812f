"""The lock files: complete, hashed, and free of addresses."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME: list[str] = PROJECT["project"]["dependencies"]
DEVELOPMENT: list[str] = PROJECT["project"]["optional-dependencies"]["dev"]
SANDBOX: list[str] = PROJECT["project"]["optional-dependencies"]["sandbox"]
BUILD: list[str] = PROJECT["build-system"]["requires"] + PROJECT["dependency-groups"]["image"]
LOCKS = ["requirements.txt", "requirements-sandbox.txt", "requirements-dev.txt", "requirements-build.txt"]


def load_lock(name: str) -> dict[str, str]:
    """Return the pinned version of each distribution in that lock."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", (ROOT / name).read_text(), re.MULTILINE)
    return {canonicalize_name(distribution): version for distribution, version in pins}


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        ("requirements.txt", RUNTIME),
        ("requirements-sandbox.txt", RUNTIME + SANDBOX),
        ("requirements-dev.txt", RUNTIME + SANDBOX + [each for each in DEVELOPMENT if each != "syncd[sandbox]"]),
        ("requirements-build.txt", BUILD),
    ],
)
def test_lock_satisfies_pyproject(lock: str, requirements: list[str]) -> None:
    """Every dependency that pyproject.toml declares is pinned, to a version that the declaration permits."""
    pins = load_lock(lock)
    for requirement in map(Requirement, requirements):
        version = pins.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in {lock}: run make lock"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement} but {lock} has {version}"


def test_tests_run_with_the_versions_that_are_shipped() -> None:
    """Each pin of the runtime lock stands unchanged in the lock with the sandbox, and that in the development lock."""
    service, trials, everything = map(load_lock, LOCKS[:3])
    assert service.items() <= trials.items() <= everything.items()
    assert trials.keys() - service.keys() == {"trustme"}


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_is_hashed_and_names_no_host(lock: str) -> None:
    """Every pin carries hashes, and nothing tells pip where to download from."""
    text = (ROOT / lock).read_text()
    pins = re.findall(r"^[A-Za-z0-9].*", text, re.MULTILINE)
    assert pins
    assert all(pin.endswith("\\") for pin in pins), "a pin without hashes"
    assert "://" not in text
    assert not re.search(r"^--(extra-)?(index-url|find-links|trusted-host)", text, re.MULTILINE)
