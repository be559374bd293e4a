# -*- test-case-name: tests.database.test_damage -*-
"""
A damaged database: noticed by whoever meets it; a SQLite file is also looked into once per start.

A PostgreSQL server says of itself that its data are damaged (SQLSTATE XX001 and XX002): that is seen, and sticks, too.

SQLite finds damage only where it reads, and a query elsewhere succeeds: so the first error of that kind sticks until
the process ends.  Nothing mends it but a backup.

``check`` reads the header and the schema, always, and the whole file by ``PRAGMA quick_check`` when both hold:

- the log is still there: the last one to close the database deletes it, so this start follows a kill or a power cut;
- database and log together are at most ``QUICK_CHECK_LIMIT``, which takes about 0.3 s on a slow machine, so that a
  start is not held up.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from . import _sqlite
from ._patience import Patience

QUICK_CHECK_LIMIT = 24 << 20
SERVER_DAMAGE = frozenset({"XX001", "XX002"})  # data_corrupted, index_corrupted
SERVER_ADVICE = (
    "look at the server's log and disk; REINDEX mends an index, a standby or a backup the rest, then restart the daemon"
)

log = Logger()


class DatabaseDamaged(Exception):
    """A database file is damaged; the text says which one and what to do."""

    expected = True


def advice(file: str) -> str:
    """The next step."""
    return (
        f"stop the daemon, keep a copy of {file} with its -wal file, and restore the state folder from a backup "
        "(see 'A damaged database' in docs/operators.md)"
    )


class Damage:
    """What one database of this process has met.  ``cause`` is empty, or what ``/health`` says until restart."""

    def __init__(self, name: str, file: str) -> None:
        self.cause = ""
        self._name = name
        self._file = file or "the database"

    def note_all(self, results: Iterable[Any]) -> None:
        """``note`` for those results that are a ``Failure``."""
        for result in results:
            if isinstance(result, Failure):
                self.note(result.value)

    def note(self, error: BaseException | None) -> None:
        """Keep the first error that tells of damage; called in any thread."""
        if self.cause or error is None:
            return
        if _state(error) in SERVER_DAMAGE:
            self.cause = f"the database server says that its data are damaged ({_line(error)}): {SERVER_ADVICE}"
        elif _sqlite.is_damaged(error):
            self.cause = f"{self._file} is damaged ({_sqlite.origin(error)}): {advice(self._file)}"
        else:
            return
        log.critical("the {name} is damaged: {cause}", name=self._name, cause=self.cause)


def _state(error: BaseException) -> str | None:
    """The SQLSTATE, where it is a server's error."""
    state: str | None = getattr(_sqlite.origin(error), "sqlstate", None)
    return state


def _line(error: BaseException) -> str:
    """The first line of what an error says."""
    return str(_sqlite.origin(error)).strip().partition("\n")[0]


def needs_quick_check(size: int, log_size: int | None) -> bool:
    """
    Whether a start reads the whole file.

    :param size: of the database
    :param log_size: of its log; ``None``: there is none, the last end was clean
    """
    return log_size is not None and size + log_size <= QUICK_CHECK_LIMIT


def check(path: Path) -> None:
    """
    Look for damage before anybody works with the file; blocks.  A file that is missing is fine: it is made later.

    :raises DatabaseDamaged:
    """
    size = _size(path)
    if not size:
        return
    whole = needs_quick_check(size, _size(Path(f"{path}-wal")))
    try:
        found = _found(path, whole)
    except sqlite3.Error as error:
        if not _sqlite.is_damaged(error):
            raise
        found = str(error)
    if found != "ok":
        raise DatabaseDamaged(f"{path} is damaged ({found}): {advice(str(path))}")


def _found(path: Path, whole: bool) -> str:
    patience = Patience()
    while True:
        try:
            connection = _sqlite.connect(path, writes=False)
            try:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                return str(connection.execute("PRAGMA quick_check(1)").fetchone()[0]) if whole else "ok"
            finally:
                connection.close()
        except sqlite3.Error as error:
            if not _sqlite.is_busy(error) or not patience.wait():
                raise


def _size(path: Path) -> int | None:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - never opened: see `_sqlite._make`
    except FileNotFoundError:
        return None
