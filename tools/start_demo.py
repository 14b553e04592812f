"""``make demo``: say something at once, install what the program itself needs, and play the demo with it.

The environment is one of its own, ``.venv-demo``, with the libraries of ``requirements-sandbox.txt`` and nothing that
only tests need. The program is run from this folder. A second time there is nothing to install. Only the standard
library is used here: nothing else is there yet.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements-sandbox.txt"
HOME = ROOT / ".venv-demo"
OLDEST = (3, 11)
_KEPT_LINES = 15


def say(text: str, *, passing: bool = False) -> None:
    """Print a line at once; a passing one is written over by the next where somebody looks on."""
    if sys.stdout.isatty():
        text = f"\r\033[K{text}"
    sys.stdout.write(text if passing and sys.stdout.isatty() else f"{text}\n")
    sys.stdout.flush()


def find_python(home: Path) -> Path:
    """Return the interpreter of an environment."""
    return home / "bin" / "python"


def compute_digest(lock: Path) -> str:
    """Return what tells one lock from another."""
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def is_installed(home: Path, digest: str) -> bool:
    """Return whether the environment is there, complete, and of this very lock."""
    stamp = home / ".lock"
    return find_python(home).exists() and stamp.is_file() and stamp.read_text("utf-8") == digest


def install(home: Path, lock: Path) -> int:
    """Make the environment anew, telling how far it is; return an exit code."""
    if home.is_symlink():
        say(f"{home} is a link to an environment that others may use; it is not cleared.")
        return 1
    shutil.rmtree(home, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", home], capture_output=True, text=True, check=False)
    if made.returncode:
        say(f"{sys.executable} cannot make virtual environments; on Debian: apt-get install python3-venv")
        return 1
    text = lock.read_text("utf-8")
    wanted = len(re.findall(r"^[A-Za-z0-9]", text, re.MULTILINE))
    pip = [find_python(home), "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
    command = [*map(str, pip), "--require-hashes", "--only-binary", ":all:", "-r", str(lock)]
    seen, last = 0, [""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last = [*last, line.rstrip()][-_KEPT_LINES:]
            found = re.match(r"Collecting ([A-Za-z0-9._-]+)", line)
            seen += found is not None
            if found is not None and (sys.stdout.isatty() or seen % 10 == 1):
                say(f"  {seen} of {wanted} libraries: {found[1]}", passing=True)
            elif line.startswith("Installing"):
                say("  all are here, and are being installed", passing=True)
    if process.returncode:
        say("The libraries cannot be installed:\n  " + "\n  ".join(last))
        return 1
    (home / ".lock").write_text(compute_digest(lock), encoding="utf-8")
    return 0


def main() -> int:
    """Install if need be, then become the demo."""
    if sys.version_info < OLDEST:
        say("syncd needs Python 3.11 or newer; name one with PYTHON=…")
        return 1
    if not is_installed(HOME, compute_digest(LOCK)):
        say(f"syncd: a company, a tenant and a portal are invented here. First its libraries, into {HOME.name}:")
        began = time.monotonic()
        code = install(HOME, LOCK)
        if code:
            return code
        say(f"  ready after {time.monotonic() - began:.0f} seconds; the next demo starts at once")
    else:
        say("syncd: a company, a tenant and a portal are invented here.")
    python = str(find_python(HOME))
    return os.execve(  # noqa: S606 - no shell: the demo takes the place of this process
        python, [python, str(ROOT / "tools/demo.py"), *sys.argv[1:]], {**os.environ, "PYTHONPATH": str(ROOT)}
    )


if __name__ == "__main__":
    sys.exit(main())
