"""How every SQLite connection of cloudd is opened, and how its errors are told apart."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path

# SQLite's result codes, https://www.sqlite.org/rescode.html; the low byte is the primary code.
_BUSY_CODES = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGE_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PRIMARY = 0xFF


def connect(path: Path, *, writes: bool, synchronous: str = "FULL") -> sqlite3.Connection:
    """
    Open ``path`` (made with mode 0600) in WAL mode with foreign keys on, in autocommit: who begins also commits.

    It makes no checkpoints by itself, and whoever writes with it needs the turn to begin: see ``_turn``.

    :param writes: false: the connection refuses to write
    :param synchronous: ``FULL`` syncs the log at every commit, ``NORMAL`` only at checkpoints
    """
    _make(path)
    # No time-out of SQLite's: it sleeps in fixed steps, see `_group_commit`.
    connection = sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
    try:
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        if not writes:
            connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path) -> None:
    """
    Make the file if it is missing, without opening it.

    The end of any descriptor of a file ends all POSIX locks that the process has on it, those of SQLite's other
    connections too.  Then another process that closes its last connection takes itself for the last one of all and
    deletes the log, and what we commit afterwards is lost (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    """
    with suppress(FileExistsError):
        os.mknod(path, stat.S_IFREG | 0o600)


def is_busy(error: BaseException) -> bool:
    """Whether another connection was in the way, so that trying again makes sense."""
    return _primary(error) in _BUSY_CODES


def is_damaged(error: BaseException) -> bool:
    """Whether the database file turned out to be damaged, or to be none."""
    return _primary(origin(error)) in _DAMAGE_CODES


def origin(error: BaseException) -> BaseException:
    """The driver's error within one of SQLAlchemy's."""
    return getattr(error, "orig", None) or error


def _primary(error: BaseException) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & _PRIMARY
