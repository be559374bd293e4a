# -*- test-case-name: tests.database.test_version -*-
"""
Whether anything was committed to a SQLite file: by this process or another, asked on the reactor in some microseconds.

``PRAGMA data_version`` on a connection that never writes changes with every commit of all others.  **It does not wait
for disk or for writers**: it takes a reader's lock in shared memory (two fcntl(2) that fail instead of waiting, and
there is no busy handler), compares the log's header, which lies in shared memory too, and lets go.  After a change it
reads the file's first page again, which every transaction has just read or written.  The one exception is a process
killed in the very middle of writing that header: who asks next, this or any other call, reads the log once to mend it.

A commit is in that header before whoever made it is told so.  So who was told and asks afterwards, in whichever
process, sees another number; that is what a cache needs to stay right.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable


class CommitWatch:
    """
    Gives numbers that stay the same as long as nobody commits.

    ``open`` blocks and belongs in a thread; the rest in one other thread, the reactor's.

    :param connect: gives a connection of its own in autocommit, with no time-out
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._seen = 0
        self._number = 0

    def open(self) -> sqlite3.Connection:
        """A connection that has read everything it will need; for ``use``."""
        connection = self._connect()
        connection.execute("PRAGMA data_version").fetchall()
        return connection

    def use(self, connection: sqlite3.Connection) -> None:
        """Ask ``connection`` from now on."""
        self.close()
        self._connection = connection
        self._number += 1  # another connection counts anew

    def number(self) -> int | None:
        """The number now; ``None`` when it cannot be told and a connection is needed."""
        if self._connection is None:
            return None
        try:
            seen: int = self._connection.execute("PRAGMA data_version").fetchall()[0][0]
        except sqlite3.Error:
            self.close()
            return None
        if seen != self._seen:
            self._seen = seen
            self._number += 1
        return self._number

    def close(self) -> None:
        """Let go of the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
