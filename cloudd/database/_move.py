# -*- test-case-name: tests.database.test_move -*-
"""
Move the records of a SQLite file to a PostgreSQL server while everybody reads and writes them.

1. **Copy**: from now on triggers note which rows change (``_tracking``); then all rows of one snapshot go to the
   server, in one transaction (``_target``), and are compared there.
2. **Catch up**: what changed meanwhile, again and again until that is little.
3. **Pause**: SQLite's own write lock is taken.  Nobody can write to the file now, in whichever process; writers wait
   for the lock, as for any other writer, for up to ``BUSY_LIMIT_S``; readers go on.  The last changes go to the
   server, rows are counted on both sides, and the server's transaction is committed.
4. **Decide**: the file's mark (``_fence``) is committed, which lets go of the lock.  Whoever waited finds the mark
   and goes on at the server.

A failure, a kill too, before that last commit leaves the file as it was; at worst with triggers, which
``settle_move`` takes away.  After it the records are on the server, whatever happens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field, frozen
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from cloudd.interfaces.database import Server

from . import _sqlite
from ._backup import COUNTED_TABLES, Digest, counter, reading, rows_in
from ._control import control_url, make_engine
from ._driver import DatabaseAway
from ._fence import moved_from, raise_fence
from ._migrate import HEAD, current_revision, migrate
from ._tracking import changed_keys, last_note, rows_of, track, untrack
from ._turn import Turn
from .tables import metadata

if TYPE_CHECKING:
    from ._target import Examined, Target

ROUNDS = 10
TOLD_ROWS = 10_000
FEW = 50  # changes that are left for the pause
LOCK_S = 5.0
PAUSE_S = 8.0  # after which all is undone; writers have more patience
_NAP_S = 0.0002

Report = Callable[[str, str, int, int], None]


class MoveFailed(Exception):
    """The move did not come to its decision: the records are where they were.  The text says why."""

    expected = True


@frozen
class Moved:
    """
    How a move went.

    :ivar rows: by table, at the decision
    :ivar changes: rows that changed while the copy was made, and followed it
    :ivar pause_s: from the moment at which no write could begin any more to the decision
    """

    rows: dict[str, int]
    changes: int
    copy_s: float
    pause_s: float


@define(eq=False)
class Move:
    """
    One move; every method blocks.

    :param file: the SQLite file
    :param origin: names the cloud: what it has left at the server in an earlier try may be replaced
    :param report: told step, sentence, done, total
    :param moment: told of moments at which a test may break in
    """

    _file: Path
    _server: Server
    _origin: str
    _report: Report
    _moment: Callable[[str], None] = field(default=lambda _name: None)
    _changes: int = field(init=False, default=0)
    _seen: int = field(init=False, default=0)  # number of the last note that was followed

    def run(self) -> Moved:
        """
        Do it all.

        :raises MoveFailed: nothing was decided; the file is as it was
        """
        # Not with this module: it is the face of a package that most processes import for SQLite alone.
        import psycopg

        from ._migrate import MigrationFailed
        from ._target import MoveRefused, Target

        engine, target = make_engine(control_url(self._file)), Target(self._server, self._origin)
        try:
            self._report("copy", "tables are made on the server", 0, 0)
            migrate(self._server.url, self._server.password_file)
            return self._run(engine, target)
        except (psycopg.Error, SQLAlchemyError, DatabaseAway, MigrationFailed, MoveRefused, _Undone) as error:
            raise MoveFailed(" ".join(str(getattr(error, "orig", None) or error).split())) from error
        finally:
            target.close()
            engine.dispose()

    def _run(self, engine: Engine, target: Target) -> Moved:
        began = time.monotonic()
        self._check_revisions(engine, target)
        with _writing(engine, self._file) as connection:
            track(connection)
        self._moment("tracked")
        try:
            self._copy(engine, target)
            for _round in range(ROUNDS):
                if self._catch_up(engine, target) <= FEW:
                    break
            copied = time.monotonic()
            return self._decide(engine, target, copied - began)
        except BaseException:
            settle_move(self._file)
            raise

    def _check_revisions(self, engine: Engine, target: Target) -> None:
        target.begin()
        with reading(engine) as connection:
            found = current_revision(connection)
        if not found == target.revision() == HEAD:
            raise _Undone(f"the file has revision {found}, the server {target.revision()}, this release {HEAD}")

    def _copy(self, engine: Engine, target: Target) -> None:
        with reading(engine) as connection:
            self._seen = last_note(connection)
            total, done = sum(_counts(connection).values()), 0
            digests = {}
            for table in metadata.sorted_tables:
                self._report("copy", f"{table.name} is copied", done, total)
                digest = digests[table.name] = Digest()

                def rows(table=table, digest=digest, done=done) -> Iterator[tuple[object, ...]]:  # type: ignore[no-untyped-def]
                    for row in rows_in(connection, table):
                        digest.add(row)
                        yield row
                        if digest.rows % TOLD_ROWS == 0:
                            self._report("copy", f"{table.name} is copied", done + digest.rows, total)

                target.fill(table, rows())
                done += digest.rows
                self._moment("copying")
        self._report("copy", f"{done} records are on the server, and compared there", done, total)
        for table in metadata.sorted_tables:
            if target.digest(table) != digests[table.name].told():
                raise _Undone(f"{table.name} on the server is not what was copied to it")
        target.settle()
        self._moment("compared")

    def _catch_up(self, engine: Engine, target: Target) -> int:
        with reading(engine) as connection:
            count = self._follow(connection, target)
        self._report("copy", f"{count} records that changed meanwhile have followed", 0, 0)
        return count

    def _follow(self, connection: Connection, target: Target) -> int:
        """Bring to the server what changed since the last time; how many rows."""
        until = last_note(connection)
        keys = changed_keys(connection, self._seen)
        tables = metadata.tables
        target.apply({name: (these, list(rows_of(connection, tables[name], these))) for name, these in keys.items()})
        self._seen = until
        count = sum(map(len, keys.values()))
        self._changes += count
        return count

    def _decide(self, engine: Engine, target: Target, copy_s: float) -> Moved:
        self._report("pause", "writes wait, reads go on", 0, 0)
        target.hurry()
        began = time.monotonic()
        with _writing(engine, self._file) as connection:
            self._moment("paused")
            self._follow(connection, target)
            rows = _counts(connection)
            if rows != target.counts():
                raise _Undone("the server has another number of records than the file")
            target.set_counters({name: counter(connection, name) for name in COUNTED_TABLES})
            target.commit()
            self._moment("committed")
            if time.monotonic() - began > PAUSE_S:
                raise _Undone(f"writes had to wait for more than {PAUSE_S:g} s: try it when the server is quicker")
            untrack(connection)
            raise_fence(connection, self._server, time.time_ns() // 1000)
        pause_s = time.monotonic() - began
        self._moment("decided")
        return Moved(rows, self._changes, round(copy_s, 3), round(pause_s, 4))


class _Undone(Exception):
    """Nothing was decided, for a reason of our own."""


def settle_move(file: Path) -> Server | None:
    """
    What a move that was broken off has left in the file goes; safe at any time but beside a move.  Blocks.

    :return: where the records are; ``None``: in the file, or there is no file
    :raises sqlite3.Error: the file cannot be used
    """
    where = moved_from(file)
    if where is not None or not file.exists():
        return where
    engine = make_engine(control_url(file))
    try:
        with reading(engine) as connection:
            query = "SELECT 1 FROM sqlite_master WHERE name = 'moving_changes'"
            left = connection.exec_driver_sql(query).first() is not None
        if left:
            with _writing(engine, file) as connection:
                untrack(connection)
    finally:
        engine.dispose()
    return None


def finish_move(server: Server) -> None:
    """
    Take away at the server what a move needs no more; safe to call again.  Blocks.

    :raises DatabaseAway: it cannot be reached
    """
    from . import _target

    _target.finish(server)


def examine_server(server: Server, origin: str) -> Examined:
    """
    Look whether records can be moved to a server; changes nothing.  Blocks.

    :param origin: names the cloud that asks: what it has left there in an earlier try may be replaced
    """
    from . import _target

    return _target.examine(server, origin)


def _counts(connection: Connection) -> dict[str, int]:
    tables = metadata.sorted_tables
    return {table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables}


@contextmanager
def _writing(engine: Engine, file: Path) -> Iterator[Connection]:
    """
    A transaction that holds the file's write lock; committed at the end, undone by an exception.

    Other writers are many, and each tries for the lock again and again.  So nobody else begins to write while we try:
    see ``_turn``; what is under way ends in a moment.
    """
    turn, deadline = Turn(file), time.monotonic() + LOCK_S
    connection = engine.connect()
    try:
        if not turn.take(LOCK_S):
            raise _Undone(f"the file stayed locked for {LOCK_S:g} s")
        while True:
            try:
                connection.begin()
                break
            except OperationalError as error:
                if not _sqlite.is_busy(_sqlite.origin(error)) or time.monotonic() > deadline:
                    raise
                time.sleep(_NAP_S)
        turn.release()
        yield connection
        connection.commit()
    finally:
        turn.close()
        connection.close()
