# -*- test-case-name: tests.database.test_postgres -*-
"""
The control database on PostgreSQL 13 or later, by psycopg 3.

**One writer in the whole cloud.**  A transaction that writes takes one advisory lock when it begins and keeps it until
it has ended, as ``BEGIN IMMEDIATE`` does on SQLite.  So whatever is right on SQLite is right here: what a write reads
cannot change before it commits, there are no deadlocks and no serialization failures, and **ids are given in the order
of commits**, since PostgreSQL lets a lock go after the commit can be seen.  That order is what readers of the outbox
and of revocations resume by; it is the sequencer of the design, without a second pass over each row.  An id may be
left out when a transaction is undone; none comes late.  Writers of all hosts share commits only within a process:
a commit each millisecond of up to 256 calls each is far more than a control plane writes.

A writer that hangs would hold up all: the server ends a session that is idle within a transaction for ``IDLE_S``,
and notices a host that is gone by TCP within ``SILENCE_S``.

**Reads** are ``REPEATABLE READ, READ ONLY``: one snapshot.  They go to the primary, too: a standby would let in tokens
that were revoked a moment ago.

**When a commit is not answered**, its transaction's id tells: ``pg_xact_status`` on another connection.  It counts only
on the same history (system identifier and timeline), since after a failover the id may belong to another transaction.
So it may after a crash, be it of one session: ids of which nothing had come to the disk are given again.  Then an id
that counts proves nothing, one that does not still does.  A crash shows in statistics that begin anew; that an
administrator can make them do so, too, costs no more than an answer.
"""

from __future__ import annotations

from typing import Any

import psycopg
import sqlalchemy
from attrs import define
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import PendingRollbackError
from sqlalchemy.pool import NullPool

from cloudd.interfaces.database import Server

from ._control import WRITES, ControlDriver
from ._driver import DatabaseAway, Fate
from ._patience import BUSY_LIMIT_S

TURN = 0x636C6F756464  # "cloudd": the key of the advisory lock
IDLE_S = 30
SILENCE_S = 10
CONNECT_S = 5
OLDEST = 130_000  # PostgreSQL 13: pg_current_xact_id

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_BUSY = frozenset({"40001", "40P01", "55P03"})  # serialization failure, deadlock, lock not to be had in time
_LOST = frozenset(
    {
        "08000", "08001", "08003", "08004", "08006",  # the connection
        "25P03",  # idle in a transaction for too long
        "53300",  # too many connections
        "57P01", "57P02", "57P03", "57P05",  # shut down, crashed, starting, idle for too long
    }
)  # fmt: skip
_READ_ONLY = "25006"

_DEFAULTS: dict[str, Any] = {
    "application_name": "cloudd",
    "connect_timeout": CONNECT_S,
    "client_encoding": "utf8",
    # A standby refuses; of several hosts the primary is chosen.
    "target_session_attrs": "read-write",
    "keepalives_idle": SILENCE_S // 2,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": SILENCE_S * 1000,
}
_SESSION = {
    "lock_timeout": f"{BUSY_LIMIT_S:.0f}s",
    "idle_in_transaction_session_timeout": f"{IDLE_S}s",
    "tcp_keepalives_idle": str(SILENCE_S // 2),
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": f"{SILENCE_S}s",
}
# Whatever the server's habit is and the operator's own options say.  Else a writer's first statement, which waits for
# its turn, would also fix what it sees: the cloud as it was before the writers that it waited for.
_FIXED = r"-c default_transaction_isolation=read\ committed"

_BEGIN = f"SELECT pg_advisory_xact_lock({TURN}), pg_current_xact_id()::text"
# What a writer must know of the server: durability, and whose transaction ids these are.
_FACTS = (
    "SELECT current_setting('synchronous_commit'),"
    " (SELECT system_identifier FROM pg_control_system()), left(pg_walfile_name(pg_current_wal_lsn()), 8),"
    " (SELECT stats_reset::text FROM pg_stat_bgwriter)"
)
_TICKET, _HISTORY, _RUN = "cloudd_transaction", "cloudd_history", "cloudd_run"


def make_engine(server: Server) -> Engine:
    """An engine without a pool; its transactions take the turn, unless they are begun for reading."""
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: connect(server), poolclass=NullPool, use_native_hstore=False
    )
    event.listen(engine, "begin", _begin)
    return engine


