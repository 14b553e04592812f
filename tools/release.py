"""``make release``: everything that one version consists of, from its number to the checksums, in ``dist/``.

It refuses a version that is not told of everywhere, or a tree with changes in it. What it makes it also tries: the
wheel is installed beside the locked libraries in an environment of its own, and has to say its version. The same
commit gives the same wheel and the same source archive, byte for byte. Nothing is uploaded or tagged: the last lines
say the commands.

``--rehearse`` does the same for a version that is not dated yet and a tree that is not clean; tests use it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = "requirements.txt"


def load_version() -> str:
    """Return the version that pyproject.toml says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return str(project["version"])


def iterate_problems(version: str, *, changelog: str, dockerfile: str, chart: str) -> Iterator[str]:
    """Yield what of the texts does not fit the version; "" for a chart that is not there."""
    heading = re.search(r"^## \[(.+?)\] - (.+)$", changelog, re.MULTILINE)
    if heading is None or heading[1] != version:
        yield f"CHANGELOG.md does not begin with {version}"
    elif not re.fullmatch(r"\d{4}-\d{2}-\d{2}", heading[2]):
        yield f"CHANGELOG.md calls {version} {heading[2]}, and not by a date such as 2026-11-30"
    if f"\nARG VERSION={version}\n" not in dockerfile:
        yield f"the Dockerfile's ARG VERSION is not {version}"
    if chart and not re.search(rf'^appVersion: "?{re.escape(version)}"?$', chart, re.MULTILINE):
        yield f"the chart's appVersion is not {version}"


def read(path: str) -> str:
    """Return a file of the project, "" where it is not there."""
    file = ROOT / path
    return file.read_text("utf-8") if file.is_file() else ""


def run(*command: str | Path, **environment: str) -> str:
    """Run a command in the project's folder and return what it printed; its failure ends the release."""
    made = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return made.stdout.strip()


def build_archives(folder: Path, epoch: str) -> None:
    """Build wheel and source archive, and have them checked."""
    run(sys.executable, "-m", "hatchling", "build", "--directory", folder, SOURCE_DATE_EPOCH=epoch)
    files = sorted(folder.glob("syncd-*"))
    run(sys.executable, "-m", "twine", "check", "--strict", *files)


def try_wheel(folder: Path, version: str) -> None:
    """Install the wheel with the locked libraries, let it say its version, and write down what is then there."""
    (wheel,) = folder.glob("*.whl")
    with tempfile.TemporaryDirectory() as place:
        python = Path(place) / "bin" / "python"
        run(sys.executable, "-m", "venv", "--without-pip", place)
        install = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check")
        run(*install, "--require-hashes", "-r", ROOT / LOCK)
        run(*install, "--no-deps", "--no-index", wheel)
        said = run(python.with_name("syncd"), "--version")
        if said != f"syncd {version}":
            raise ValueError(f"the installed wheel says {said!r}")
        run(sys.executable, ROOT / "tools/bom.py", python, folder / f"syncd-{version}.cdx.json")
    shutil.copyfile(ROOT / LOCK, folder / f"syncd-{version}-requirements.txt")


def pack_chart(folder: Path) -> str:
    """Pack the Helm chart; return why that was not done, nothing when it was."""
    chart = ROOT / "deploy/helm/syncd"
    if not chart.is_dir():
        return ""
    try:
        from helm_python import chart as charts
    except ImportError:
        return "the Helm chart was not packed: helm-python-sdk is not here (make tools)"
    charts.package(chart, destination=folder)
    return ""


def write_checksums(folder: Path) -> None:
    """Write SHA256SUMS, as ``sha256sum --check`` reads it."""
    files = sorted(file for file in folder.iterdir() if file.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def main() -> int:
    """Make the release; say what is wrong with it and make nothing otherwise."""
    parser = argparse.ArgumentParser(description="Make everything that one version consists of, in dist/.")
    parser.add_argument(
        "--rehearse", action="store_true", help="also of a tree with changes, and of a version without date"
    )
    parser.add_argument("--directory", type=Path, default=ROOT / "dist", help="emptied first (default: dist)")
    options = parser.parse_args()
    version = load_version()
    texts = {
        "changelog": read("CHANGELOG.md"),
        "dockerfile": read("Dockerfile"),
        "chart": read("deploy/helm/syncd/Chart.yaml"),
    }
    problems = list(iterate_problems(version, **texts))
    if run("git", "status", "--porcelain", "--untracked-files=no"):
        problems.append("the tree has changes that are not committed")
    if problems and not options.rehearse:
        sys.stderr.write("".join(f"release: {problem}\n" for problem in problems))
        return 1
    folder = options.directory.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    build_archives(folder, run("git", "log", "-1", "--format=%ct"))
    try_wheel(folder, version)
    left = pack_chart(folder)
    write_checksums(folder)
    revision = run("git", "rev-parse", "HEAD")
    arguments = f"--build-arg VERSION={version} --build-arg REVISION={revision}"
    sys.stdout.write(
        f"{(folder / 'SHA256SUMS').read_text('utf-8')}"
        f"{left and left + chr(10)}"
        f"Made in {folder}. Next:\n"
        f"  git tag --sign v{version} {revision}\n"
        f"  docker build {arguments} --tag localhost/syncd:{version} .\n"
        f"  docker build {arguments} --target sandbox --tag localhost/syncd:{version}-sandbox .\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
