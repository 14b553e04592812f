"""A release, made for real up to its checksums; only the tag and the upload are left out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.e2e.program import ROOT
from tools import release

SECONDS = 600


@pytest.mark.slow
def test_a_release_is_built_checked_installed_and_summed(tmp_path: Path) -> None:
    """Wheel and source archive hold what they should, the wheel works beside the locked libraries alone."""
    for tool in ("twine", "cyclonedx_py", "hatchling"):
        if find_spec(tool) is None:
            pytest.skip(f"the release was not tested: {tool} is not here")
    version, folder = release.load_version(), tmp_path / "dist"
    command = [sys.executable, "tools/release.py", "--rehearse", "--directory", str(folder)]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert made.returncode == 0, made.stderr[-3000:]
    assert f"git tag --sign v{version} " in made.stdout
    wheel, source = folder / f"syncd-{version}-py3-none-any.whl", folder / f"syncd-{version}.tar.gz"
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
    assert {name.partition("/")[0] for name in names} == {"syncd", f"syncd-{version}.dist-info"}
    assert f"syncd-{version}.dist-info/licenses/LICENSE" in names
    assert sum(name.startswith("syncd/migrations/versions/") for name in names) == len(
        list((ROOT / "migrations/versions").glob("*.py"))
    )
    parts = json.loads((folder / f"syncd-{version}.cdx.json").read_text())["components"]
    found = {part["name"].lower() for part in parts}
    assert {"aiohttp", "sqlalchemy"} <= found
    assert not {"trustme", "pytest", "pip"} & found, "more than the service's own libraries"
    assert all(part["licenses"] for part in parts)
    summed = subprocess.run(
        ["sha256sum", "--check", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert summed.returncode == 0, summed.stderr
    assert len(summed.stdout.splitlines()) == len(list(folder.iterdir())) - 1
    with tarfile.open(source) as opened_source:
        opened_source.extractall(tmp_path / "source", filter="data")
    again = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path / "again")]
    epoch = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    subprocess.run(
        again,
        cwd=tmp_path / "source" / f"syncd-{version}",
        env=os.environ | {"SOURCE_DATE_EPOCH": epoch},
        capture_output=True,
        check=True,
        timeout=SECONDS,
    )
    assert (tmp_path / "again" / wheel.name).read_bytes() == wheel.read_bytes(), "the source archive lacks something"