def connect(server: Server) -> psycopg.Connection[Any]:
    """
    :raises DatabaseAway: the server cannot be reached, or lets us not in; the text names it and the cause
    """
    try:
        words = _DEFAULTS | conninfo_to_dict(server.url)
        session = " ".join(f"-c {name}={value}" for name, value in _SESSION.items())
        words["options"] = " ".join([session, words.get("options", ""), _FIXED])
        password = server.password()
        if password is not None:
            words["password"] = password
        connection = psycopg.connect(**words)
    except (psycopg.Error, OSError) as error:
        raise DatabaseAway(f"{server.name} cannot be used: {line(error)}") from error
    if connection.info.server_version < OLDEST:
        connection.close()
        raise DatabaseAway(f"{server.name} is older than PostgreSQL {OLDEST // 10_000}: upgrade it")
    if connection.info.parameter_status("server_encoding") != "UTF8":
        connection.close()
        raise DatabaseAway(f"{server.name} is not in UTF-8: create it with ENCODING 'UTF8' TEMPLATE template0")
    return connection


def line(error: BaseException) -> str:
    """What an error of the driver says, in one line."""
    return "; ".join(part.strip() for part in str(getattr(error, "orig", None) or error).splitlines() if part.strip())


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get(WRITES, True):
        return
    try:
        connection.info[_TICKET] = connection.exec_driver_sql(_BEGIN).one()[1]
    except Exception:
        raw = connection.connection.driver_connection  # SQLAlchemy has not begun, so it would not roll back
        if isinstance(raw, psycopg.Connection) and not raw.closed:
            raw.rollback()
        raise


@define(eq=False)
class ServerDriver(ControlDriver):
    """On a PostgreSQL server."""

    server: Server

    def connect(self, *, writes: bool) -> Connection:
        connection = self.engine.connect()
        try:
            if not writes:
                options = {WRITES: False, "isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
                return connection.execution_options(**options)
            self._prepare_writer(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare_writer(self, connection: Connection) -> None:
        raw = _raw(connection)
        facts = raw.execute(_FACTS).fetchone()
        assert facts is not None
        if facts[0] == "off":  # a write is acknowledged when it is on disk, whatever the server's habit is
            raw.execute("SET synchronous_commit = on")
        raw.commit()
        connection.info[_HISTORY], connection.info[_RUN] = facts[1:3], facts[3]

    def begin(self, connection: Connection, /, *, writes: bool) -> None:
        try:
            connection.begin()
        except Exception as error:
            if _state(error) == _READ_ONLY:
                raise DatabaseAway(f"{self.server.name} is read-only: {line(error)}") from error
            raise

    def commit(self, connection: Connection, /) -> None:
        # PostgreSQL answers COMMIT with an undone transaction when a statement had failed in it, without an error.
        if _raw(connection).info.transaction_status == TransactionStatus.INERROR:
            raise RuntimeError("a call went on after a statement of its own had failed: nothing was committed")
        connection.commit()

    def is_busy(self, error: BaseException, /) -> bool:
        return _state(error) in _BUSY

    def is_lost(self, error: BaseException, /) -> bool:
        if isinstance(error, DatabaseAway | PendingRollbackError) or _state(error) in _LOST:
            return True  # SQLAlchemy's own: it was lost before, and a call went on all the same
        cause = getattr(error, "orig", None) or error
        # Without a code the error is the client's own: the connection is broken, or was before.
        return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError) and cause.sqlstate is None

    def ticket(self, connection: Connection, /) -> tuple[Any, Any, str]:
        return connection.info[_HISTORY], connection.info[_RUN], connection.info[_TICKET]

    def fate(self, connection: Connection, ticket: tuple[Any, Any, str], /) -> Fate:
        history, run, transaction = ticket
        if connection.info[_HISTORY] != history:
            return "unknown"
        fates: dict[str | None, Fate] = {"committed": "committed", "aborted": "undone", "in progress": "open"}
        if connection.info[_RUN] != run:  # all sessions ended in the crash, so what has this id now is another one
            fates = {"committed": "unknown", "aborted": "undone", "in progress": "undone", "future": "undone"}
        return fates.get(_status(_raw(connection), transaction), "unknown")

    def turn(self) -> None:
        return None

    def needs_tending(self) -> float | None:
        return None

    def tend(self, _connection: Connection, /) -> None:
        """The server looks after itself."""

    def commit_watch(self) -> None:
        """A number that is right at once would be a question to the server: who needs it may as well read."""
        return


def _status(raw: psycopg.Connection[Any], transaction: str) -> str | None:
    """What the server says of a transaction's id; ``future``: it was not given yet, or is to be given again."""
    try:
        found = raw.execute("SELECT pg_xact_status(%s::xid8)", (transaction,)).fetchone()
    except psycopg.errors.InvalidParameterValue:
        return "future"
    finally:
        if not raw.closed:
            raw.rollback()
    return found and found[0]


def _raw(connection: Connection) -> psycopg.Connection[Any]:
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw


def _state(error: BaseException) -> str | None:
    """The SQLSTATE of the server's error within."""
    state: str | None = getattr(getattr(error, "orig", None) or error, "sqlstate", None)
    return state
