"""PostgreSQL going away and coming back: what is done again, what is not, and what is said."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.database import (
    CommitUnknown,
    DatabaseAway,
    MigrationFailed,
    _away,
    _patience,
    migrate,
    open_control_database,
)
from cloudd.database._control import ControlDatabase
from cloudd.database._postgres import ServerDriver
from cloudd.interfaces.database import Server
from tests.database.choice import new_database
from tests.database.postgres import GUARDED, PASSWORD, START_S, Postgres, shared_postgres
from tests.database.test_control import add, count
from tests.ports import free_port


def own_session(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


def end_sessions(url: str) -> None:
    """As an administrator, a fail-over or a firewall does."""
    name = url.rpartition("/")[2]
    with shared_postgres().connect() as server:
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))


class Case(TestCase):
    def opened(self, url: str = "") -> ControlDatabase:
        self.url = url or str(new_database(self, "postgresql"))
        database = open_control_database(self.url, reactor=reactor, threads=1)
        self.addCleanup(database.close)
        return database


class LossTests(Case):
    async def test_between_calls(self) -> None:
        """Connections that ended while nobody used them are not noticed by anybody."""
        database = self.opened()
        await database.write(add, "a")
        self.assertEqual(await database.read(count), 1)
        end_sessions(self.url)
        self.assertEqual(await database.read(count), 1)
        self.assertEqual(await database.write(add, "b"), "b")
        self.assertEqual(await database.read(count), 2)

    async def test_in_a_call(self) -> None:
        """A read and a write in the middle of which the connection ends are done again, and count once."""
        database = self.opened()
        ended: list[str] = []

        def lose(connection: Connection, name: str) -> int:
            if name:
                add(connection, name)
            if name not in ended:
                ended.append(name)
                end_sessions(self.url)
            return count(connection)

        self.assertEqual(await database.write(lose, "a"), 1)
        self.assertEqual(await database.read(lose, ""), 1)

    async def test_a_call_that_goes_on(self) -> None:
        """One that does not mind that the connection has ended is done again all the same: it left nothing."""
        database = self.opened()
        ended: list[int] = []

        def go_on(connection: Connection, name: str) -> None:
            add(connection, name)
            if not ended:
                ended.append(own_session(connection))
                end_sessions(self.url)
                with contextlib.suppress(OperationalError):
                    count(connection)

        await database.write(go_on, "a")
        self.assertEqual(await database.read(count), 1)
        ended.clear()
        writes: list[Deferred[Any]] = [database.write(go_on, "b"), *(database.write(add, name) for name in "cd")]
        await gatherResults(writes)
        self.assertEqual(await database.read(count), 4)

    async def test_in_a_group(self) -> None:
        database = self.opened()
        began, go = Event(), Event()

        def hold(connection: Connection) -> None:
            if not go.is_set():
                began.set()
                assert go.wait(20)
                end_sessions(self.url)
            count(connection)

        waiting: list[Deferred[Any]] = [database.write(hold), *(database.write(add, name) for name in "abc")]
        assert began.wait(20)
        go.set()
        await gatherResults(waiting)
        self.assertEqual(await database.read(count), 3)


class CommitTests(Case):
    """A commit whose answer never comes."""

    async def lost(self, *, before: bool) -> Any:
        """A write whose connection ends right before or right after the server has committed."""
        commit = ServerDriver.commit
        lost: list[bool] = []

        def lose(driver: ServerDriver, connection: Connection) -> None:
            if not lost:
                lost.append(before)
                raw: Any = connection.connection.driver_connection
                if not before:
                    raw.execute("COMMIT")
                    raw.execute("BEGIN")  # so that the driver, which has not seen the commit, sends one
                end_sessions(self.url)
            commit(driver, connection)

        self.patch(ServerDriver, "commit", lose)
        database = self.opened()
        return database, await database.write(add, "a")

    async def test_done(self) -> None:
        """It counts, so it is not done again: the second time the name would be taken."""
        database, result = await self.lost(before=False)
        self.assertEqual(result, "a")
        self.assertEqual(await database.read(count), 1)

    async def test_not_done(self) -> None:
        """It is done again."""
        database, result = await self.lost(before=True)
        self.assertEqual(result, "a")
        self.assertEqual(await database.read(count), 1)

    async def test_after_a_fail_over(self) -> None:
        """On another history the number of the transaction proves nothing, so nothing is claimed or repeated."""
        prepare = ServerDriver._prepare_writer
        told: list[str] = []

        def other_history(driver: ServerDriver, connection: Connection) -> None:
            prepare(driver, connection)
            connection.info["cloudd_history"] = ("1", f"timeline {len(told)}")
            told.append("")

        self.patch(ServerDriver, "_prepare_writer", other_history)
        with self.assertRaises(CommitUnknown):
            await self.lost(before=False)

    async def test_fate_of_an_open_transaction(self) -> None:
        database = self.opened()
        driver: Any = database._driver
        first, second = driver.connect(writes=True), driver.connect(writes=True)
        driver.begin(first, writes=True)
        ticket = driver.ticket(first)
        self.assertEqual(driver.fate(second, ticket), "open")
        driver.rollback(first)
        self.assertEqual(driver.fate(second, ticket), "undone")
        for connection in (first, second):
            driver.close(connection)


class ServerTests(Case):
    """A server of this test's own, which is stopped and killed."""

    def server(self) -> Postgres:
        server = Postgres()
        self.addCleanup(server.remove)
        server.make()
        return server

    async def test_crash(self) -> None:
        """Calls made while the server is away wait for it, and nothing that was acknowledged is lost."""
        server = self.server()
        url = server.url(server.create())
        migrate(url)
        database = self.opened(url)
        await database.write(add, "a")
        server.stop(signal.SIGQUIT)
        waiting: list[Deferred[Any]] = [database.write(add, "b"), database.read(count)]
        await deferToThread(server.start)
        await gatherResults(waiting)
        self.assertEqual(await database.read(count), 2)
        self.assertEqual(database.away, "")

    async def test_number_that_comes_again(self) -> None:
        """
        After a crash PostgreSQL gives numbers of transactions again of which nothing was on disk.

        So one that was lost is never taken for another one that has its number and counts; what did not come to its
        commit can be told, what may have is unknown.
        """
        server = self.server()
        url = server.url(server.create())
        migrate(url)
        driver: Any = self.opened(url)._driver
        lost = driver.connect(writes=True)
        driver.begin(lost, writes=True)
        ticket = driver.ticket(lost)
        with server.connect() as administrator:
            os.kill(own_session(lost), signal.SIGKILL)
            with self.assertRaises(psycopg.OperationalError):  # the server ends all sessions then
                while True:
                    administrator.execute("SELECT 1")
        driver.close(lost)
        deadline = time.monotonic() + START_S
        while True:
            try:
                server.connect().close()
                break
            except psycopg.OperationalError:
                self.assertLess(time.monotonic(), deadline)
        following = driver.connect(writes=True)
        self.assertNotEqual(driver.fate(following, ticket), "committed")
        number, numbers = 0, []
        while number < int(ticket[-1]):
            driver.begin(following, writes=True)
            number = int(driver.ticket(following)[-1])
            numbers.append(number)
            driver.commit(following)
        self.assertIn(int(ticket[-1]), numbers)
        self.assertEqual(driver.fate(following, ticket), "unknown")
        driver.close(following)

    async def test_gone_for_good(self) -> None:
        """The error names the server and the cause, and later calls do not wait."""
        self.patch(_patience, "BUSY_LIMIT_S", 0.2)
        self.patch(_away.Away, "LIMIT_S", 0.1)
        port = free_port()
        database = self.opened(f"postgresql://cloudd@127.0.0.1:{port}/cloud")
        calls: list[Deferred[Any]] = [database.read(count), database.write(add, "a")]
        for call in calls:
            error = await self.assertFailure(call, DatabaseAway)
            self.assertIn(f"PostgreSQL at 127.0.0.1:{port}, database cloud", str(error))
            self.assertIn("refused", str(error))
            self.assertNotIn("\n", str(error))
        self.assertIn("refused", database.away)
        self.assertIn("refused", str(self.assertRaises(MigrationFailed, migrate, database._driver.server.url)))  # type: ignore[attr-defined]

    async def test_fail_over(self) -> None:
        """Of several hosts the primary is used, and when the standby has been promoted, that one; no id comes again."""
        primary = Postgres(durable=True, settings="fsync = off\nmax_wal_senders = 4\nsynchronous_standby_names = ''")
        self.addCleanup(primary.remove)
        primary.make()
        name = primary.create()
        migrate(primary.url(name))
        standby = Postgres(durable=True, settings="fsync = off")
        self.addCleanup(standby.remove)
        await deferToThread(standby.copy, primary)
        url = f"postgresql://cloudd@127.0.0.1:{standby.port},127.0.0.1:{primary.port}/{name}"
        database = self.opened(url)
        await database.write(add, "a")
        standby.await_copy(primary)
        primary.stop(signal.SIGQUIT)
        waiting = database.write(add, "b")
        await deferToThread(standby.run, "pg_ctl", "promote", "-D", standby.data)
        self.assertEqual(await waiting, "b")
        self.assertEqual(await database.read(count), 2)


