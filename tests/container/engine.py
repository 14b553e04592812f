"""The container tool of this machine: docker, podman, or a wrapper script named by SYNCD_CONTAINER.

The wrapper is called as ``$SYNCD_CONTAINER buildah build …`` and ``$SYNCD_CONTAINER podman run …``. SYNCD_BASE_IMAGE,
where set, is the Python image to build upon; otherwise it is the official one that the Dockerfile names.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

IMAGE = "localhost/syncd-under-test"
SANDBOX_IMAGE = "localhost/syncd-under-test:sandbox"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
BUILD_SECONDS = 600
RUN_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Engine:
    """How to build an image and run containers here; every call is bounded in time."""

    build_command: tuple[str, ...]
    command: tuple[str, ...]

    def has_base(self, base: str) -> bool:
        """Tell whether that image is on this machine or can be brought here."""
        return self.call("image", "inspect", base).returncode == 0 or self.call("pull", base).returncode == 0

    def build(self, context: Path, tag: str, *, base: str, target: str) -> subprocess.CompletedProcess[str]:
        """Build a target of the Dockerfile of that folder upon that image; the caller judges the return code."""
        chosen = ("--build-arg", f"PYTHON_IMAGE={base}", "--target", target, "--tag", tag)
        return _run((*self.build_command, *chosen, str(context)), seconds=BUILD_SECONDS)

    def call(self, *arguments: str, seconds: float = RUN_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run one command of the engine to its end; the caller judges the return code."""
        return _run((*self.command, *arguments), seconds=seconds)

    @contextmanager
    def started(
        self, name: str, arguments: Sequence[str], *, seconds: float = RUN_SECONDS
    ) -> Iterator[subprocess.Popen[str]]:
        """Run a container attached, its output merged into one pipe; it is gone afterwards, and after these seconds."""
        command = (*self.command, "run", "--rm", "--name", name, *arguments)
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        # Reading from the pipe has no timeout of its own: the watchdog ends the container, and with it the pipe.
        watchdog = threading.Timer(seconds, self.call, ["rm", "--force", name])
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            self.call("kill", name)  # without the grace that rm would give
            self.call("rm", "--force", name)
            process.communicate(timeout=RUN_SECONDS)


def _run(command: Sequence[str], *, seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=seconds
    )


def _works(*command: str) -> bool:
    return shutil.which(command[0]) is not None and _run(command, seconds=60).returncode == 0


def find_engine() -> Engine | None:
    """Return what this machine has, None where nothing can build and run images."""
    wrapper = os.environ.get("SYNCD_CONTAINER")
    # A machine behind an inspecting proxy trusts certificates that the base image does not have.
    trusted = ("--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro") if CERTIFICATES.exists() else ()
    # Only this format knows HEALTHCHECK.
    docker_format = ("--format", "docker", "--layers", *trusted)
    if wrapper:
        build = (wrapper, "buildah", "build", *docker_format, "--pull=never", "--isolation", "chroot")
        return Engine((*build, "--network", "host"), (wrapper, "podman"))
    if _works("docker", "info"):
        return Engine(("docker", "build"), ("docker",))
    if _works("podman", "info"):
        return Engine(("podman", "build", *docker_format), ("podman",))
    return None


def read_until(process: subprocess.Popen[str], mark: str) -> str:
    """Read the output up to the line that contains the mark, and return it; fail with all of it when it ends before."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if mark in line:
            return line
    pytest.fail(f"{mark!r} never came:\n" + "".join(seen[-50:]))
