# -*- test-case-name: tests.database.test_checkpoint -*-
"""
When the log of a SQLite file is copied into it, and how hard that is tried; see ``_turn`` for who may.

The log's file keeps its size when it is written anew from its beginning: overwriting costs half as much as growing,
since the file system has less to note at each ``fsync``.  So the file grows only when the log has outgrown all that
it ever was, and that is the sign to make a checkpoint; its size, asked by path, tells all.  (It is never opened: see
``_sqlite._make``.)  A file beyond ``LARGE`` is cut down to nothing.

A reader that began before the last commit keeps the log from being copied whole.  Under the turn no commit comes, so
readers are waited for, shortly; then the next try is when the log has grown by ``STEP``.  The log is thus bounded by
``LARGE`` as long as no read lasts, with two transactions on top, which may be large; under a read of minutes it grows.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from attrs import frozen

USUAL = 8 << 20
LARGE = 32 << 20
STEP = 4 << 20
SHORT_S = 0.01
LONG_S = 0.2
_NAP_S = 0.001


@frozen
class Checkpoint:
    """How one is made.  ``RESTART``: the file keeps its size; ``TRUNCATE``: it is cut down."""

    mode: str
    patience_s: float  # with others that begin to write, and then with readers


def decide(size: int, mark: int) -> Checkpoint | None:
    """
    Whether the log needs a checkpoint now.

    :param size: of the log's file
    :param mark: what ``next_mark`` said last, at first ``USUAL``
    """
    if size < mark:
        return None
    return Checkpoint("RESTART", SHORT_S) if size < LARGE else Checkpoint("TRUNCATE", LONG_S)


def next_mark(size: int, *, whole: bool) -> int:
    """
    The size of the log's file that calls for the next checkpoint.

    :param size: after the last one
    :param whole: whether the log was copied whole, and begins anew
    """
    return max(USUAL, size + 1) if whole else size + STEP


class Log:
    """The log of one database, as its writer sees it."""

    def __init__(self, database: Path) -> None:
        self._path = f"{database}-wal"
        self._mark = USUAL

    def is_due(self) -> bool:
        """Whether ``tend`` has something to do."""
        return self.patience_s() is not None

    def patience_s(self) -> float | None:
        """For how long to try to have the turn for ``tend``; ``None``: it has nothing to do."""
        checkpoint = decide(self._size(), self._mark)
        return None if checkpoint is None else checkpoint.patience_s

    def tend(self, connection: sqlite3.Connection) -> None:
        """
        Make a checkpoint if one is due; blocks for ``LONG_S`` and the disk.  Only to be called in one's turn.

        :param connection: without a transaction
        """
        checkpoint = decide(self._size(), self._mark)
        if checkpoint is None:
            return
        whole = False
        try:
            whole = _make(connection, checkpoint)
        finally:  # one that fails is not tried again at each commit either
            self._mark = next_mark(self._size(), whole=whole)

    def _size(self) -> int:
        try:
            size = os.stat(self._path).st_size  # noqa: PTH116 - asked at every commit
        except OSError:  # not there yet; whatever else is wrong, the database says it better
            return 0
        # Somebody cut it down: what we saw of it before is no measure any more.
        self._mark = min(self._mark, max(USUAL, size + STEP))
        return size


def _make(connection: sqlite3.Connection, checkpoint: Checkpoint) -> bool:
    """Whether the log was copied whole before patience ended."""
    deadline = time.monotonic() + checkpoint.patience_s
    while True:
        busy = connection.execute(f"PRAGMA wal_checkpoint({checkpoint.mode})").fetchone()[0]
        if not busy or time.monotonic() >= deadline:
            return not busy
        time.sleep(_NAP_S)
