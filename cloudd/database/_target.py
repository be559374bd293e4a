# -*- test-case-name: tests.database.test_move -*-
"""
The server that records are moved to: one transaction, from the first row to the last, so that a mover that is killed
leaves nothing.

What is committed but not yet decided for has a table of its own beside ours (``LEFTOVER``), with the name of the cloud
that it was copied from: the next try of that cloud may replace it.  Triggers are off meanwhile: what they would tell of
is among the rows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from attrs import define, field
from sqlalchemy import String, Table, UniqueConstraint

from cloudd.interfaces.database import Server

from ._backup import COUNTED_TABLES, Digest
from ._driver import DatabaseAway
from ._postgres import TURN, connect, line
from ._tracking import Key, Row, key_of
from .tables import metadata

LEFTOVER = "cloudd_move"
CLOCK_S = 2.0  # leases of tasks go by the database's clock, and last longer
FETCHED = 1000
FREEZE_STATEMENT_S = 5

_TABLES = [table.name for table in metadata.sorted_tables]
_OTHERS = (
    "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
    " AND relkind IN ('r', 'p', 'v', 'm') AND NOT relname = ANY(%s) ORDER BY relname"
)


class MoveRefused(Exception):
    """The records cannot be moved there; nothing was changed.  The text says why and what to do."""

    expected = True


@define
class Examined:
    """
    What was found at the place that records shall be moved to.

    :ivar refusals: why they cannot be moved there; empty: they can
    :ivar warnings: what the operator should know before
    """

    name: str
    version: str = ""
    refusals: list[str] = field(factory=list)
    warnings: list[str] = field(factory=list)


def examine(server: Server, origin: str) -> Examined:
    """
    Look whether records can be moved to a server; changes nothing.  Blocks.

    :param origin: the cloud that asks
    """
    found = Examined(server.name)
    try:
        with connect(server) as connection:
            number = connection.info.server_version
            found.version = f"{number // 10_000}.{number % 10_000}"
            _look(connection, origin, found)
    except (psycopg.Error, DatabaseAway) as error:
        found.refusals.append(line(error))
    return found


def _look(connection: psycopg.Connection[Any], origin: str, found: Examined) -> None:
    def ask(query: str, *values: Any) -> Any:
        return (connection.execute(query, values).fetchone() or (None,))[0]

    if not ask("SELECT current_schema() IS NOT NULL AND has_schema_privilege(current_schema(), 'CREATE')"):
        found.refusals.append("the role may make no tables there: let it own the database (docs/database.md)")
        return
    others = [row[0] for row in connection.execute(_OTHERS, ([*_TABLES, "alembic_version", LEFTOVER],))]
    if others:
        found.refusals.append(f"other tables are there ({', '.join(others[:5])}): make a database for cloudd alone")
    foreign = _foreign_records(connection, origin)
    if foreign:
        found.refusals.append(foreign)
    before = time.time()
    theirs = float(ask("SELECT extract(epoch FROM clock_timestamp())"))
    apart = theirs - (before + time.time()) / 2
    if abs(apart) > CLOCK_S:
        found.refusals.append(
            f"its clock is {abs(apart):.1f} s {'ahead of' if apart > 0 else 'behind'} ours: have both follow one clock"
        )
    locale = ask("SELECT datcollate FROM pg_database WHERE datname = current_database()")
    if locale not in {"C", "POSIX", "C.UTF-8", "C.utf8"}:
        found.warnings.append(f"lists that are sorted by name will have the order of the locale {locale}")


def _foreign_records(connection: psycopg.Connection[Any], origin: str) -> str:
    """Why what is there must not go; empty: nothing is there, or what an earlier try of the same cloud left."""
    there = [name for name in _TABLES if name != "oldest_reader" and _exists(connection, name)]
    used = [name for name in there if connection.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone()]  # noqa: S608
    if not used or _left_by(connection) == origin:
        return ""
    return f"records are there already (in {', '.join(used[:3])}): name an empty database"


def _exists(connection: psycopg.Connection[Any], name: str) -> bool:
    found = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (name,)).fetchone()
    return bool(found and found[0])


def _left_by(connection: psycopg.Connection[Any]) -> str | None:
    if not _exists(connection, LEFTOVER):
        return None
    found = connection.execute(f"SELECT origin FROM {LEFTOVER}").fetchone()  # noqa: S608
    return found[0] if found else None


@define(eq=False)
class Target:
    """The transaction; ``close`` undoes what is not committed."""

    server: Server
    _origin: str
    _connection: psycopg.Connection[Any] = field(init=False)

    def begin(self) -> None:
        """
        Take the turn of those who write to that database, and make room.

        :raises DatabaseAway: it cannot be reached
        :raises MoveRefused: somebody has put records there
        """
        self._connection = connection = connect(self.server)
        # The copy takes as long as it takes, and waits for the file's writers in between.
        connection.execute("SET idle_in_transaction_session_timeout = 0")
        connection.execute("SET synchronous_commit = on")
        connection.commit()
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (TURN,))
        foreign = _foreign_records(connection, self._origin)
        if foreign:
            raise MoveRefused(foreign)
        connection.execute(f"DROP TABLE IF EXISTS {LEFTOVER}")
        connection.execute(f"TRUNCATE {', '.join(_TABLES)}")
        connection.execute(f"CREATE TABLE {LEFTOVER} (origin text NOT NULL)")
        connection.execute(f"INSERT INTO {LEFTOVER} VALUES (%s)", (self._origin,))  # noqa: S608
        self._set_triggers("DISABLE")

    def revision(self) -> str:
        """Of the tables."""
        found = self._connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(found and found[0])

    def fill(self, table: Table, rows: Iterable[Row]) -> None:
        """Add rows of all columns, which are not there."""
        statement = f"COPY {table.name} ({', '.join(column.name for column in table.columns)}) FROM STDIN"
        try:
            with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
                for row in rows:
                    copy.write_row(row)
        except psycopg.DataError as error:
            raise MoveRefused(f"a record of {table.name} cannot be kept there: {line(error)}") from error

    def settle(self) -> None:
        """After the rows, before the pause: let the server plan by them, and write its log out."""
        for name in _TABLES:
            self._connection.execute(f"ANALYZE {name}")
        # The end of another transaction that wrote something syncs the log up to there: less is left for ours.
        with connect(self.server) as other:
            other.execute("SELECT pg_logical_emit_message(true, 'cloudd', 'move')")

    def digest(self, table: Table) -> list[Any]:
        """Of all rows."""
        digest = Digest()
        query = f"SELECT {', '.join(column.name for column in table.columns)} FROM {table.name}"  # noqa: S608
        with self._connection.cursor(name="rows") as cursor:
            cursor.itersize = FETCHED
            for row in cursor.execute(query):
                digest.add(row)
        return digest.told()

    def hurry(self) -> None:
        """From now on writes wait for us: no statement may take long."""
        self._connection.execute(f"SET LOCAL statement_timeout = '{FREEZE_STATEMENT_S}s'")

    def apply(self, changes: Mapping[str, tuple[set[Key], list[Row]]]) -> None:
        """
        Bring rows to what they are now, whatever they were.

        :param changes: table -> keys that changed, and those rows of them that there are
        """
        tables = [
            (table, *changes[table.name]) for table in metadata.sorted_tables if changes.get(table.name, ((),))[0]
        ]
        for table, keys, _rows in tables:
            self._step_aside(table, keys)
        for table, _keys, rows in tables:
            self._put(table, rows)
        for table, keys, rows in reversed(tables):
            self._remove(table, keys - {key_of(table, row) for row in rows})
        for table, keys, rows in tables:
            if sorted(self._rows(table, keys), key=repr) != sorted(rows, key=repr):
                raise MoveRefused(f"{table.name} on the server is not what was written to it: nothing was changed")

    def _step_aside(self, table: Table, keys: set[Key]) -> None:
        """Unique names that change hands among these rows must not meet on the way."""
        for constraint in table.constraints:
            if isinstance(constraint, UniqueConstraint):
                name = next(
                    column.name
                    for column in reversed(list(constraint.columns))
                    if isinstance(column.type, String) and not column.foreign_keys
                )
                key = next(iter(table.primary_key)).name
                self._over(table, keys, f"UPDATE {table.name} SET {name} = md5({table.name}.{key}) FROM")  # noqa: S608

    def _put(self, table: Table, rows: list[Row]) -> None:
        names = [column.name for column in table.columns]
        keys = [column.name for column in table.primary_key]
        others = [f"{name} = excluded.{name}" for name in names if name not in keys]
        then = f"UPDATE SET {', '.join(others)}" if others else "NOTHING"
        # One statement: a row and its parent may come in any order.
        self._connection.execute(
            f"INSERT INTO {table.name} ({', '.join(names)}) SELECT {', '.join(names)} "  # noqa: S608
            f"FROM json_populate_recordset(NULL::{table.name}, %s) ON CONFLICT ({', '.join(keys)}) DO {then}",
            (_as_json(names, rows),),
        )

    def _remove(self, table: Table, keys: set[Key]) -> None:
        if keys:
            self._over(table, keys, f"DELETE FROM {table.name} USING")  # noqa: S608

    def _rows(self, table: Table, keys: set[Key]) -> list[Row]:
        names = ", ".join(f"{table.name}.{column.name}" for column in table.columns)
        return self._over(table, keys, f"SELECT {names} FROM {table.name},").fetchall()  # noqa: S608

    def _over(self, table: Table, keys: set[Key], statement: str) -> psycopg.Cursor[Any]:
        """Execute it for the rows with these keys."""
        names = [column.name for column in table.primary_key]
        matches = " AND ".join(f"{table.name}.{name} = these.{name}" for name in names)
        return self._connection.execute(
            f"{statement} json_populate_recordset(NULL::{table.name}, %s) AS these WHERE {matches}",
            (_as_json(names, keys),),
        )

    def counts(self) -> dict[str, int]:
        """Rows by table."""
        query = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in _TABLES)  # noqa: S608
        return dict(self._connection.execute(query).fetchall())

    def set_counters(self, counters: Mapping[str, int]) -> None:
        """
        :param counters: table -> the highest id that was ever given
        """
        for name in COUNTED_TABLES:
            query = f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {name}_id_seq"  # noqa: S608
            found = self._connection.execute(query).fetchone()
            given = max(counters[name], found[0] if found else 0)
            self._connection.execute("SELECT setval(%s::regclass, %s, false)", (f"{name}_id_seq", given + 1))

    def commit(self) -> None:
        """It is on the server's disk, and not yet decided for."""
        self._set_triggers("ENABLE")
        self._connection.commit()

    def close(self) -> None:
        connection: psycopg.Connection[Any] | None = getattr(self, "_connection", None)
        if connection is not None:
            connection.close()

    def _set_triggers(self, how: str) -> None:
        self._connection.execute("; ".join(f"ALTER TABLE {name} {how} TRIGGER USER" for name in _TABLES))


def finish(server: Server) -> None:
    """
    It was decided for: what is there is no leftover.

    :raises DatabaseAway: it cannot be reached
    """
    with connect(server) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {LEFTOVER}")


def _as_json(names: list[str], rows: Iterable[tuple[Any, ...]]) -> str:
    return json.dumps([dict(zip(names, row, strict=True)) for row in rows], ensure_ascii=False)
