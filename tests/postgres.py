"""A PostgreSQL server of our own for one test session, and databases of their own for single tests.

Needs the server's programs (Debian: package ``postgresql``), no running service. The server refuses to run as root, so
root hands it over to the user ``postgres``. Durability is off: these databases live for minutes. So are compiling of
queries (jit), which takes longer for tables of ten rows than the tests themselves, and vacuuming by itself.
"""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

START_SECONDS = 30
SETTINGS = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=50 -c jit=off"


class PostgresUnavailable(Exception):
    """No private server can be started on this machine; the message says why."""


def _find_programs() -> Path:
    """Return the folder of the newest installed server's programs."""
    on_path = shutil.which("initdb")
    found = [Path(on_path)] if on_path else []
    found += Path("/usr/lib/postgresql").glob("*/bin/initdb")
    if not found:
        raise PostgresUnavailable("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    return max(found, key=lambda path: [int(digits) for digits in re.findall(r"\d+", str(path))]).parent


def _find_owner() -> str | None:
    """Return the user who is to own the server: None for ourselves, who must not be root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        raise PostgresUnavailable("this is root, and there is no user postgres to run the server") from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def private_postgres(*, vacuums: bool = False) -> Iterator[str]:
    """Run a server on a free loopback port and give the URL of its superuser; stop and remove it at the end.

    ``vacuums``: by itself, and looks again at what tables hold, as servers do; benchmarks want that.
    Raises PostgresUnavailable where no server is installed or it does not start.
    """
    programs, owner = _find_programs(), _find_owner()
    password = secrets.token_urlsafe(16)

    def run(*command: str) -> None:
        try:
            # cwd: the owner may not be allowed to enter ours. A file, not a pipe: the server would keep a pipe open.
            with (home / "output").open("wb") as output:
                subprocess.run(
                    command, check=True, cwd=home, user=owner, group=owner, extra_groups=() if owner else None,
                    stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, timeout=START_SECONDS * 2,
                )  # fmt: skip
        except subprocess.CalledProcessError as error:
            said = "".join(path.read_text() for path in (home / "output", home / "log") if path.exists())
            raise PostgresUnavailable(f"{Path(command[0]).name} failed: {said.strip()[-1000:]}") from error

    home = Path(tempfile.mkdtemp(prefix="syncd-postgres-"))
    try:
        (home / "password").write_text(password)
        if owner:
            shutil.chown(home, owner, owner)
            shutil.chown(home / "password", owner, owner)
        control = (str(programs / "pg_ctl"), "--pgdata", str(home / "data"), "--silent", "-w", "-t", str(START_SECONDS))
        run(
            str(programs / "initdb"), "--pgdata", str(home / "data"), "--username", "syncd_tests", "--no-sync",
            "--auth", "scram-sha-256", "--pwfile", str(home / "password"), "--encoding", "UTF8", "--locale", "C",
        )  # fmt: skip
        port, vacuum = _free_port(), "on" if vacuums else "off"
        listen = f"-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        run(*control, "--log", str(home / "log"), "--options", f"{listen} {SETTINGS} -c autovacuum={vacuum}", "start")
        try:
            yield f"postgresql+psycopg://syncd_tests:{password}@127.0.0.1:{port}/postgres"
        finally:
            run(*control, "--mode", "immediate", "stop")
    finally:
        shutil.rmtree(home)


def copy_database(url: str, name: str) -> None:
    """Copy a database to which nobody is connected, under that name on its server: a template for `fresh_database`."""
    source = make_url(url)
    server = source.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(server, autocommit=True) as admin:
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        admin.execute(copy.format(sql.Identifier(name), sql.Identifier(source.database or "")))


@contextmanager
def fresh_database(server_url: str, *, template: str = "template0") -> Iterator[str]:
    """Copy the template (an empty one unless named) on that server and give the copy's URL.

    It is dropped at the end, whoever is still connected.
    """
    server = make_url(server_url)
    name = f"t_{secrets.token_hex(8)}"
    conninfo = server.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo, autocommit=True) as admin:
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        admin.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
        try:
            yield server.set(database=name).render_as_string(hide_password=False)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
