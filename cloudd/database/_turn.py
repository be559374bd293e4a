# -*- test-case-name: tests.database.test_turn -*-
"""
Whose turn it is with the log of a SQLite file: while one process makes a checkpoint, no other writes.

**Why.**  SQLite 3.7.0 to 3.51.2 (but for 3.44.6 and 3.50.7; Debian 12 has 3.40.1) has the "WAL-reset bug",
https://sqlite.org/wal.html#walresetbug: a checkpoint reads where the log ends, and meanwhile a writer starts the log
anew.  The checkpoint then notes its old number as copied, the next one skips as many pages of the new log, and they
are lost.  It takes a checkpoint in one connection and a write, or another checkpoint, in another at the same moment.

**How it is ruled out.**  No connection makes checkpoints by itself (``wal_autocheckpoint = 0``).  There is a lock:

1. Who writes holds it shared while ``BEGIN IMMEDIATE`` is executed, and lets go.
2. Who is in such a transaction and finds the log large takes the lock alone, commits, makes the checkpoint
   (``_checkpoint``) and lets go.

Then a checkpoint overlaps no other's write: one that began before the lock was taken alone had ended, since we were in
a transaction ourselves and SQLite lets but one write at a time; and none begins until the lock is let go.  Nor does it
overlap another checkpoint.  The lock is held shared for some microseconds only, so whoever wants it alone has it soon,
and processes that write hold each other up no more than SQLite makes them.  Beyond that, checkpoints are never
``PASSIVE``: the other kinds also hold SQLite's own write lock.

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
tried, for a limited time, and a checkpoint that cannot be made now is made after another commit: no deadlock.

With a fixed SQLite all this stays right, and costs some system calls for each commit.
"""

from __future__ import annotations

import time
from pathlib import Path

from ._line import Line
from ._lock_file import ALONE, SHARED, LockFile

_NAP_S = 0.0002


class TurnTaken(Exception):
    """Another process makes a checkpoint, or is to write before this one: try again."""


class Turn:
    """
    The turn for one database, as one thread takes it.

    :param database: the SQLite file; the lock's file lies beside it
    :ivar line: of those who want to begin
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._lock = LockFile(f"{database}.turn")
        self.line = Line(database)
        self.is_ours = False  # held alone

    def share_in_line(self) -> None:
        """
        ``share``, once it is this one's turn among those who want to; ``line.leave`` ends that.

        :raises TurnTaken: others are to begin before; or see there
        """
        if not self.line.may_try():
            raise TurnTaken(f"others are to write to {self._database} before")
        self.share()

    def share(self) -> None:
        """
        Hold it together with others that begin to write, without waiting.

        :raises TurnTaken: somebody makes a checkpoint
        """
        self.is_ours = False
        if not self._lock.lock(SHARED):
            raise TurnTaken(f"another process makes a checkpoint of {self._database}")

    def take(self, patience_s: float) -> bool:
        """
        Hold it alone; only to be called within a transaction that writes.  What was shared before is lost.

        :return: false: others did not let go within ``patience_s``
        """
        self.is_ours = False
        deadline = time.monotonic() + patience_s
        while not self._lock.lock(ALONE):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_NAP_S)
        self.is_ours = True
        return True

    def release(self) -> None:
        """Let the others; no harm if it is not held."""
        self._lock.release()
        self.is_ours = False

    def close(self) -> None:
        """Let go of the turn, of one's place in the line, and of their files, which are opened again when needed."""
        self.release()
        self._lock.close()
        self.line.close()
