# -*- test-case-name: tests.database.test_move -*-
"""
A SQLite file whose records may be moved to a server while the process runs, behind the same object.

Each transaction on the file looks for the mark of ``_fence`` when it begins.  The first that finds it, in whichever
thread, notes the server; every thread drops its connection to the file when it begins the next time, and connects to
the server.  What waited for the file's lock, because a move held it, goes on there in its order.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from attrs import define, field
from sqlalchemy import Connection, Engine, NestedTransaction
from twisted.logger import Logger

from cloudd.interfaces.database import Server

from ._control import FileDriver, make_engine
from ._driver import Fate
from ._fence import DatabaseMoved, is_fenced, moved_to
from ._turn import Turn
from ._version import CommitWatch

if TYPE_CHECKING:
    from ._postgres import ServerDriver

log = Logger()


@define(eq=False)
class MovableDriver:
    """
    :param file: where the records are at first
    """

    _file: FileDriver
    _expected: ServerDriver | None = field(init=False, default=None)  # a move there is about to begin
    _there: ServerDriver | None = field(init=False, default=None)  # set once, in one step, by any thread

    @property
    def server(self) -> Server | None:
        """Where the records are; ``None``: in the file, as far as anybody here has met."""
        return None if self._there is None else self._there.server

    @property
    def engine(self) -> Engine:
        """That of now."""
        engine: Engine = self._now.engine
        return engine

    @property
    def _now(self) -> Any:
        return self._there or self._file

    def connect(self, *, writes: bool) -> Connection:
        connection: Connection = self._now.connect(writes=writes)
        return connection

    def close(self, connection: Connection, /) -> None:
        self._file.close(connection)

    def begin(self, connection: Connection, /, *, writes: bool) -> None:
        if not _is_on_file(connection):
            self._now.begin(connection, writes=writes)
            return
        if self._there is None:
            self._file.begin(connection, writes=writes)
            try:
                server = _moved_to(connection)
            except BaseException:
                self._file.rollback(connection)  # who finds it busy begins again
                raise
            if server is None:
                return
            self._move(server)
        raise DatabaseMoved("the records are on another database")

    def expect(self, server: Server) -> None:
        """
        Do now what takes long when a server is met for the first time.  Blocks; in any thread.

        :raises DatabaseAway: it cannot be reached
        """
        driver = _server_driver(server)
        driver.close(driver.connect(writes=True))
        self._expected = driver

    def _move(self, server: Server) -> None:
        if self._there is not None:
            return
        log.info("the records were moved to {server}", server=server.name)
        expected = self._expected
        is_known = expected is not None and expected.server == server
        self._there = expected if is_known else _server_driver(server)

    def commit(self, connection: Connection, /) -> None:
        self._of(connection).commit(connection)

    def rollback(self, connection: Connection, /) -> None:
        self._of(connection).rollback(connection)

    def savepoint(self, connection: Connection, /) -> NestedTransaction:
        return self._file.savepoint(connection)

    def release(self, connection: Connection, savepoint: NestedTransaction, /) -> None:
        self._file.release(connection, savepoint)

    def undo(self, connection: Connection, savepoint: NestedTransaction, /) -> None:
        self._file.undo(connection, savepoint)

    def is_busy(self, error: BaseException, /) -> bool:
        return bool(self._file.is_busy(error) or (self._there is not None and self._now.is_busy(error)))

    def is_lost(self, error: BaseException, /) -> bool:
        """A connection to a file that was moved is lost: another one leads to the server."""
        return isinstance(error, DatabaseMoved) or bool(self._now.is_lost(error))

    def ticket(self, connection: Connection, /) -> Any:
        return self._of(connection).ticket(connection)

    def fate(self, connection: Connection, ticket: Any, /) -> Fate:
        fate: Fate = self._of(connection).fate(connection, ticket)
        return fate

    def turn(self) -> Turn:
        """The file's; the writer goes on to take it when the file was moved, which costs two system calls."""
        return self._file.turn()

    def needs_tending(self) -> float | None:
        return None if self._there is not None else self._file.needs_tending()

    def tend(self, connection: Connection, /) -> None:
        if _is_on_file(connection):
            self._file.tend(connection)

    def commit_watch(self) -> CommitWatch:
        return self._file.commit_watch()

    def _of(self, connection: Connection) -> Any:
        return self._file if _is_on_file(connection) else self._now


def _moved_to(connection: Connection) -> Server | None:
    """What the mark says; ``None``: there is none."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return moved_to(raw) if is_fenced(raw) else None


def _server_driver(server: Server) -> ServerDriver:
    # What speaks to servers is loaded where there is one.
    from ._postgres import ServerDriver

    return ServerDriver(make_engine(server.url, server.password_file), server)


def _is_on_file(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"
