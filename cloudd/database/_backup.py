# -*- test-case-name: tests.database.test_backup -*-
"""
The control state as one file: all rows of the control database and the keys that go with them.

The file is the same whichever database it comes from, so a backup of a SQLite cloud restored on PostgreSQL moves the
cloud there: ids stay, and tokens too, since the keys come along.  That is also why **the file is as secret as the state
folder**.

**Layout**, format 1: gzip of lines of JSON.  A header; then ``[table, values...]`` for each row, parents first, and
``{"key", "content"}`` for each file of keys; last, ``{"digests", "sha256"}``: rows and digest of each table, and the
hash of all lines before.  A digest does not depend on the order of rows, which no two databases share.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from attrs import Factory, define, frozen
from sqlalchemy import Connection, Engine, Table, delete, func, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from ._control import WRITES, control_url, make_engine
from ._driver import DatabaseAway
from ._migrate import HEAD, current_revision
from .tables import metadata

FORMAT = 1
KIND = "cloudd control state"
CHUNK = 500
COUNTED_TABLES = ("identity_revocation", "events")  # whose ids are never used again

Row = tuple[Any, ...]


class BackupError(Exception):
    """The backup cannot be made or restored; nothing was changed.  The text says why and what to do."""


@define
class Digest:
    """Of the rows of one table, in whatever order they come."""

    rows: int = 0
    _sum: int = 0

    def add(self, row: Iterable[Any]) -> None:
        self.rows += 1
        self._sum += int.from_bytes(hashlib.sha256(_line(list(row))).digest(), "big")

    def told(self) -> list[Any]:
        return [self.rows, f"{self._sum % (1 << 256):064x}"]


@frozen
class Content:
    """
    What a file holds.

    :ivar counters: table -> the highest id it has ever given
    :ivar rows: by table
    :ivar keys: path below the folder of keys -> content
    """

    made_at: float
    revision: str
    counters: dict[str, int]
    rows: dict[str, list[Row]] = Factory(dict)
    keys: dict[str, bytes] = Factory(dict)
    digests: dict[str, list[Any]] = Factory(dict)

    @property
    def row_count(self) -> int:
        return sum(len(rows) for rows in self.rows.values())


def backup(database: Path | str, secrets: Path, file: Path, password_file: str = "") -> int:
    """
    Write a snapshot of the database and the keys into a new file of mode 0600; safe while the daemon runs.  Blocks.

    :param secrets: the folder of keys
    :return: how many rows
    :raises BackupError: the file is there already, or the database cannot be read
    :raises OSError: the file cannot be written
    """
    engine = make_engine(control_url(database), password_file)
    try:
        with reading(engine) as connection:
            return write_backup(connection, secrets, file)
    except (SQLAlchemyError, DatabaseAway) as error:
        raise BackupError(f"the control database cannot be read: {error}") from error
    finally:
        engine.dispose()


def write_backup(connection: Connection, secrets: Path, file: Path) -> int:
    """
    The same over a connection that is there, which reads one snapshot; for ``Transactions.read``.

    :return: how many rows
    :raises BackupError: the file is there already, or the database is of another release
    :raises OSError: the file cannot be written
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise BackupError(f"{file} is there already: name another file") from error
    try:
        with os.fdopen(descriptor, "wb") as raw:
            with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as packed:
                count = _write(packed, connection, secrets)
            raw.flush()
            os.fsync(raw.fileno())
    except BaseException:
        file.unlink()
        raise
    return count


def _write(packed: gzip.GzipFile, connection: Connection, secrets: Path) -> int:
    whole, digests = hashlib.sha256(), {}

    def put(value: Any) -> None:
        line = _line(value)
        whole.update(line)
        packed.write(line)

    revision = current_revision(connection)
    if revision != HEAD:
        raise BackupError(f"the database has revision {revision}, this release writes {HEAD}: start it once first")
    counters = {name: counter(connection, name) for name in COUNTED_TABLES}
    put({"kind": KIND, "format": FORMAT, "revision": HEAD, "made_at": time.time(), "counters": counters})
    for table in metadata.sorted_tables:
        digest = digests[table.name] = Digest()
        for row in rows_in(connection, table):
            digest.add(row)
            put([table.name, *row])
    # Behind the rows: a key is made before something is sealed with it, so whatever is in the rows can be opened.
    for path in sorted(path for path in secrets.rglob("*") if path.is_file()):
        put({"key": str(path.relative_to(secrets)), "content": base64.b64encode(path.read_bytes()).decode()})
    put({"digests": {name: digest.told() for name, digest in digests.items()}, "sha256": whole.hexdigest()})
    return sum(digest.rows for digest in digests.values())


def read_backup(file: Path) -> Content:
    """
    Read and check a whole file.

    :raises BackupError: it is none, of another format, cut off or changed
    :raises OSError: it cannot be read
    """
    whole = hashlib.sha256()
    content: Content | None = None
    ended: dict[str, Any] = {}
    try:
        with gzip.open(file) as packed:
            for line in packed:
                value = json.loads(line)
                if ended:
                    raise BackupError(f"{file} is damaged: something follows its end")
                if content is None:
                    content = _begin(file, value)
                elif isinstance(value, list):
                    content.rows.setdefault(value[0], []).append(tuple(value[1:]))
                elif "key" in value:
                    content.keys[value["key"]] = base64.b64decode(value["content"], validate=True)
                else:
                    ended = value
                    break
                whole.update(line)
            rest = packed.read(1)
    except (EOFError, gzip.BadGzipFile, ValueError, LookupError, TypeError) as error:
        raise BackupError(f"{file} is damaged or no backup: {error}") from error
    if content is None or rest or ended.get("sha256") != whole.hexdigest():
        raise BackupError(f"{file} is damaged: it is cut off, or was changed")
    content.digests.update(ended["digests"])
    return content


