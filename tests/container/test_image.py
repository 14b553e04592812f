"""The image as an administrator runs it: no root, read-only root filesystem, no capability, a store on a volume.

The containers of one test share a network namespace without a way out, so that the imitation tenant and portal, the
daemon and its health check meet on loopback whatever else runs on this machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import pytest

from tests.container.engine import IMAGE, SANDBOX_IMAGE, Engine, read_until

pytestmark = [pytest.mark.container, pytest.mark.slow]

SANDBOX = "/var/lib/syncd/sandbox"
LOCKED_DOWN = (
    "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--no-healthcheck",
)  # fmt: skip


@pytest.fixture
def sandbox(engine: Engine, volume: str) -> Iterator[tuple[str, ...]]:
    """Start an imitation tenant and portal; give the options by which a container is connected to it."""
    name = f"syncd-test-{uuid4().hex}"
    command = ("sandbox", "--users", "50", "--for", "120s", "--directory", SANDBOX)
    options = (*LOCKED_DOWN, "--network", "none", "--volume", volume, SANDBOX_IMAGE, *command)
    with engine.started(name, options) as process:
        read_until(process, "syncd.toml")
        configured = ("--env", f"SYNCD_CONFIG={SANDBOX}/syncd.toml")
        yield (*LOCKED_DOWN, "--network", f"container:{name}", "--volume", volume, *configured)


def test_image_runs_as_nobody_and_writes_to_its_volume_only(engine: Engine, volume: str) -> None:
    """The process is uid 10001, cannot change the program, and owns the store's folder."""
    probe = (
        "import os, pathlib, sys, syncd\n"
        "pathlib.Path('probe').write_text('x')\n"
        "program = os.access(pathlib.Path(syncd.__file__).parent, os.W_OK)\n"
        "print(os.getuid(), os.getgid(), os.getcwd(), program, os.access('/', os.W_OK))\n"
    )
    options = (*LOCKED_DOWN, "--network", "none", "--volume", volume, "--entrypoint", "python")
    result = engine.call("run", "--rm", *options, IMAGE, "-c", probe)
    assert result.stdout.split() == ["10001", "10001", "/var/lib/syncd", "False", "False"], result.stderr


def test_image_says_its_version(engine: Engine) -> None:
    """The image holds this very version of syncd."""
    result = engine.call("run", "--rm", *LOCKED_DOWN, "--network", "none", IMAGE, "--version")
    assert result.returncode == 0, result.stderr
    assert version("syncd") in result.stdout


def test_the_service_has_no_sandbox_and_says_where_it_is(engine: Engine) -> None:
    """Neither its code nor the library that only it needs; the command ends with a sentence."""
    options = ("run", "--rm", *LOCKED_DOWN, "--network", "none")
    probe = "import importlib.util as u; print(u.find_spec('trustme'), u.find_spec('syncd.sandbox'))"
    looked = engine.call(*options, "--entrypoint", "python", IMAGE, "-c", probe)
    assert looked.stdout.split() == ["None", "None"], looked.stderr
    asked = engine.call(*options, IMAGE, "sandbox")
    said = [line for line in asked.stderr.splitlines() if not line.startswith("time=")]  # the engine's own log
    assert (asked.returncode, len(said)) == (1, 1), asked.stderr
    assert "the sandbox is not part of this installation; install 'syncd[sandbox]'" in asked.stderr


@pytest.mark.parametrize(("image", "trials"), [(IMAGE, False), (SANDBOX_IMAGE, True)])
def test_an_image_tells_what_is_in_it(engine: Engine, image: str, trials: bool) -> None:
    """Labels, and a bill of materials: libraries, interpreter and Debian packages, each with its licences."""
    (inspected,) = json.loads(engine.call("image", "inspect", image).stdout)
    labels = inspected["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == version("syncd")
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert labels["org.opencontainers.image.base.name"]
    options = ("run", "--rm", *LOCKED_DOWN, "--network", "none", "--entrypoint", "cat")
    parts = json.loads(engine.call(*options, image, "/opt/syncd/share/sbom.cdx.json").stdout)["components"]
    assert all(part["licenses"] for part in parts)
    names = {part["name"].lower() for part in parts}
    assert {"aiohttp", "python", "libc6"} <= names
    assert ("trustme" in names) is trials
    assert "hatchling" not in names


def test_unusable_configuration_ends_the_container_with_2(engine: Engine, tmp_path: Path) -> None:
    """A wrong key in the mounted file and a wrong variable are both named, without a traceback."""
    config = tmp_path / "syncd.toml"
    config.write_text('[grahp]\ntenant_id = "x"\n')
    mount = ("--volume", f"{config}:/etc/syncd/syncd.toml:ro", "--env", "SYNCD_BPS__PORTAL_ULR=https://bps.example.com")
    result = engine.call("run", "--rm", *LOCKED_DOWN, "--network", "none", *mount, IMAGE)
    said = result.stdout + result.stderr
    assert result.returncode == 2, said
    assert "grahp" in said
    assert "portal_ulr" in said.lower()
    assert "Traceback" not in said


def test_full_sync_succeeds_with_secrets_from_files(engine: Engine, sandbox: tuple[str, ...]) -> None:
    """One full sync carries the imitation company over, and the run log on the volume outlives the container."""
    synced = engine.call("run", "--rm", *sandbox, IMAGE, "sync", "full")
    assert synced.returncode == 0, synced.stdout + synced.stderr
    listed = engine.call("run", "--rm", *sandbox, IMAGE, "runs", "--json")
    runs = json.loads(listed.stdout)
    assert [(run["kind"], run["status"]) for run in runs] == [("full", "succeeded")]


def test_daemon_is_healthy_and_leaves_on_sigterm(engine: Engine, sandbox: tuple[str, ...]) -> None:
    """`run` answers the image's own health check, and SIGTERM reaches it and ends it with 0."""
    name = f"syncd-test-{uuid4().hex}"
    with engine.started(name, (*sandbox, IMAGE)) as daemon:
        read_until(daemon, "run.finished")
        healthy = engine.call("exec", name, *load_health_check(engine))
        assert healthy.returncode == 0, healthy.stderr
        assert engine.call("kill", "--signal", "TERM", name).returncode == 0
        output, _ = daemon.communicate(timeout=30)
        assert daemon.returncode == 0, output[-2000:]


def load_health_check(engine: Engine) -> list[str]:
    """Return the command that the image declares as its health check."""
    inspected = json.loads(engine.call("image", "inspect", IMAGE).stdout)[0]
    # docker keeps it in the image's configuration, podman beside it
    check = inspected["Config"].get("Healthcheck") or inspected["Healthcheck"]
    kind, *command = check["Test"]
    assert kind == "CMD"
    return [str(part) for part in command]
