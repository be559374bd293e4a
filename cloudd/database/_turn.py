# -*- test-case-name: tests.database.test_turn -*-
"""
Whose turn it is to change a SQLite file: one process at a time writes or makes a checkpoint, by a lock of our own.

**Why.**  SQLite 3.7.0 to 3.51.2 (but for 3.44.6 and 3.50.7; Debian 12 has 3.40.1) has the "WAL-reset bug",
https://sqlite.org/wal.html#walresetbug: a checkpoint reads where the log ends, and meanwhile a writer starts the log
anew.  The checkpoint then notes its old number as copied, the next one skips as many pages of the new log, and they
are lost.  It takes a checkpoint in one connection and a write, or another checkpoint, in another at the same moment.

**How it is ruled out.**  No connection makes checkpoints by itself (``wal_autocheckpoint = 0``).  Who writes holds the
turn from before ``BEGIN IMMEDIATE`` until after ``COMMIT``, and who holds it and finds the log large makes the
checkpoint before letting go (``_checkpoint``).  So a checkpoint overlaps neither a write nor another checkpoint.  The
lock is exclusive for writes too: SQLite lets but one write at a time anyway, and no checkpoint has to find a gap
between the writes of others.  Beyond that, checkpoints are never ``PASSIVE``: the other kinds also hold SQLite's own
write lock, which nobody contends for under the turn.

**What needs no turn.**

- *Reading* changes nothing in the log; readers and ``CommitWatch`` never wait for the turn.
- *Closing the last connection* makes a checkpoint and deletes the log, but only under SQLite's exclusive lock on the
  database file.  Each connection that uses the log holds a shared lock on that file until it is closed, and takes it
  before it opens the log.  So no other connection can be writing, nor begin to.  (These are POSIX locks: they hold
  because we never open the file ourselves, see ``_sqlite._make``.)
- *Recovery of the log* after a kill takes SQLite's write lock and its checkpoint lock together with all readers'
  locks; it ends before any write or checkpoint can begin, and does not start the log anew.
- *Making a new file* (``journal_mode = WAL``) is written by way of a rollback journal, before there is a log.

**The lock** is ``flock(2)`` on a file of its own, ``NAME.turn``: it belongs to the open file, so that SQLite's POSIX
locks are not touched by it, nor two databases in one process by each other; the kernel frees it when its process is
killed.  It is opened by the writer thread, thus after any fork, and not inherited by other programs.  It is only ever
tried, with ``Patience`` between, and whoever holds one waits for no other lock without an end: no deadlock.

With a fixed SQLite all this stays right, and costs two system calls for each commit.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class TurnTaken(Exception):
    """Another process writes, or makes a checkpoint: try again."""


class Turn:
    """
    The turn for one database, as one thread takes it; nothing is opened before the first ``take``.

    :param database: the SQLite file; the lock's file lies beside it, with mode 0600
    """

    def __init__(self, database: Path) -> None:
        self._path = f"{database}.turn"
        self._descriptor: int | None = None
        self.held = False

    def take(self) -> None:
        """
        Take the turn without waiting; no harm if it is held already.

        :raises TurnTaken: somebody else has it
        """
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TurnTaken(f"another process is writing to {self._path.removesuffix('.turn')}") from None
        self.held = True

    def release(self) -> None:
        """Let the others; no harm if it is not held."""
        if self.held and self._descriptor is not None:
            # Not by closing alone: a child that is about to execute another program shares the open file.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self.held = False

    def close(self) -> None:
        """Let go of the turn and its file; a later ``take`` opens it again."""
        self.release()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
