# -*- test-case-name: tests.database.test_move -*-
"""
The mark in a SQLite file whose records were moved to a server: where they are, and that nobody writes here any more.

**The commit of the mark is the decision of a move.**  Who moves holds SQLite's write lock from before the last record
is copied until that commit.  So there is no moment in which a write could come to the file and be missing on the
server, in whichever process, and no process has to be told: each transaction looks for the mark when it begins, and one
that begins after the commit finds it (``is_fenced`` costs a microsecond or two).  A read that began before sees the
file as it was, as every reader of a snapshot does.

**Whoever knows no marks** is stopped as well: triggers refuse each change, and the revision is none, so that an earlier
release does not start on records that are out of date.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from cloudd.interfaces.database import Server

from . import _sqlite
from .tables import metadata

MARK = 0x6D6F7665  # "move", as PRAGMA user_version, which is 0 in all our files else
REVISION = "moved"  # greater than any of ours, as text is compared
_CHANGES = ("INSERT", "UPDATE", "DELETE")


class DatabaseMoved(Exception):
    """The records are on another database since a moment ago: connect again."""


def is_fenced(connection: sqlite3.Connection) -> bool:
    """Asked within a transaction, or without one."""
    return bool(connection.execute("PRAGMA user_version").fetchone()[0] == MARK)


def moved_to(connection: sqlite3.Connection) -> Server:
    """Where the records of a fenced file are."""
    url, password_file = connection.execute("SELECT url, password_file FROM moved_to").fetchone()
    return Server(url, password_file)


def raise_fence(connection: Connection, server: Server, moved_us: int) -> None:
    """
    Mark the file; within a transaction that writes, whose commit decides.

    :param moved_us: microseconds since the epoch
    """

    def execute(statement: str, *values: Any) -> None:
        connection.exec_driver_sql(statement, values)

    execute("CREATE TABLE moved_to (url TEXT NOT NULL, password_file TEXT NOT NULL, moved_us INTEGER NOT NULL)")
    execute("INSERT INTO moved_to VALUES (?, ?, ?)", server.url, server.password_file, moved_us)
    execute("UPDATE alembic_version SET version_num = ?", REVISION)
    execute("UPDATE oldest_reader SET revision = ?", REVISION)
    told = f"the records were moved to {server.name}".replace("'", "''")
    for name in [*metadata.tables, "alembic_version"]:
        for change in _CHANGES:
            trigger = f"fence_{name}_{change.lower()}"
            execute(f"CREATE TRIGGER {trigger} BEFORE {change} ON {name} BEGIN SELECT RAISE(ABORT, '{told}'); END")
    execute(f"PRAGMA user_version = {MARK}")


def moved_from(file: Path) -> Server | None:
    """Where the records of a file are; ``None``: in it, or there is no file.  Blocks for a moment."""
    if not file.exists():
        return None
    connection = _sqlite.connect(file, writes=False)
    try:
        return moved_to(connection) if is_fenced(connection) else None
    finally:
        connection.close()
