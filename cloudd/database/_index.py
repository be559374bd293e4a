# -*- test-case-name: tests.database.test_group_commit -*-
"""The object index: plain ``sqlite3``, since its statements are the hottest ones."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from attrs import Factory, field, frozen

from . import _sqlite
from ._checkpoint import Log
from ._driver import Fate
from ._group_commit import GroupCommit
from ._turn import Turn
from ._version import CommitWatch


@frozen
class _IndexDriver:
    """Functions get a ``sqlite3.Connection`` inside a transaction that is begun and ended for them."""

    path: Path
    synchronous: str
    _log: Log = field(init=False, default=Factory(lambda self: Log(self.path), takes_self=True))

    def connect(self, *, writes: bool) -> sqlite3.Connection:
        return _sqlite.connect(self.path, writes=writes, synchronous=self.synchronous)

    def close(self, connection: sqlite3.Connection, /) -> None:
        connection.close()

    def begin(self, connection: sqlite3.Connection, /, *, writes: bool) -> None:
        connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")

    def commit(self, connection: sqlite3.Connection, /) -> None:
        connection.execute("COMMIT")

    def rollback(self, connection: sqlite3.Connection, /) -> None:
        if connection.in_transaction:
            connection.execute("ROLLBACK")

    def savepoint(self, connection: sqlite3.Connection, /) -> None:
        connection.execute("SAVEPOINT one")

    def release(self, connection: sqlite3.Connection, _: Any, /) -> None:
        connection.execute("RELEASE one")

    def undo(self, connection: sqlite3.Connection, _: Any, /) -> None:
        connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")

    def is_busy(self, error: BaseException, /) -> bool:
        return _sqlite.is_busy(error)

    def is_lost(self, _error: BaseException, /) -> bool:
        return False  # a file is always there

    def ticket(self, _connection: sqlite3.Connection, /) -> None:
        return None

    def fate(self, _connection: sqlite3.Connection, _ticket: Any, /) -> Fate:
        return "unknown"

    def turn(self) -> Turn:
        return Turn(self.path)

    def needs_tending(self) -> float | None:
        return self._log.patience_s()

    def tend(self, connection: sqlite3.Connection, /) -> None:
        self._log.tend(connection)

    def commit_watch(self) -> CommitWatch:
        return CommitWatch(lambda: _sqlite.connect(self.path, writes=False))


def open_object_index(
    path: Path, *, reactor: Any, threads: int = 4, synchronous: str = "FULL"
) -> GroupCommit[sqlite3.Connection]:
    """
    The database of one object index; its owner creates the tables with ``write``.

    :param path: made on the first call when it is missing; its folder exists
    :param threads: most reads at one time, each on its own connection
    :param synchronous: ``FULL``: a write fires once it is on disk; ``NORMAL`` for an index that can be rebuilt
    """
    return GroupCommit(_IndexDriver(path, synchronous), reactor, "object index", threads, str(path))
