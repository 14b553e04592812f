"""What stands between syncd and its database server, or is wrong with it: poolers, encodings, rotated credentials."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url

from syncd.config.secret import Secret
from syncd.errors import StoreError, StoreLocked
from syncd.store.db import postgresql
from syncd.store.db.database import Database, open_database, open_to_read
from syncd.store.db.lock import StoreLock
from syncd.store.db.revision import ensure_schema, load_revision
from syncd.store.db.surroundings import find_problem
from tests.postgres import fresh_database

pytestmark = pytest.mark.postgresql


@pytest.fixture
def opened() -> Iterator[Callable[..., Database]]:
    """Give a function that opens databases, which are closed in the end."""
    with contextlib.ExitStack() as stack:
        yield lambda url, read=None: stack.enter_context(contextlib.closing(open_database(url, read)))


@contextlib.contextmanager
def pooled(url: str, mode: str) -> Iterator[str]:
    """Run PgBouncer before that database and give the URL by which it is reached; stop it in the end."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("poolers were not tested: PgBouncer is not installed (Debian: apt-get install pgbouncer)")
    server = make_url(url)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="syncd-pooler-"))  # those of pytest are closed to another user
    (folder / "users").write_text(f'"{server.username}" "{server.password}"\n', encoding="utf-8")
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{server.database} = host={server.host} port={server.port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\npool_mode = {mode}\n"
        f"auth_type = scram-sha-256\nauth_file = {folder / 'users'}\nignore_startup_parameters = extra_float_digits\n",
        encoding="utf-8",
    )
    owner = "postgres" if os.geteuid() == 0 else None  # it refuses to be root
    if owner:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, owner)
    process = subprocess.Popen([program, str(folder / "pgbouncer.ini")], user=owner, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        said = _read_until_up(process.stderr)
        assert "process up" in said, said
        yield server.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    finally:
        process.terminate()
        process.communicate(timeout=20)
        shutil.rmtree(folder)


def _read_until_up(lines: IO[str]) -> str:
    """Return what the pooler says until it listens, or ends."""
    said = ""
    for line in lines:
        said += line
        if "process up" in line:
            break
    return said


def test_a_pooler_that_lends_sessions_for_a_transaction_is_refused(
    postgres_url: str, opened: Callable[..., Database]
) -> None:
    """No lock would hold there: neither a daemon nor a command begins, nothing is locked, and `check` has a row."""
    with fresh_database(postgres_url) as url, pooled(url, "transaction") as address:
        database = opened(address)
        ensure_schema(database, create=True)
        with pytest.raises(StoreError, match=r"pool_mode = transaction.*Name the server itself"):
            StoreLock(database).try_acquire()
        assert "lends its sessions for single transactions" in find_problem(database)
        assert str(make_url(address).password) not in find_problem(database)
        assert not StoreLock(opened(url)).is_taken()


def test_a_pooler_that_keeps_sessions_is_as_good_as_the_server(
    postgres_url: str, opened: Callable[..., Database]
) -> None:
    """The lock holds, others see it, and it is given back."""
    with fresh_database(postgres_url) as url, pooled(url, "session") as address:
        database = opened(address)
        ensure_schema(database, create=True)
        lock, other = StoreLock(database), StoreLock(opened(url))
        assert lock.try_acquire()
        assert lock.is_held()
        assert not other.try_acquire()
        with pytest.raises(StoreLocked):
            other.__enter__()
        assert find_problem(database) == ""
        lock.release()
        deadline = time.monotonic() + 10
        while other.is_taken():  # the pooler cleans the session up before it lends it again
            assert time.monotonic() < deadline


def test_a_lock_that_another_session_has_is_not_held(postgres_url: str, opened: Callable[..., Database]) -> None:
    """Whoever holds the lock looks whether it is this very session that has it."""
    with fresh_database(postgres_url) as url:
        database = opened(url)
        lock = StoreLock(database)
        assert lock.try_acquire()
        assert lock._session is not None
        lock._session.exec_driver_sql("SELECT pg_advisory_unlock_all()")
        assert not lock.is_held()


@pytest.mark.parametrize("encoding", ["LATIN2", "SQL_ASCII"])
def test_a_database_in_another_encoding_is_refused_with_the_line_that_helps(
    encoding: str, postgres_url: str, opened: Callable[..., Database]
) -> None:
    """Names of people would not fit into it, and every run would fail at the first one of them."""
    server = make_url(postgres_url)
    with psycopg.connect(_as_libpq(server), autocommit=True) as admin:
        name = f"t_{encoding.lower()}"
        made = sql.SQL("CREATE DATABASE {} ENCODING {} LOCALE 'C' TEMPLATE template0")
        admin.execute(made.format(sql.Identifier(name), sql.Literal(encoding)))
        try:
            database = opened(server.set(database=name).render_as_string(hide_password=False))
            with pytest.raises(StoreError, match=rf"encoded as {encoding}.*CREATE DATABASE syncd ENCODING 'UTF8'"):
                load_revision(database)
        finally:
            database.close()
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_credentials_that_were_rotated_are_read_for_each_new_session(
    postgres_url: str, tmp_path: Path, opened: Callable[..., Database]
) -> None:
    """The file is overwritten and the old password stops to work: the program goes on without a signal."""
    server = make_url(postgres_url)
    file = tmp_path / "url"
    with (
        fresh_database(postgres_url) as url,
        psycopg.connect(_as_libpq(server), autocommit=True) as admin,
        _role(admin, "rotated", "before"),
    ):
        address = make_url(url).set(username="rotated", password="before")
        file.write_text(address.render_as_string(hide_password=False), encoding="utf-8")
        secret = Secret.from_file(file)
        database = opened(secret.reveal(), secret.reveal)
        assert load_revision(database) is None

        admin.execute("ALTER ROLE rotated PASSWORD 'after!'")
        file.write_text(address.set(password="after!").render_as_string(hide_password=False), encoding="utf-8")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotated'")
        assert load_revision(database) is None

        file.write_text(address.set(database="elsewhere").render_as_string(hide_password=False), encoding="utf-8")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotated'")
        with pytest.raises(StoreError, match=r"elsewhere now, and this syncd works with.*start it again"):
            load_revision(database)
        database.close()


def test_credentials_among_the_parameters_are_read_for_each_new_session(
    postgres_url: str, tmp_path: Path, opened: Callable[..., Database]
) -> None:
    """User and password may stand behind the question mark, and move; another host is another database."""
    server = make_url(postgres_url)
    file = tmp_path / "url"
    with (
        fresh_database(postgres_url) as url,
        psycopg.connect(_as_libpq(server), autocommit=True) as admin,
        _role(admin, "turned", "before"),
    ):
        whole = make_url(url)
        bare = URL.create(whole.drivername, host=whole.host, port=whole.port, database=whole.database)

        def write(address: URL) -> None:
            file.write_text(address.render_as_string(hide_password=False), encoding="utf-8")
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'turned'")

        write(bare.update_query_dict({"user": "turned", "password": "before"}))
        secret = Secret.from_file(file)
        database = opened(secret.reveal(), secret.reveal)
        assert load_revision(database) is None
        admin.execute("ALTER ROLE turned PASSWORD 'after!'")
        write(bare.update_query_dict({"user": "turned", "password": "after!"}))
        assert load_revision(database) is None
        admin.execute("ALTER ROLE turned PASSWORD 'third'")
        write(bare.set(username="turned", password="third"))
        assert load_revision(database) is None
        kept = tmp_path / "passes"
        kept.write_text("*:*:*:turned:fourth\n")
        kept.chmod(0o600)
        admin.execute("ALTER ROLE turned PASSWORD 'fourth'")
        write(bare.update_query_dict({"user": "turned", "passfile": str(kept)}))
        assert load_revision(database) is None
        with _role(admin, "other", "fifth"):
            write(bare.set(username="other", password="fifth"))
            assert load_revision(database) is None
            write(bare.update_query_dict({"user": "turned", "password": "fourth"}))
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'other'")
            assert load_revision(database) is None
        write(bare.update_query_dict({"user": "turned", "password": "fourth", "host": "elsewhere.example"}))
        with pytest.raises(StoreError, match=r"host=elsewhere\.example now.*start it again"):
            load_revision(database)
        database.close()


@pytest.mark.parametrize("among_parameters", [False, True])
def test_a_server_that_refuses_is_told_without_the_password(
    postgres_url: str, opened: Callable[..., Database], *, among_parameters: bool
) -> None:
    """Neither as it is nor percent-encoded, wherever it stands; nor does the error's representation hold it."""
    canary = "c4n+ry/p4ss=of&the~store"
    whole = make_url(postgres_url)
    bare = URL.create(whole.drivername, host=whole.host, port=whole.port, database=whole.database)
    address = (
        bare.update_query_dict({"user": "nobody_there", "password": canary})
        if among_parameters
        else bare.set(username="nobody_there", password=canary)
    )
    database = opened(address.render_as_string(hide_password=False))
    try:
        with pytest.raises(StoreError) as raised:
            load_revision(database)
        shown = f"{raised.value} {raised.value!r} {database.address}"
        for form in (canary, quote(canary, safe=""), base64.b64encode(canary.encode()).decode()):
            assert not any(form[start : start + 8] in shown for start in range(len(form) - 7))
    finally:
        database.close()


def test_parameters_of_the_driver_are_handed_on(postgres_url: str, opened: Callable[..., Database]) -> None:
    """A number of psycopg's, and libpq's own in place of ours."""
    with fresh_database(postgres_url) as url:
        database = opened(f"{url}?prepare_threshold=0&application_name=ours&connect_timeout=3")
        with database.transaction() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            assert driver.prepare_threshold == 0
            assert connection.exec_driver_sql("SHOW application_name").scalar() == "ours"


@contextlib.contextmanager
def _role(admin: psycopg.Connection, name: str, password: str) -> Iterator[None]:
    role = sql.Identifier(name)
    admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password)))
    try:
        yield
    finally:
        admin.execute(sql.SQL("DROP ROLE {}").format(role))


