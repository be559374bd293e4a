# -*- test-case-name: tests.database.test_move -*-
"""
Which rows of a SQLite file changed since a moment: triggers note the keys, for as long as a copy is being made.

So the last part of a move, for which writes wait, looks at what changed lately and not at all records.  The triggers
note what other triggers and foreign keys' cascades do, too.  A note is a table's name and a row's key as JSON; one is
written for each change, without a look whether it is there already.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Table, select, tuple_

from .tables import metadata

CHUNK = 200
NOTES = "moving_changes"
_TRIGGER = "moving_"

Key = tuple[Any, ...]
Row = tuple[Any, ...]


def track(connection: Connection) -> None:
    """Begin to note changes; within a transaction that writes."""
    untrack(connection)
    connection.exec_driver_sql(f"CREATE TABLE {NOTES} (id INTEGER PRIMARY KEY, name TEXT NOT NULL, key TEXT NOT NULL)")
    for table in metadata.sorted_tables:
        for change, rows in (("INSERT", ("NEW",)), ("DELETE", ("OLD",)), ("UPDATE", ("OLD", "NEW"))):
            noted = " ".join(_note(table, row) for row in rows)
            name = f"{_TRIGGER}{table.name}_{change.lower()}"
            connection.exec_driver_sql(f"CREATE TRIGGER {name} AFTER {change} ON {table.name} BEGIN {noted} END")


def untrack(connection: Connection) -> bool:
    """Note no more, and forget; whether anything was there.  Within a transaction that writes."""
    query = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name GLOB ?"
    names = [row[0] for row in connection.exec_driver_sql(query, (f"{_TRIGGER}*",))]
    for name in names:
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {NOTES}")
    return bool(names)


def last_note(connection: Connection) -> int:
    """The number of the latest note that this snapshot has."""
    number: int = connection.exec_driver_sql(f"SELECT coalesce(max(id), 0) FROM {NOTES}").scalar_one()  # noqa: S608
    return number


def changed_keys(connection: Connection, after: int) -> dict[str, set[Key]]:
    """Table -> keys of the rows that were noted after a number."""
    found: defaultdict[str, set[Key]] = defaultdict(set)
    query = f"SELECT DISTINCT name, key FROM {NOTES} WHERE id > ?"  # noqa: S608
    for name, key in connection.exec_driver_sql(query, (after,)):
        found[name].add(tuple(json.loads(key)))
    return found


def rows_of(connection: Connection, table: Table, keys: set[Key]) -> Iterator[Row]:
    """Those of these rows that there are."""
    columns = list(table.primary_key)
    ordered = sorted(keys)
    for start in range(0, len(ordered), CHUNK):
        part = ordered[start : start + CHUNK]
        wanted = tuple_(*columns).in_(part) if len(columns) > 1 else columns[0].in_([key[0] for key in part])
        for row in connection.execute(select(table).where(wanted)):
            yield tuple(row)


def key_of(table: Table, row: Row) -> Key:
    """The key of a row of all columns."""
    names = [column.name for column in table.columns]
    return tuple(row[names.index(column.name)] for column in table.primary_key)


def _note(table: Table, row: str) -> str:
    key = ", ".join(f"{row}.{column.name}" for column in table.primary_key)
    return f"INSERT INTO {NOTES} (name, key) VALUES ('{table.name}', json_array({key}));"  # noqa: S608
