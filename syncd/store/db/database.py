"""The database behind the store: engine, transactions, the worker thread and the schema's revision.

Nothing else in the program knows whether it is SQLite or PostgreSQL. All database work of a running sync goes through
one thread (`call`), so that the event loop never waits for a disk and SQLite never meets a second writer of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Executable, QueuePool, Row, create_engine, event, make_url
from sqlalchemy.engine import URL, Dialect, Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.util import LRUCache

from syncd.errors import StoreError
from syncd.store.db.address import show_address
from syncd.store.db.postgresql import make_engine, refuse_writes
from syncd.store.db.store_file import FileWatch, find_missing_locks

_STATEMENTS = 4000
"""So many compiled statements are kept for all files together."""

P = ParamSpec("P")
T = TypeVar("T")
AnyRow = Row[*tuple[Any, ...]]


class Database:
    """One store. Open it with `open_database`, close it when done; not to be shared between processes' forks."""

    def __init__(self, engine: Engine, watch: FileWatch | None = None) -> None:
        self.engine = engine
        self._watch = watch
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    @property
    def dialect(self) -> str:
        """Return ``sqlite`` or ``postgresql``."""
        return self.engine.dialect.name

    @cached_property
    def reader(self) -> Engine:
        """Return the engine of transactions that only read; see `reading`."""
        return self.engine.execution_options(reads_only=True)

    @cached_property
    def _alone(self) -> Engine:
        """Return the engine of single statements, which need no transaction around them.

        A server is told neither of its beginning nor of its end, which are two more ways there and back.
        """
        if self.dialect == "sqlite":
            return self.engine.execution_options(alone=True)
        return self.engine.execution_options(isolation_level="AUTOCOMMIT")

    def check_file(self) -> None:
        """Raise StoreError when the file of this store is gone or another one since it was opened."""
        if self._watch is not None:
            self._watch.check()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Run a short transaction: committed at the end, rolled back on error; database errors become StoreError."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(explain(error, self.engine.url)) from error

    def load_rows(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[AnyRow]:
        """Return the rows of one statement that only reads: it is a transaction by itself. Raises StoreError."""
        with self.asking() as connection:
            return connection.execute(statement, parameters).all()

    def load_row(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> AnyRow | None:
        """Return the first row of such a statement, None when there is none. Raises StoreError."""
        with self.asking() as connection:
            return connection.execute(statement, parameters).first()

    def load_values(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> list[Any]:
        """Return the first column of such a statement. Raises StoreError."""
        with self.asking() as connection:
            return list(connection.execute(statement, parameters).scalars())

    def load_value(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Any:
        """Return the first value of such a statement, None when there is no row. Raises StoreError."""
        with self.asking() as connection:
            return connection.execute(statement, parameters).scalar()

    @contextmanager
    def asking(self) -> Iterator[Connection]:
        """Yield a connection for one reading statement, which is a transaction by itself. Raises StoreError."""
        try:
            with self._alone.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(explain(error, self.engine.url)) from error

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` in the store's thread. A cancelled caller still waits for it: no transaction is left running."""
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._thread, lambda: work(*args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # a failure that nobody waits for any more would be logged whole by the event loop
            raise

    @property
    def address(self) -> str:
        """Return where the store is, without user, password and options: fit for a log line."""
        url = self.engine.url
        name = str(Path(url.database).absolute()) if self.dialect == "sqlite" and url.database else url.database
        return str(URL.create(url.drivername, host=url.host, port=url.port, database=name))

    def trim_log(self) -> None:
        """Empty SQLite's write-ahead log when it has grown, since between runs nothing needs it. Never fails.

        Waits for nobody: whoever reads an older state beside it keeps that, and the next run tries again.
        """
        if self._watch is None or self._watch.find_log_size() <= _LOG_AT_REST:
            return
        with contextlib.suppress(StoreError), self.asking() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout=0")
            try:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
            finally:
                connection.exec_driver_sql(f"PRAGMA {_BUSY}")

    def close(self) -> None:
        """Wait for the work in hand and close every connection."""
        self._thread.shutdown(wait=True)
        self.engine.dispose()


class Compiled:
    """The program's statements in the words of SQLite, for a process that opens one file after the other.

    They are kept with an engine otherwise, and making them anew takes longer than a small run.
    """

    def __init__(self) -> None:
        self._dialect: Dialect | None = None
        self._statements: LRUCache[Any, Any] = LRUCache(_STATEMENTS)

    def share(self, engine: Engine) -> None:
        """Let a new engine use what others have compiled. The dialect object is part of what a statement is kept by."""
        self._dialect = engine.dialect = self._dialect or engine.dialect
        engine.update_execution_options(compiled_cache=self._statements)


def open_database(url: str, read: Callable[[], str] | None = None, *, compiled: Compiled | None = None) -> Database:
    """Return a database for a URL of the configuration. Nothing is created, and nothing is asked of it, yet.

    ``read`` gives the URL as it is now, for new sessions with a server: its credentials may have been rotated.
    ``compiled``: what it shares with others that this process opens, of SQLite files.
    """
    parsed = make_url(url)
    try:
        if parsed.get_backend_name() == "sqlite":
            return _open_sqlite(parsed, compiled)
        engine = make_engine(url, read or (lambda: url))
    except (SQLAlchemyError, ImportError) as error:
        raise StoreError(f"the store at {show_address(parsed)} cannot be used: {error}") from error
    return Database(engine)


# WAL lets the commands read while a daemon writes. NORMAL keeps the store consistent through a power cut and loses
# nothing at a kill; what a power cut may take back is repeated, since every write of ours is idempotent. A full pull
# dirties the same index pages in every transaction: a longer log, of 64 MB at most and only within a run, lets a
# checkpoint write each once.
_BUSY = "busy_timeout=30000"
_LOG_AT_REST = 1 << 20
"""So many bytes of log may stay between runs: a small run leaves less, and pays nothing."""
_SQLITE = (
    _BUSY,
    "synchronous=NORMAL",
    "cache_size=-8000",
    "temp_store=FILE",
    "wal_autocheckpoint=16000",
)


def _open_sqlite(url: URL, compiled: Compiled | None) -> Database:
    in_file = bool(url.database) and url.database != ":memory:" and not str(url.database).startswith("file:")
    named = in_file and not url.query
    watch = FileWatch(Path(url.database or "").absolute()) if named else None

    def connect() -> Any:
        if watch is not None:
            watch.check()  # before SQLite makes an empty file where ours has been
        if in_file:
            _make_private(Path(url.database or ""))
        arguments, options = engine.dialect.create_connect_args(url)
        ours: dict[str, Any] = {**options, "timeout": 0.0, "check_same_thread": False, "isolation_level": None}
        connection: Any = engine.dialect.connect(*arguments, **ours)
        try:
            first = _ask_first(connection, "PRAGMA journal_mode=WAL", url if in_file else None)
            if in_file and first != ("wal",):  # without shared memory, as on a network share
                _refuse_unlockable(url, f"journal_mode stays {first[0]}")
            for pragma in _SQLITE:
                connection.execute(f"PRAGMA {pragma}").fetchone()
        except BaseException:  # of a damaged file: nobody else would close it
            connection.close()
            raise
        if watch is not None:
            watch.note()
        return connection

    engine = create_engine(url, creator=connect)
    if compiled is not None:
        compiled.share(engine)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if watch is not None:
            watch.check()
        options = connection.get_execution_options()
        if not options.get("alone"):  # a single statement is a transaction without being told
            connection.exec_driver_sql("BEGIN" if options.get("reads_only") else "BEGIN IMMEDIATE")

    return Database(engine, watch)


def _ask_first(connection: Any, statement: str, url: URL | None) -> Any:
    """Return the one row of the statement that asks for the first lock. Raises StoreError where there are no locks."""
    try:
        return connection.execute(statement).fetchone()
    except sqlite3.OperationalError:
        if url is not None and (said := find_missing_locks(Path(url.database or "").absolute().parent)):
            _refuse_unlockable(url, said)
        connection.execute(f"PRAGMA {_BUSY}")  # somebody else has it, who will give it back
        return connection.execute(statement).fetchone()


def open_to_read(url: str) -> Database:
    """Return a database that refuses every write, whoever asks for one: to look at a store beside its owner.

    A SQLite file is opened read-only, and is not created; PostgreSQL is told that each transaction only reads.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        database = open_database(url)
        refuse_writes(database.engine)
        return database

    path = Path(parsed.database or "").absolute()

    def connect() -> Any:
        address = f"file:{quote(str(path))}?mode=ro"
        try:
            return _connect_to_read(address, parsed)
        except (sqlite3.OperationalError, StoreError):
            if path.with_name(f"{path.name}-wal").exists():
                raise
            return _connect_to_read(f"{address}&immutable=1", parsed)  # a folder in which not even an index may be made

    engine = create_engine(parsed.set(query={}), creator=connect, poolclass=QueuePool, pool_size=1)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if not connection.get_execution_options().get("alone"):
            connection.exec_driver_sql("BEGIN")

    return Database(engine)


def _connect_to_read(address: str, url: URL) -> Any:
    connection = sqlite3.connect(address, uri=True, timeout=0.0, check_same_thread=False, isolation_level=None)
    try:
        _ask_first(connection, "SELECT count(*) FROM sqlite_master", url)
        connection.execute(f"PRAGMA {_BUSY}")
    except BaseException:
        connection.close()
        raise
    return connection


def _make_private(path: Path) -> None:
    """Make the file, where there is none, so that nobody else may read it.

    SQLite gives its -wal and -shm the same mode. Who may read an older file is the operator's decision.
    """
    with contextlib.suppress(OSError):  # SQLite says what is wrong
        os.close(os.open(path.resolve(), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


@contextmanager
def reading(database: Database) -> Iterator[Connection]:
    """Run a read-only transaction that never waits for a writer (SQLite WAL) and never blocks one."""
    try:
        with database.reader.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise StoreError(explain(error, database.engine.url)) from error


def explain(error: SQLAlchemyError, url: URL) -> str:
    """Return one sentence for an operator: which store, what it said, and what to do."""
    where = show_address(url)
    said = " ".join(str(getattr(error, "orig", None) or error).split()).partition(" DETAIL: ")[0][
        :300
    ]  # rows are in it
    if isinstance(error, OperationalError) and "unable to open database file" in said:
        at = Path(url.database or ".").parent
        return f"the store at {where} cannot be opened ({said}): does {at} exist, and may syncd write to it?"
    if "locking protocol" in said or "database is locked" in said:
        return _explain_no_locks(url, said)
    if "disk I/O error" in said:
        return (
            f"the store at {where} could not be read or written ({said}): the disk is broken, or a quota or a limit on "
            "the size of files is used up; nothing that was committed is lost"
        )
    if "disk is full" in said or "No space left" in said:
        return (
            f"the store at {where} has no room left ({said}): free some disk space; nothing that was committed is lost"
        )
    return f"the store at {where} failed: {said}"


def _explain_no_locks(url: URL, said: str) -> str:
    return (
        f"the store at {show_address(url)} cannot be locked ({said}): is the file on a network "
        "share, or does another program hold it? A SQLite store belongs on a local disk; elsewhere use PostgreSQL"
    )


def _refuse_unlockable(url: URL, said: str) -> NoReturn:
    raise StoreError(_explain_no_locks(url, said))
