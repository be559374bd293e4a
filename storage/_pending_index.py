"""The two tables of work that follows a commit: files to move out of ``incoming/``, and files to delete."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from attrs import frozen

from ._rows import Freed


@frozen
class Pending:
    """All that the index knows to be unfinished."""

    arrived: frozenset[str]
    garbage: tuple[Freed, ...]


def add_arrived(connection: sqlite3.Connection, files: Iterable[str]) -> None:
    """These files have got a name in this transaction."""
    connection.executemany("INSERT INTO arrived VALUES (?)", ((file,) for file in files))


def add_garbage(connection: sqlite3.Connection, freed: Iterable[Freed]) -> None:
    """These files have lost their name in this transaction."""
    connection.executemany("INSERT INTO garbage VALUES (?, ?)", ((item.file, item.anchor) for item in freed))


def find_pending(connection: sqlite3.Connection) -> Pending:
    """Everything unfinished, whoever began it."""
    arrived = connection.execute("SELECT file FROM arrived")
    garbage = connection.execute("SELECT file, anchor FROM garbage")
    return Pending(frozenset(file for (file,) in arrived), tuple(Freed(file, anchor) for file, anchor in garbage))


def has_arrived(connection: sqlite3.Connection, files: Sequence[str]) -> bool:
    """
    Whether the transaction that named these files was committed.

    A file that became garbage since has been named, too.
    """
    query = "SELECT EXISTS (SELECT 1 FROM arrived WHERE file = ?1) OR EXISTS (SELECT 1 FROM garbage WHERE file = ?1)"
    return any(connection.execute(query, (file,)).fetchone()[0] for file in files)


def forget(connection: sqlite3.Connection, arrived: Iterable[str], garbage: Iterable[str]) -> None:
    """The moves and deletions of these files are on disk."""
    connection.executemany("DELETE FROM arrived WHERE file = ?", ((file,) for file in arrived))
    connection.executemany("DELETE FROM garbage WHERE file = ?", ((file,) for file in garbage))
