"""
The tables of the object index, and their version.

``PRAGMA user_version`` says which version a file has.  ``migrate`` takes it to ours in one transaction; a step, once
released, is never changed.  Files: ``extents`` of a row is the list of data files it is made of, ``""`` for no bytes,
``FILE`` for one whole file, else ``FILE:LENGTH FILE:LENGTH …``.
"""

from __future__ import annotations

import sqlite3
import sys

from ._interfaces import UnknownFormat

_FIRST = (
    """
    CREATE TABLE accounts (
        name TEXT PRIMARY KEY NOT NULL,
        metadata TEXT NOT NULL,
        container_count INTEGER NOT NULL,
        object_count INTEGER NOT NULL,
        bytes_used INTEGER NOT NULL,
        created_us INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE containers (
        id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice
        account TEXT NOT NULL,
        name TEXT NOT NULL,
        metadata TEXT NOT NULL,
        object_count INTEGER NOT NULL,
        bytes_used INTEGER NOT NULL,
        created_us INTEGER NOT NULL,
        modified_us INTEGER NOT NULL,
        UNIQUE (account, name)
    )
    """,
    # extents comes last: a row of many parts overflows its page, and a listing does not read that far.
    """
    CREATE TABLE objects (
        container INTEGER NOT NULL,
        name TEXT NOT NULL,
        size INTEGER NOT NULL,
        etag TEXT NOT NULL,
        content_type TEXT NOT NULL,
        modified_us INTEGER NOT NULL,
        metadata TEXT NOT NULL,
        extents TEXT NOT NULL,
        PRIMARY KEY (container, name)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE multiparts (
        id TEXT PRIMARY KEY NOT NULL,
        container INTEGER NOT NULL,
        name TEXT NOT NULL,
        content_type TEXT NOT NULL,
        metadata TEXT NOT NULL,
        created_us INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE UNIQUE INDEX multiparts_in_order ON multiparts (container, name, id)",
    """
    CREATE TABLE parts (
        multipart TEXT NOT NULL,
        number INTEGER NOT NULL,
        size INTEGER NOT NULL,
        etag TEXT NOT NULL,
        modified_us INTEGER NOT NULL,
        metadata TEXT NOT NULL,
        extents TEXT NOT NULL,
        PRIMARY KEY (multipart, number)
    ) WITHOUT ROWID
    """,
    # Named files that may still lie in incoming/.
    "CREATE TABLE arrived (file TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID",
    # Files that no name leads to any more.  anchor: the first file of an object of several; see `_settling`.
    "CREATE TABLE garbage (file TEXT PRIMARY KEY NOT NULL, anchor TEXT NOT NULL) WITHOUT ROWID",
)

_LOGGED = "INSERT INTO changes (at_us, kind, account, container, name, size, etag)"
_NOW_US = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"

# The log of what was named and unnamed: see `_changes`.  Triggers write it, so that it is in the transaction of the
# change and no code can forget it, code that is older than this step included.  `INSERT OR REPLACE` fires no trigger
# of the row that it replaces.
_CHANGES = (
    """
    CREATE TABLE changes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: readers resume by it
        at_us INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        account TEXT NOT NULL,
        container TEXT NOT NULL,
        name TEXT NOT NULL,
        size INTEGER NOT NULL,
        etag TEXT NOT NULL
    )
    """,
    f"""
    CREATE TRIGGER log_object_named AFTER INSERT ON objects BEGIN
        {_LOGGED} SELECT NEW.modified_us, 1, account, name, NEW.name, NEW.size, NEW.etag
        FROM containers WHERE id = NEW.container;
    END
    """,  # noqa: S608
    f"""
    CREATE TRIGGER log_object_unnamed AFTER DELETE ON objects BEGIN
        {_LOGGED} SELECT {_NOW_US}, 2, account, name, OLD.name, OLD.size, OLD.etag
        FROM containers WHERE id = OLD.container;
    END
    """,  # noqa: S608
    f"""
    CREATE TRIGGER log_container_named AFTER INSERT ON containers BEGIN
        {_LOGGED} VALUES (NEW.created_us, 3, NEW.account, NEW.name, '', 0, '');
    END
    """,  # noqa: S608
    f"""
    CREATE TRIGGER log_container_unnamed AFTER DELETE ON containers BEGIN
        {_LOGGED} VALUES ({_NOW_US}, 4, OLD.account, OLD.name, '', 0, '');
    END
    """,
)

# The oldest version whose code still runs on these tables.  A step that only expands leaves it, so that a rollback
# finds its code at home; one that takes something away raises it.
_OLDEST_READER = (
    "CREATE TABLE oldest_reader (version INTEGER NOT NULL)",
    "INSERT INTO oldest_reader VALUES (1)",
)

#: One tuple of statements per version, oldest first.
STEPS: tuple[tuple[str, ...], ...] = (_FIRST, _CHANGES, _OLDEST_READER)


def migrate(connection: sqlite3.Connection) -> None:
    """
    Bring the index to our version; called inside a transaction.

    A later version is left as it is, where that allows code as old as ours.

    :raises UnknownFormat: a newer cloudd wrote it
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(STEPS):
        if _oldest_reader(connection) <= len(STEPS):
            return
        raise UnknownFormat(f"the object index has version {version}, this cloudd knows up to {len(STEPS)}")
    for step in STEPS[version:]:
        for statement in step:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(STEPS)}")


def _oldest_reader(connection: sqlite3.Connection) -> int:
    try:
        return int(connection.execute("SELECT version FROM oldest_reader").fetchone()[0])
    except (sqlite3.OperationalError, TypeError):
        return sys.maxsize  # it does not say
