"""PostgreSQL as a store: how sessions are opened, and what kind of server the program can work with."""

from __future__ import annotations

import math
import select
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

from sqlalchemy import Connection, create_engine, event, make_url, text
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import InvalidatePoolError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from syncd.errors import StoreError

# A server that vanished without a word is noticed within half a minute, also by a session that only holds a lock.
_SESSION: Mapping[str, object] = {
    "connect_timeout": 10,
    "application_name": "syncd",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # milliseconds
}
_OF_THE_DRIVER = "prepare_threshold"
"""The one parameter of an address that is psycopg's and not libpq's, and wants a number."""

_LETS_IN = ("user", "password", "passfile", "sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl", "sslcrldir")
"""What a server wants to be shown: before the host, or among the parameters of an address."""

_PLACES = ("host", "hostaddr", "port", "dbname", "service")
"""Parameters that say which database it is, as what stands before them does."""

_PROCESS = text("SELECT pg_backend_pid()")
_BESIDES = 3
_PATIENCE_SECONDS = 1.0
_FRESH_SECONDS = 2.0


def make_engine(address: str, read: Callable[[], str]) -> Engine:
    """Return the engine of a server; nothing is asked of it yet.

    ``read`` gives the address as it is now: user, password and what else lets in are taken from it for each new
    session, wherever they stand in it, since they may live in a file that somebody rotates. A session in another
    encoding than UTF-8, or one with another database than at first, raises StoreError.
    """
    url = make_url(address)
    threshold = url.query.get(_OF_THE_DRIVER)
    url = url.difference_update_query([_OF_THE_DRIVER])
    arguments = {key: value for key, value in _SESSION.items() if key not in url.query}
    if isinstance(threshold, str):
        arguments[_OF_THE_DRIVER] = int(threshold)
    engine = create_engine(url, pool_size=3, max_overflow=2, connect_args=arguments)
    _look_after(engine)

    @event.listens_for(engine, "do_connect")
    def sign_in(*event_arguments: Any) -> None:
        parameters: dict[str, Any] = event_arguments[-1]  # behind dialect, record and what has no name
        now = make_url(read()).difference_update_query([_OF_THE_DRIVER])
        if _name_database(now) != _name_database(url):
            raise StoreError(
                f"store.url names {_name_database(now)} now, and this syncd works with {_name_database(url)}: start it "
                "again, so that it works with the new one"
            )
        _, fresh = engine.dialect.create_connect_args(now)
        for name in _LETS_IN:
            parameters.pop(name, None)
            if (value := fresh.get(name)) is not None:
                parameters[name] = value

    event.listen(engine, "connect", _prepare, insert=True)  # before SQLAlchemy asks anything itself
    return engine


def refuse_writes(engine: Engine) -> None:
    """Have the server refuse whatever would write in a session of this engine, within a transaction and without."""

    @event.listens_for(engine, "connect")
    def tell(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")
        connection.commit()


def _look_after(engine: Engine) -> None:
    """Have a session that rested for a while asked whether it is still there, before anybody gets it again.

    Asking each time, as SQLAlchemy can, would be a way to the server and back for every statement. One that was used a
    moment ago is there, or has ended in that moment, which its user has to bear in any case.
    """

    @event.listens_for(engine, "checkin")  # codespell:ignore checkin
    def note(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info["rests since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ask(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        rested = time.monotonic() - record.info.get("rests since", math.inf)
        if rested > _FRESH_SECONDS:
            try:
                engine.dialect.do_ping(connection)
            except engine.dialect.loaded_dbapi.Error as error:
                raise InvalidatePoolError from error


def _name_database(url: URL) -> str:
    places = {name: value for name, value in url.query.items() if name in _PLACES}
    bare = URL.create(url.drivername, host=url.host, port=url.port, database=url.database, query=places)
    return bare.render_as_string()


def _prepare(connection: Any, _record: object) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        name = connection.info.dbname
        raise StoreError(
            f'the database "{name}" is encoded as {encoding}, in which the names of people do not all fit: make one by '
            f"CREATE DATABASE syncd ENCODING 'UTF8' TEMPLATE template0, and name it in store.url"
        )
    # Compiling a statement to machine code pays off after seconds; ours are many, and each takes milliseconds.
    with connection.cursor() as cursor:
        cursor.execute("SET jit = off")
    connection.commit()


def refuse_pooler(engine: Engine) -> None:
    """Raise StoreError where the next transaction of a connection may be another session's.

    So does a pooler that lends its sessions for single transactions (PgBouncer: pool_mode = transaction): the lock that
    lets only one syncd work would stay behind in a session that nobody holds. Such a pooler lends the session that
    was just given back to the next one who asks: that is looked for, with a few transactions at once.
    """
    with ExitStack() as opened:
        first = opened.enter_context(engine.connect())
        process = _find_process(first)
        first.commit()
        for _ in range(_BESIDES):
            other = opened.enter_context(engine.connect())
            if _find_process(other) == process:  # its transaction stays open
                raise _make_refusal(engine)
        if _find_process(first) != process:
            raise _make_refusal(engine)


def give_back(session: Connection) -> None:
    """Give back what locks the session has, and wait a second at most until the server has done so.

    A server takes them back some time after a session has ended, and whoever asks in between finds them taken; asked
    by a statement, it does so before it answers. One that does not answer is not waited for.
    """
    import psycopg  # a store of SQLite does without it

    with suppress(psycopg.Error, SQLAlchemyError):
        connection = session.connection.dbapi_connection
        if isinstance(connection, psycopg.Connection):
            connection.pgconn.send_query(b"SELECT pg_advisory_unlock_all()")
            answer = select.poll()  # of any number of descriptors
            answer.register(connection.pgconn.socket, select.POLLIN)
            answer.poll(_PATIENCE_SECONDS * 1000)


def _find_process(connection: Connection) -> int:
    return int(connection.execute(_PROCESS).scalar_one())


def _make_refusal(engine: Engine) -> StoreError:
    return StoreError(
        f"the store at {_name_database(engine.url)} is behind a pooler that lends its sessions for single "
        "transactions (PgBouncer: pool_mode = transaction), where no lock holds: two daemons would work at once. Name "
        "the server itself in store.url, or a pool with pool_mode = session"
    )
