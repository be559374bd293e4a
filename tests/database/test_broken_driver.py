"""Group commit over a database that fails at the worst moments; what it holds is a list."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.trial.unittest import TestCase

from cloudd.database import CommitUnknown, DatabaseAway, DatabaseBusy, GroupCommit, _away, _patience
from cloudd.database._driver import Fate


class Busy(Exception):
    """As SQLITE_BUSY."""


class Lost(Exception):
    """As of a connection that the server closed."""


class Broken(Exception):
    """As SQLITE_IOERR."""


@define(eq=False)
class Lists:
    """A ``Driver`` whose connections are lists; ``faults`` has, per method, what its next calls raise."""

    faults: dict[str, list[type[Exception] | None]] = field(factory=dict)
    committed: list[str] = field(factory=list)
    fates: list[Fate] = field(factory=list)
    asked: list[list[str]] = field(factory=list)
    opened: int = 0
    closed: int = 0

    def fault(self, method: str) -> None:
        planned = self.faults.get(method)
        if planned and (error := planned.pop(0)) is not None:
            raise error(method)

    def connect(self, *, writes: bool) -> list[str]:
        self.fault("connect")
        self.opened += 1
        return []

    def close(self, connection: list[str], /) -> None:
        self.closed += 1
        self.fault("close")

    def begin(self, connection: list[str], /, *, writes: bool) -> None:
        self.fault("begin")
        connection.clear()

    def commit(self, connection: list[str], /) -> None:
        self.fault("commit")
        self.committed.extend(connection)

    def rollback(self, connection: list[str], /) -> None:
        connection.clear()
        self.fault("rollback")

    def savepoint(self, connection: list[str], /) -> int:
        return len(connection)

    def release(self, connection: list[str], savepoint: int, /) -> None:
        self.fault("release")

    def undo(self, connection: list[str], savepoint: int, /) -> None:
        self.fault("undo")
        del connection[savepoint:]

    def commit_watch(self) -> None:
        return None

    def turn(self) -> None:
        return None

    def needs_tending(self) -> float | None:
        return None

    def tend(self, connection: list[str], /) -> None:
        raise AssertionError("there is no turn")

    def is_busy(self, error: BaseException, /) -> bool:
        return isinstance(error, Busy)

    def is_lost(self, error: BaseException, /) -> bool:
        return isinstance(error, Lost | DatabaseAway)

    def ticket(self, connection: list[str], /) -> list[str]:
        return list(connection)

    def fate(self, connection: list[str], ticket: list[str], /) -> Fate:
        self.asked.append(ticket)
        return self.fates.pop(0)


def add(name: str, *errors: type[Exception]) -> Callable[[list[str]], str]:
    """A function that adds ``name``, and raises once for each of ``errors``."""
    planned = list(errors)

    def call(connection: list[str]) -> str:
        connection.append(name)
        if planned:
            raise planned.pop(0)(name)
        return name

    return call


class BrokenDriverTests(TestCase):
    def setUp(self) -> None:
        self.driver = Lists()
        self.database = GroupCommit(self.driver, reactor, "lists", 1)
        self.addCleanup(self.database.close)

    async def together(self, *calls: Callable[[list[str]], str]) -> list[Any]:
        """The results of calls that wait together; a failure is its class."""
        go, begun = Event(), Event()

        def hold(_: list[str]) -> None:
            if not go.is_set():
                begun.set()
                assert go.wait(20)

        held = self.database.write(hold)
        assert begun.wait(20)
        waiting: list[Deferred[Any]] = [self.database.write(call) for call in calls]
        go.set()
        await DeferredList([held], consumeErrors=True)
        results = await DeferredList(waiting, consumeErrors=True)
        return [result if success else result.type for success, result in results]

    async def test_commit_busy(self) -> None:
        """A busy commit is done again for each call, and everybody succeeds once."""
        self.driver.faults["commit"] = [Busy, None, Busy]
        self.assertEqual(await self.together(add("a"), add("b")), ["a", "b"])
        self.assertEqual(self.driver.committed, ["a", "b"])

    async def test_commit_broken(self) -> None:
        """After an error at a commit each call gets a transaction of its own on a new connection."""
        self.driver.faults["commit"] = [Broken, None, Broken, None]
        self.assertEqual(await self.together(add("a"), add("b"), add("c")), [Broken, "b", "c"])
        self.assertEqual(self.driver.committed, ["b", "c"])
        self.assertEqual(self.driver.opened - self.driver.closed, 1)

    async def test_broken_alone(self) -> None:
        """A call that is alone gets the error of its commit, and it is not tried again."""
        self.driver.faults["commit"] = [Broken]
        await self.assertFailure(self.database.write(add("a")), Broken)
        self.assertEqual(self.driver.committed, [])
        self.assertEqual(await self.database.write(add("b")), "b")

    async def test_savepoint_lost(self) -> None:
        self.driver.faults["undo"] = [Broken]
        self.assertEqual(
            await self.together(add("a"), add("b", ValueError, ValueError), add("c")), ["a", ValueError, "c"]
        )
        self.assertEqual(self.driver.committed, ["a", "c"])

    async def test_busy_inside_a_call(self) -> None:
        """A read that meets a busy database is done again; so is a write whose transaction was lost."""
        self.assertEqual(await self.database.read(add("x", Busy, Busy)), "x")
        self.driver.faults["release"] = [Broken]
        self.assertEqual(await self.together(add("a"), add("b")), ["a", "b"])

    async def test_busy_connecting(self) -> None:
        self.driver.faults["connect"] = [Busy, Busy]
        self.assertEqual(await self.database.write(add("a")), "a")

    async def test_locked_for_good(self) -> None:
        self.patch(_patience, "BUSY_LIMIT_S", 0.01)
        self.driver.faults["begin"] = [Busy] * 1000
        self.assertEqual(await self.together_locked_out(), [DatabaseBusy] * 3)
        self.driver.faults.clear()
        self.assertEqual(await self.database.write(add("b")), "b")
        self.assertEqual(self.driver.committed, ["b"])

    async def together_locked_out(self) -> list[Any]:
        """The failures of three calls, of which two wait behind the first."""
        waiting: list[Deferred[Any]] = [self.database.write(add(name)) for name in ("x", "y", "z")]
        return [result.type for _, result in await DeferredList(waiting, consumeErrors=True)]

    async def test_lost_in_a_read(self) -> None:
        """A read whose connection goes is done again on another one."""
        self.assertEqual(await self.database.read(add("x", Lost)), "x")
        self.assertEqual((self.driver.opened, self.driver.closed), (2, 1))

    async def test_lost_in_a_write(self) -> None:
        """Before the commit nothing has happened: alone or together, each call is done again, and counts once."""
        self.assertEqual(await self.database.write(add("x", Lost)), "x")
        self.driver.faults["undo"] = [Broken]
        self.assertEqual(await self.together(add("a"), add("b", Lost), add("c")), ["a", "b", "c"])
        self.assertEqual(self.driver.committed, ["x", "a", "b", "c"])
        self.assertEqual(self.driver.asked, [])

    async def test_lost_when_it_begins(self) -> None:
        self.driver.faults["begin"] = [Lost]
        self.assertEqual(await self.database.write(add("x")), "x")
        self.assertEqual(self.driver.committed, ["x"])

    async def test_commit_not_answered(self) -> None:
        """What became of it is asked for on another connection, and it is done again only where it was undone."""
        self.driver.faults["commit"] = [Lost]
        self.driver.fates = ["open", "committed"]
        self.assertEqual(await self.database.write(add("x")), "x")
        self.assertEqual(self.driver.asked, [["x"]] * 2)
        self.assertEqual(self.driver.committed, [])  # by the lost connection, so the list here does not know
        self.driver.faults["commit"] = [Lost]
        self.driver.fates = ["undone"]
        self.assertEqual(await self.database.write(add("y")), "y")
        self.assertEqual(self.driver.committed, ["y"])

    async def test_commit_unknown(self) -> None:
        """What cannot be told is said, to all who shared the commit, and never done again."""
        self.driver.faults["commit"] = [None, Lost]
        self.driver.fates = ["unknown"]
        await self.database.write(add("x"))
        self.assertEqual(await self.together(add("a"), add("b")), [CommitUnknown] * 2)
        self.assertEqual(self.driver.committed, ["x"])
        self.assertEqual(await self.database.write(add("c")), "c")

    async def test_group_commit_not_answered(self) -> None:
        self.driver.faults["commit"] = [Lost]
        self.driver.fates = ["undone"]
        self.assertEqual(await self.together(add("a"), add("b")), ["a", "b"])
        self.assertEqual(self.driver.committed, ["a", "b"])

    async def test_away(self) -> None:
        """A server that has gone is waited for once; then calls fail at once with its name, until it is back."""
        self.patch(_away.Away, "LIMIT_S", 0.05)
        self.driver.faults["connect"] = [Lost] * 1000
        for call in (self.database.read, self.database.write):
            await self.assertFailure(call(add("x")), DatabaseAway, Lost)
        self.assertEqual(self.database.away, "connect")
        left = len(self.driver.faults["connect"])
        for _ in range(10):
            await self.assertFailure(self.database.read(add("x")), DatabaseAway)
        self.assertEqual(len(self.driver.faults["connect"]), left)
        self.driver.faults.clear()
        self.patch(_away, "AGAIN_S", 0.0)
        self.database._away._next = 0.0
        self.assertEqual(await self.database.read(add("x")), "x")
        self.assertEqual(self.database.away, "")

    async def test_broken_ends(self) -> None:
        """Trouble with ending a read or closing a connection is logged; results are given all the same."""
        self.driver.faults.update(rollback=[Broken], close=[Broken])
        self.assertEqual(await self.database.read(add("x")), "x")
        self.assertEqual(await self.database.read(add("y")), "y")
        self.assertEqual(self.driver.opened, 2)
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 2)