class TurnTests(Case):
    """Whoever writes sees what the writer before it has done, whatever the server's habit is."""

    async def test_other_isolation(self) -> None:
        """Two processes count and then add, both at once: as many as there is room for."""
        url = str(new_database(self, "postgresql"))
        name = url.rpartition("/")[2]
        with shared_postgres().connect() as server:
            server.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
        own = f"{url}?options=-c%20default_transaction_isolation%3Dserializable"
        writers = [self.opened(each) for each in (url, own)]

        def add_below_ten(connection: Connection, name: str) -> bool:
            if count(connection) >= 10:
                return False
            add(connection, name)
            return True

        asked = [writers[number % 2].write(add_below_ten, f"n{number}") for number in range(100)]
        self.assertEqual((await gatherResults(asked)).count(True), 10)
        self.assertEqual(await writers[0].read(count), 10)


class PasswordTests(SynchronousTestCase):
    def test_file(self) -> None:
        """The password is read from its file at each connect, and no error tells it."""
        server = shared_postgres()
        url = server.url(str(new_database(self, "postgresql")).rpartition("/")[2], GUARDED)
        file = Path(self.mktemp())
        file.write_text(PASSWORD + "\n")
        self.assertFalse(migrate(url, str(file)))
        file.write_text("wrong secret\n")
        self.patch(_patience, "BUSY_LIMIT_S", 0.01)
        error = self.assertRaises(MigrationFailed, migrate, url, str(file))
        self.assertIn("password authentication failed", str(error))
        self.assertNotIn("wrong secret", str(error))

    def test_no_file(self) -> None:
        self.patch(_patience, "BUSY_LIMIT_S", 0.01)
        error = self.assertRaises(MigrationFailed, migrate, "postgresql://u@127.0.0.1/cloud", "/nonexistent/password")
        self.assertIn("/nonexistent/password", str(error))

    def test_encoding(self) -> None:
        """A database that cannot hold every name is refused with what to do."""
        server = shared_postgres()
        with server.connect() as connection:
            connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 OWNER cloudd")
        self.addCleanup(server.drop, "latin")
        self.patch(_patience, "BUSY_LIMIT_S", 0.01)
        self.assertIn("UTF8", str(self.assertRaises(MigrationFailed, migrate, server.url("latin"))))

    def test_server_name_has_no_user(self) -> None:
        self.assertNotIn("cloudd@", Server("postgresql://cloudd@db/cloud").name)


class StandbyTests(SynchronousTestCase):
    def test_refuses(self) -> None:
        """A server that is read-only is as good as away: of several the primary is looked for."""
        url = str(new_database(self, "postgresql"))
        with shared_postgres().connect() as server:
            server.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET default_transaction_read_only = on")
        self.patch(_patience, "BUSY_LIMIT_S", 0.01)
        self.assertIn("read-only", str(self.assertRaises(MigrationFailed, migrate, url)))
        psycopg.connect(url).close()
