"""The files in deploy/ and the Dockerfile, as far as they can be judged without installing anything."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECTIONS = {
    "graph",
    "bps",
    "store",
    "schedule",
    "scope",
    "mapping",
    "policy",
    "guard",
    "health",
    "web",
    "notify",
    "log",
}


def test_dockerfile_passes_its_linter() -> None:
    """hadolint finds nothing to say about the Dockerfile."""
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("the Dockerfile was not linted: no hadolint for this platform")
    result = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr


def test_unit_file_is_understood_by_systemd(tmp_path: Path) -> None:
    """systemd knows every setting of the unit; only the program's path is replaced, as it is not installed here."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("the systemd unit was not verified: no systemd-analyze")
    unit = tmp_path / "syncd.service"
    text = (ROOT / "deploy/syncd.service").read_text()
    unit.write_text(text.replace("ExecStart=/opt/syncd/bin/syncd", "ExecStart=/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")


def test_example_configuration_has_every_section() -> None:
    """The example is valid TOML and shows each section of the configuration."""
    assert tomllib.loads((ROOT / "deploy/syncd.toml").read_text()).keys() == SECTIONS
