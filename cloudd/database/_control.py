# -*- test-case-name: tests.database.test_control -*-
"""The control database: SQLAlchemy Core, on SQLite today; other dialects meet the same ``Driver``."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy
from attrs import Factory, define, field
from sqlalchemy import Connection, Engine, NestedTransaction, event
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from . import _sqlite
from ._checkpoint import Log
from ._group_commit import GroupCommit
from ._turn import Turn
from ._version import CommitWatch

_WRITES = "cloudd_writes"


def control_url(path: Path | str) -> str:
    """The database URL of a SQLite file; a string that is a URL already stays as it is."""
    text = str(path)
    return text if "://" in text else f"sqlite:///{text}"


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite database; ``None`` for another one's URL."""
    parsed = make_url(url)
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None


def make_engine(url: str) -> Engine:
    """An engine without a pool: each thread holds its own connection for good."""
    path = sqlite_file(url)
    if path is None:
        return sqlalchemy.create_engine(url, poolclass=NullPool)

    def connect() -> sqlite3.Connection:
        return _sqlite.connect(path, writes=True)

    engine = sqlalchemy.create_engine("sqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "begin", _begin_on_sqlite)
    return engine


def _begin_on_sqlite(connection: Connection) -> None:
    # The sqlite3 module is in autocommit (`_sqlite.connect`), so that a transaction begins where we say.
    writes = connection.get_execution_options().get(_WRITES, True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@define(eq=False)
class _ControlDriver:
    """Functions get a ``sqlalchemy.Connection`` inside a transaction that is begun and ended for them."""

    engine: Engine
    file: Path | None  # of SQLite
    _log: Log | None = field(init=False, default=Factory(lambda self: self.file and Log(self.file), takes_self=True))

    def connect(self, *, writes: bool) -> Connection:
        connection = self.engine.connect().execution_options(**{_WRITES: writes})
        raw = connection.connection.driver_connection
        if not writes and isinstance(raw, sqlite3.Connection):
            raw.execute("PRAGMA query_only = ON")
        return connection

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

    def is_busy(self, error: BaseException, /) -> bool:
        return _sqlite.is_busy(_sqlite.origin(error))

    def turn(self) -> Turn | None:
        return None if self.file is None else Turn(self.file)

    def needs_tending(self) -> float | None:
        return None if self._log is None else self._log.patience_s()

    def tend(self, connection: Connection, /) -> None:
        raw = connection.connection.driver_connection  # beside SQLAlchemy, which would begin a transaction
        if self._log is not None and isinstance(raw, sqlite3.Connection):
            self._log.tend(raw)

    def commit_watch(self) -> CommitWatch | None:
        file = self.file
        return None if file is None else CommitWatch(lambda: _sqlite.connect(file, writes=False))


class ControlDatabase(GroupCommit[Connection]):
    """The control database of one process."""

    def forget_statements(self) -> None:
        """Empty the cache of compiled statements: it can hold values of a generation that is to be freed."""
        driver = self._driver
        assert isinstance(driver, _ControlDriver)
        driver.engine.clear_compiled_cache()


def open_control_database(database: Path | str, *, reactor: Any, threads: int = 4) -> ControlDatabase:
    """
    The control database, already migrated (``migrate``); nothing is opened before the first call.

    :param database: path of a SQLite file, or a database URL
    :param threads: most reads at one time, each on its own connection
    """
    url = control_url(database)
    file = sqlite_file(url)
    driver = _ControlDriver(make_engine(url), file)
    return ControlDatabase(driver, reactor, "control database", threads, str(file or ""))
