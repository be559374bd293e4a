"""
The tables of the object index, and their version.

``PRAGMA user_version`` says which version a file has.  ``migrate`` takes it to ours in one transaction; a step, once
released, is never changed.  Files: ``extents`` of a row is the list of data files it is made of, ``""`` for no bytes,
``FILE`` for one whole file, else ``FILE:LENGTH FILE:LENGTH …``.
"""

from __future__ import annotations

import sqlite3

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

#: One tuple of statements per version, oldest first.
STEPS: tuple[tuple[str, ...], ...] = (_FIRST,)


def migrate(connection: sqlite3.Connection) -> None:
    """
    Bring the index to our version; called inside a transaction.

    :raises UnknownFormat: a newer cloudd wrote it
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(STEPS):
        raise UnknownFormat(f"the object index has version {version}, this cloudd knows up to {len(STEPS)}")
    for step in STEPS[version:]:
        for statement in step:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(STEPS)}")
