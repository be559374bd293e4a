# -*- test-case-name: tests.database.test_control -*-
"""The control database: SQLAlchemy Core, on a SQLite file or on PostgreSQL (``_postgres``)."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy
from attrs import Factory, define, field
from sqlalchemy import Connection, Engine, NestedTransaction, event
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from cloudd.interfaces.database import SCHEME, BadDatabaseURL, Server

from . import _sqlite
from ._checkpoint import Log
from ._driver import Fate
from ._group_commit import GroupCommit
from ._turn import Turn
from ._version import CommitWatch

WRITES = "cloudd_writes"


def control_url(path: Path | str) -> str:
    """The database URL of a SQLite file; a string that is a URL already stays as it is."""
    text = str(path)
    return text if "://" in text else f"sqlite:///{text}"


def sqlite_file(url: str) -> Path | None:
    """
    The file of a SQLite database; ``None`` for a server's URL.

    :raises BadDatabaseURL: it is neither
    """
    if url.startswith(SCHEME):
        return None  # which libpq reads itself: SQLAlchemy knows no URL with several hosts
    if not url.startswith("sqlite:///"):
        raise BadDatabaseURL(f"{url.partition(':')[0]}: is no kind of database that cloudd knows: write {SCHEME}...")
    return Path(make_url(url).database or "")


def make_engine(url: str, password_file: str = "") -> Engine:
    """An engine without a pool: each thread holds its own connection for good."""
    path = sqlite_file(url)
    if path is None:
        from . import _postgres

        return _postgres.make_engine(Server(url, password_file))

    def connect() -> sqlite3.Connection:
        return _sqlite.connect(path, writes=True)

    engine = sqlalchemy.create_engine("sqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "begin", _begin_on_sqlite)
    return engine


def _begin_on_sqlite(connection: Connection) -> None:
    # The sqlite3 module is in autocommit (`_sqlite.connect`), so that a transaction begins where we say.
    writes = connection.get_execution_options().get(WRITES, True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@define(eq=False)
class ControlDriver:
    """Functions get a ``sqlalchemy.Connection`` inside a transaction that is begun and ended for them."""

    engine: Engine

    def close(self, connection: Connection, /) -> None:
        connection.invalidate()
        connection.close()

    def begin(self, connection: Connection, /, *, writes: bool) -> None:
        connection.begin()

    def commit(self, connection: Connection, /) -> None:
        connection.commit()

    def rollback(self, connection: Connection, /) -> None:
        connection.rollback()

    def savepoint(self, connection: Connection, /) -> NestedTransaction:
        return connection.begin_nested()

    def release(self, _: Connection, savepoint: NestedTransaction, /) -> None:
        savepoint.commit()

    def undo(self, _: Connection, savepoint: NestedTransaction, /) -> None:
        savepoint.rollback()


@define(eq=False)
class FileDriver(ControlDriver):
    """On a SQLite file that stays what it is; see ``_movable``."""

    file: Path
    _log: Log = field(init=False, default=Factory(lambda self: Log(self.file), takes_self=True))

    def connect(self, *, writes: bool) -> Connection:
        connection = self.engine.connect().execution_options(**{WRITES: writes})
        if not writes:
            _raw(connection).execute("PRAGMA query_only = ON")
        return connection

    def is_busy(self, error: BaseException, /) -> bool:
        return _sqlite.is_busy(_sqlite.origin(error))

    def is_lost(self, _error: BaseException, /) -> bool:
        return False  # a file is always there

    def ticket(self, _connection: Connection, /) -> None:
        return None

    def fate(self, _connection: Connection, _ticket: Any, /) -> Fate:
        return "unknown"

    def turn(self) -> Turn:
        return Turn(self.file)

    def needs_tending(self) -> float | None:
        return self._log.patience_s()

    def tend(self, connection: Connection, /) -> None:
        self._log.tend(_raw(connection))  # beside SQLAlchemy, which would begin a transaction

    def commit_watch(self) -> CommitWatch:
        return CommitWatch(lambda: _sqlite.connect(self.file, writes=False))


def _raw(connection: Connection) -> sqlite3.Connection:
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


class ControlDatabase(GroupCommit[Connection]):
    """The control database of one process."""

    @property
    def server(self) -> Server | None:
        """The server that the records are on; ``None``: they are in a SQLite file, as far as this process knows."""
        found: Server | None = getattr(self._driver, "server", None)
        return found

    def expect(self, server: Server) -> None:
        """
        The records may be moved there soon: get ready.  Blocks; in any thread.

        :raises DatabaseAway: the server cannot be reached
        """
        expect = getattr(self._driver, "expect", None)
        if expect is not None:
            expect(server)

    def version(self) -> int | None:
        """``None`` for good when the records were moved: what was kept by a number of the file is void."""
        if self._watch is not None and self.server is not None:
            self._watch.close()
            self._watch = None
        return super().version()

    def forget_statements(self) -> None:
        """Empty the cache of compiled statements: it can hold values of a generation that is to be freed."""
        engine: Engine = getattr(self._driver, "engine")  # noqa: B009
        engine.clear_compiled_cache()


def open_control_database(
    database: Path | str,
    *,
    reactor: Any,
    threads: int = 4,
    password_file: str = "",
    in_background: bool = False,
) -> ControlDatabase:
    """
    The control database, already migrated (``migrate``); nothing is opened before the first call.

    A SQLite file's records may be moved to a server meanwhile (``Move``): the object stays, and goes on there.

    :param database: path of a SQLite file, or a database URL
    :param threads: most reads at one time, each on its own connection
    :param password_file: of the server; read at each connect
    :param in_background: no client waits for what is written here: on a SQLite file other processes go before
    :raises BadDatabaseURL: such a database is not known
    """
    url = control_url(database)
    file = sqlite_file(url)
    engine = make_engine(url, password_file)
    if file is not None:
        from ._movable import MovableDriver

        driver = MovableDriver(FileDriver(engine, file))
        return ControlDatabase(driver, reactor, "control database", threads, str(file), in_background)
    from ._postgres import ServerDriver

    return ControlDatabase(ServerDriver(engine, Server(url, password_file)), reactor, "control database", threads)