def _as_libpq(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


_LAST = "SELECT query FROM pg_stat_activity WHERE pid = %s"


def _find_session(database: Database) -> int:
    return int(database.load_value(text("SELECT pg_backend_pid()")))


def test_one_question_is_one_way_to_the_server_and_back(postgres_url: str, opened: Callable[..., Database]) -> None:
    """A server far away is asked often: nothing goes before a statement that only reads, and nothing after it."""
    database = opened(postgres_url)
    session = _find_session(database)
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as admin:
        for number in range(3):
            assert database.load_value(text(f"SELECT {number}")) == number
            assert _find_session(database) == session
            assert admin.execute(_LAST, [session]).fetchone() == ("SELECT pg_backend_pid()",)
        with database.transaction() as connection:
            assert connection.execute(text("SELECT pg_backend_pid()")).scalar() == session
        assert admin.execute(_LAST, [session]).fetchone() == ("COMMIT",)


@pytest.mark.parametrize("rested", [True, False])
def test_a_session_that_ended_while_nobody_used_it_is_noticed(
    postgres_url: str, opened: Callable[..., Database], monkeypatch: pytest.MonkeyPatch, *, rested: bool
) -> None:
    """Before its next use, where it rested for a while; otherwise that use fails, and the one after it does not."""
    monkeypatch.setattr(postgresql, "_FRESH_SECONDS", -1.0 if rested else 3600.0)
    database = opened(postgres_url)
    session = _find_session(database)
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 10000)", [session])
    if not rested:
        with pytest.raises(StoreError):
            _find_session(database)
    assert _find_session(database) != session


def test_a_store_that_is_opened_to_read_refuses_every_write(postgres_url: str) -> None:
    """Within a transaction, and by a statement alone."""
    with contextlib.closing(open_to_read(postgres_url)) as database:
        with pytest.raises(StoreError, match="read-only transaction"), database.transaction() as connection:
            connection.execute(text("CREATE TABLE one (number integer)"))
        with pytest.raises(StoreError, match="read-only transaction"), database.asking() as connection:
            connection.execute(text("CREATE TABLE two (number integer)"))
        assert database.load_value(text("SELECT 1")) == 1
