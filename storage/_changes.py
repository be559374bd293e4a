"""
The log of what got and lost a name, in the index: functions for ``Index.read`` and ``Index.write``.

Triggers write it (``_schema``).  One transaction writes at a time and a transaction that is undone gives its ids back,
so ids are in the order of the commits and without holes.
"""

from __future__ import annotations

import sqlite3

from ._interfaces import Change, ChangeKind, ChangeSpan

_SPAN = "SELECT (SELECT id FROM changes ORDER BY id LIMIT 1), (SELECT id FROM changes ORDER BY id DESC LIMIT 1)"
_ROWS = "SELECT id, at_us, kind, account, container, name, size, etag FROM changes WHERE id > ?"
_KINDS = {kind.value: kind for kind in ChangeKind}


def read_changes(
    connection: sqlite3.Connection, after: int, limit: int, account: str | None, within: int | None
) -> tuple[ChangeSpan, list[Change]]:
    """What is kept, and the first changes after ``after``."""
    where: str = ""
    values: list[int | str] = [after]
    if account is not None:
        where, values = f"{where} AND account = ?", [*values, account]
    if within is not None:
        where, values = f"{where} AND id <= ?", [*values, after + within]
    rows = connection.execute(f"{_ROWS}{where} ORDER BY id LIMIT ?", (*values, limit))
    found = [Change(row[0], row[1], _KINDS[row[2]], *row[3:]) for row in rows]
    return _span(connection), found


def has_old_changes(connection: sqlite3.Connection, keep: int, before_us: int) -> bool:
    """Whether ``prune_changes`` would forget any: asked first, since a write would wait for its turn."""
    return bool(_old(connection, keep, before_us, 1))


def prune_changes(connection: sqlite3.Connection, keep: int, before_us: int, limit: int) -> int:
    """:return: how many were forgotten"""
    old = _old(connection, keep, before_us, limit)
    if old:
        connection.execute("DELETE FROM changes WHERE id <= ?", (old[-1],))
    return len(old)


def _old(connection: sqlite3.Connection, keep: int, before_us: int, limit: int) -> list[int]:
    """The ids of the first changes that are too many or too old; what is behind a younger one waits for it."""
    newest = _span(connection).newest
    old = []
    for number, at_us in connection.execute("SELECT id, at_us FROM changes ORDER BY id LIMIT ?", (limit,)):
        if number >= newest or (number > newest - keep and at_us >= before_us):
            break
        old.append(number)
    return old


def _span(connection: sqlite3.Connection) -> ChangeSpan:
    oldest, newest = connection.execute(_SPAN).fetchone()
    return ChangeSpan(oldest or 0, newest or 0)
