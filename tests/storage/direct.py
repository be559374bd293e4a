"""
A file store without threads: every call is done when it returns, so that a test sees each step.

``DirectThreads`` and ``DirectIndex`` stand for the daemon's thread pool and database.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from storage import FileStore


class DirectThreads:
    """Calls at once, in the caller's thread."""

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        return maybeDeferred(function, *args, **kwargs)


class DirectIndex:
    """
    A database in the caller's thread.

    ``fail_commit``: raised by the next write, before or ``after`` its commit.
    """

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self._watch = sqlite3.connect(path, isolation_level=None)
        self.fail_commit: Exception | None = None
        self.after_commit = False

    def read(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        return maybeDeferred(function, self.connection, *args, **kwargs)

    def write(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        return maybeDeferred(self._write, function, args, kwargs)

    def version(self) -> int | None:
        number: int = self._watch.execute("PRAGMA data_version").fetchall()[0][0]
        return number

    def close(self) -> None:
        self.connection.close()
        self._watch.close()

    def _write(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        self.connection.execute("BEGIN IMMEDIATE")
        error, self.fail_commit = self.fail_commit, None
        try:
            result = function(self.connection, *args, **kwargs)
            if error is not None and not self.after_commit:
                raise error
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        if error is not None:
            raise error
        return result


def direct_store(folder: Path, index: DirectIndex, clock: Clock | None = None, reserve_bytes: int = 0) -> FileStore:
    """A store that works in the caller's thread; not recovered yet."""
    if clock is None:
        clock = Clock()
        clock.advance(1_700_000_000)
    return FileStore(folder, index, DirectThreads(), clock, reserve_bytes=reserve_bytes)


def files_below(folder: Path) -> list[str]:
    """Names of all data files, in ``incoming/`` and ``data/``; no locks."""
    return sorted(
        path.name for path in (*folder.glob("incoming/*"), *folder.glob("data/*/*")) if not path.name.endswith(".lock")
    )