def _begin(file: Path, header: Any) -> Content:
    if not isinstance(header, dict) or header.get("kind") != KIND:
        raise BackupError(f"{file} is no backup of cloudd's control state")
    if header["format"] != FORMAT or header["revision"] != HEAD:
        known = f"format {FORMAT}, revision {HEAD}"
        raise BackupError(
            f"{file} has format {header['format']}, revision {header['revision']}, this release reads {known}: "
            "restore it with the release that wrote it"
        )
    return Content(header["made_at"], header["revision"], header["counters"])


def restore(content: Content, database: Path | str, secrets: Path, password_file: str = "", *, replace: bool) -> None:
    """
    Put rows and keys in the place of what is there; no daemon runs on it.  Blocks.

    The rows are one transaction, compared with the file before it is committed; the keys follow.  When that is cut off
    between the two, run it again.

    :param database: already migrated
    :param replace: what is there may go; else there must be nothing
    :raises BackupError: there is something, or the result differs; nothing was changed
    """
    engine = make_engine(control_url(database), password_file)
    try:
        with engine.connect() as connection, connection.begin():
            if not replace and (_is_used(connection) or any(path.is_file() for path in secrets.rglob("*"))):
                raise BackupError("there are records or keys already: say --yes to have them replaced")
            _replace(connection, content)
            _compare(connection, content)
            fresh = _write_keys(secrets, content.keys)
        for path, place in fresh:
            path.replace(place)
    except (SQLAlchemyError, DatabaseAway) as error:
        raise BackupError(f"the control database cannot be written: {error}") from error
    finally:
        engine.dispose()


def _is_used(connection: Connection) -> bool:
    tables = (table for table in metadata.sorted_tables if table.name != "oldest_reader")
    return any(connection.execute(select(table).limit(1)).first() is not None for table in tables)


def _replace(connection: Connection, content: Content) -> None:
    counters = {name: max(count, counter(connection, name)) for name, count in content.counters.items()}
    events = metadata.tables["events"]
    for table in reversed(metadata.sorted_tables):
        connection.execute(delete(table))
    for table in (table for table in metadata.sorted_tables if table is not events):
        _insert(connection, table, content.rows.get(table.name, []))
    # Triggers have told of each row; what is to be told is in the backup.
    connection.execute(delete(events))
    _insert(connection, events, content.rows.get(events.name, []))
    for name, count in counters.items():
        _set_counter(connection, name, count)


def _insert(connection: Connection, table: Table, rows: list[Row]) -> None:
    names = [column.name for column in table.columns]
    ordered = [dict(zip(names, row, strict=True)) for row in rows]
    if "parent_id" in names:
        ordered = _parents_first(ordered)
    for start in range(0, len(ordered), CHUNK):
        connection.execute(insert(table), ordered[start : start + CHUNK])


def _parents_first(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ordered: list[dict[str, Any]] = []
    placed: set[Any] = {None}
    while rows:
        ready = [row for row in rows if row["parent_id"] in placed]
        if not ready:
            raise BackupError("a project's parent is missing in the backup")
        ordered += ready
        placed |= {row["id"] for row in ready}
        rows = [row for row in rows if row["id"] not in placed]
    return ordered


def _compare(connection: Connection, content: Content) -> None:
    for table in metadata.sorted_tables:
        digest = Digest()
        for row in rows_in(connection, table):
            digest.add(row)
        if digest.told() != content.digests[table.name]:
            raise BackupError(f"{table.name} is not what the backup has: nothing was changed")


def _write_keys(secrets: Path, keys: dict[str, bytes]) -> list[tuple[Path, Path]]:
    """Files beside their places, on disk; to be moved there."""
    written = []
    for name, content in keys.items():
        place = secrets / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise BackupError(f"the backup names a key outside of its folder: {name!r}")
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = place.with_name(f".restored-{place.name}")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        written.append((fresh, place))
    return written


def reading(engine: Engine) -> Connection:
    options: dict[str, Any] = {WRITES: False}
    if engine.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    return engine.connect().execution_options(**options)


def rows_in(connection: Connection, table: Table) -> Iterator[Row]:
    found = connection.execute(select(table).execution_options(yield_per=CHUNK))
    for row in found:
        yield tuple(row)


def counter(connection: Connection, table: str) -> int:
    """The highest id that was ever given."""
    if connection.dialect.name == "sqlite":
        given = connection.execute(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": table}).scalar()
    else:
        query = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM "
        given = connection.execute(text(f"{query}{table}_id_seq")).scalar()
    there = connection.execute(select(func.max(metadata.tables[table].c.id))).scalar()
    return max(given or 0, there or 0)


def _set_counter(connection: Connection, table: str, count: int) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": table})
        row = {"name": table, "count": count}
        connection.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :count)"), row)
    else:
        row = {"name": f"{table}_id_seq", "count": count + 1}
        connection.execute(text("SELECT setval(CAST(:name AS regclass), :count, false)"), row)


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
