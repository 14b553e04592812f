"""The service of ``deploy/compose.yaml`` as that file describes it, with its history on PostgreSQL.

The tenant, the portal and the database server are on this machine's loopback, so the container shares its network. What
differs from the file is that network, the configuration (for the imitation tenant, with its certificate) and the port
of the health pages, which may be taken here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from syncd.sandbox.server import find_free_port
from syncd.store.db.database import open_database
from syncd.store.store import Store
from tests.compose import ROOT, load_compose, translate
from tests.container.engine import IMAGE, Engine, read_until
from tests.postgres import fresh_database

pytestmark = [pytest.mark.container, pytest.mark.slow]

CERTIFICATE = "/etc/syncd/ca.pem"


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Path]:
    """An imitation tenant and portal on this machine; the folder with its configuration, secrets and certificate."""
    folder = tmp_path / "sandbox"
    command = (
        sys.executable,
        "-m",
        "syncd.cli.main",
        "sandbox",
        "--users",
        "50",
        "--for",
        "240s",
        "--directory",
        str(folder),
    )
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            read_until(process, "syncd.toml")
            yield folder
        finally:
            process.kill()


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database, as a fresh `compose up` finds it."""
    with fresh_database(request.getfixturevalue("postgres_url")) as url:
        yield url


def put_files(sandbox: Path, folder: Path, database_url: str) -> dict[str, Path]:
    """Put beside each other what the head of the file asks for; return the secrets' files by name."""
    folder.mkdir()
    text = (sandbox / "syncd.toml").read_text()
    text = text.replace(str(sandbox / "ca.pem"), CERTIFICATE)
    for secret in ("graph", "bps"):
        text = text.replace(str(sandbox / f"{secret}-secret"), f"/run/secrets/{secret}")
    kept = [part for part in text.split("\n\n") if not part.startswith(("[store]", "[health]", "[schedule]", "[web]"))]
    (folder / "syncd.toml").write_text("\n\n".join(kept))
    said = {name: (sandbox / f"{name}-secret").read_text() for name in ("graph", "bps")} | {"store_url": database_url}
    for name, secret in said.items():
        (folder / name).write_text(secret)
        (folder / name).chmod(0o444)
    return {name: folder / name for name in said}


@pytest.mark.postgresql
def test_the_service_syncs_obeys_signals_and_keeps_its_history_on_postgresql(
    engine: Engine, volume: str, sandbox: Path, database_url: str, tmp_path: Path
) -> None:
    """A full sync, healthy by its own check, SIGUSR2 a delta, SIGUSR1 a full run, SIGINT the end; nothing in SQLite."""
    service = load_compose()["services"]["syncd"]
    files = tmp_path / "deploy"
    secrets = put_files(sandbox, files, database_url)
    mounts = {"./syncd.toml": str(files / "syncd.toml"), "work": volume.partition(":")[0]}
    port = find_free_port()
    options = (
        *translate(service, secrets=secrets, mounts=mounts),
        *("--network", "host", "--no-healthcheck", "--env", f"SYNCD_HEALTH__LISTEN=127.0.0.1:{port}"),
        *("--volume", f"{sandbox / 'ca.pem'}:{CERTIFICATE}:ro"),
    )
    kind, *check = [part.replace(":8080/", f":{port}/") for part in service["healthcheck"]["test"]]
    assert (kind, str(port) in " ".join(check)) == ("CMD", True)
    name = f"syncd-test-{uuid4().hex}"

    def send(signal: str) -> None:
        assert engine.call("kill", "--signal", signal, name).returncode == 0

    with engine.started(name, (*options, IMAGE)) as daemon:

        def next_run() -> tuple[Any, ...]:
            run = json.loads(read_until(daemon, '"run.finished"'))
            return run["kind"], run["trigger"], run["status"], run.get("done", 0) > 0

        assert next_run() == ("full", "start", "succeeded", True)
        healthy = engine.call("exec", name, *check)
        assert healthy.returncode == 0, healthy.stderr
        send("USR2")
        assert next_run() == ("delta", "signal", "succeeded", False)
        send("USR1")
        assert next_run() == ("full", "signal", "succeeded", False)
        listed = engine.call("exec", name, "ls", "/var/lib/syncd")
        assert listed.stdout.split() == [], "the store is elsewhere"
        send("INT")
        output, _ = daemon.communicate(timeout=30)
        assert daemon.returncode == 0, output[-2000:]
        assert '"SIGINT"' in output
    with closing(open_database(database_url)) as database:
        runs = Store(database).runs.load_runs(10)
    assert [(run.kind, run.trigger, run.status) for run in reversed(runs)] == [
        ("full", "start", "succeeded"),
        ("delta", "signal", "succeeded"),
        ("full", "signal", "succeeded"),
    ]
