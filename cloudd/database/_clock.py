# -*- test-case-name: tests.database.test_clock -*-
"""
The database's own clock in a statement: one for all hosts that share the database, however wrong their own are.

::

    connection.execute(select(now_us()))                    # microseconds since the epoch
    update(task).where(task.c.due_us <= now_us())

SQLite gives whole milliseconds, the same in all of one statement (``unixepoch('subsec')`` came with 3.42; Debian 12 has
3.40).  PostgreSQL gives the moment at which it is evaluated, also inside a long transaction (``clock_timestamp()``).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

ON_SQLITE = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"
ON_POSTGRESQL = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"


class now_us(FunctionElement[int]):
    """Whole microseconds since the epoch; named as a function of SQL, which is how it is read."""

    type = BigInteger()
    inherit_cache = True
    name = "now_us"


@compiles(now_us, "sqlite")
def _on_sqlite(_element: now_us, _compiler: Any, **_options: Any) -> str:
    return f"({ON_SQLITE})"


@compiles(now_us, "postgresql")
def _on_postgresql(_element: now_us, _compiler: Any, **_options: Any) -> str:
    return f"({ON_POSTGRESQL})"
