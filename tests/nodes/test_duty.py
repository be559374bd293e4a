"""One duty in one process: done while it is held, cancelled when it is lost, given back at rest."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from cloudd.database import DatabaseAway, now_us, tables
from cloudd.nodes import Duty, DutyLost, Holder, _leases

from .house import House


class DutyTests(TestCase):
    def setUp(self) -> None:
        self.house = House.built(self)
        self.database: Any = self.house.database
        self.begun: list[Holder] = []
        self.cancelled = 0
        self.now = 100.0

    async def work(self, holder: Holder) -> None:
        """Goes on until it is cancelled."""
        self.begun.append(holder)
        try:
            await Deferred()
        except BaseException:
            self.cancelled += 1
            raise

    def duty(self, owner: str = "a", work: Any = None, database: Any = None, every_s: float = 0.0) -> Duty:
        duty = Duty(
            "sweep", reactor, database or self.database, owner, 1.0, work or self.work, every_s, lambda: self.now
        )
        duty.start()
        self.addCleanup(duty.rest)
        return duty

    async def look(self, duty: Duty, seconds: float = 0.4) -> None:
        """Let time go on for this duty alone, until it has looked."""
        self.now += seconds
        duty._tick()
        await self.house.until(lambda: duty._look is None)

    async def test_done_by_one(self) -> None:
        """One does it, the other waits; at rest it is given back, its work was cancelled, and the other begins."""
        first = self.duty("a")
        await self.house.until(lambda: self.begun)
        second = self.duty("b")
        await self.look(second)
        self.assertEqual((first.is_held, second.is_held, len(self.begun)), (True, False, 1))
        await first.rest()
        self.assertEqual((first.is_held, self.cancelled), (False, 1))
        await self.look(second)
        await self.house.until(lambda: len(self.begun) == 2)
        self.assertEqual(self.begun[1].lease.term, 2)

    async def test_put_in_order(self) -> None:
        """Work that takes time to end when it is cancelled has ended before another one can begin."""
        ended: list[bool] = []

        async def slow(_holder: Holder) -> None:
            try:
                await Deferred()
            except CancelledError:
                await deferLater(reactor, 0.1)
                ended.append(duty.is_held)

        duty = self.duty(work=slow)
        await self.house.until(lambda: duty._running)
        await duty.rest()
        self.assertEqual((ended, duty.is_held), ([True], False))

    async def test_told_twice_to_rest(self) -> None:
        """What work puts in order is not cut off by whoever asks again meanwhile."""
        ended: list[str] = []

        async def slow(_holder: Holder) -> None:
            try:
                await Deferred()
            finally:
                await deferLater(reactor, 0.1)
                ended.append("in order")

        duty = self.duty(work=slow)
        await self.house.until(lambda: duty._running)
        resting = [duty.rest(), duty.rest()]
        duty.willing = False
        await self.look(duty)
        for each in resting:
            await each
        self.assertEqual((ended, duty.is_held), (["in order"], False))

    async def test_begun_again(self) -> None:
        """Work that has ended is begun again after its time, work that has failed after a second."""
        ends: list[str] = []

        async def short(_holder: Holder) -> None:
            ends.append("end")
            if len(ends) == 2:
                raise ZeroDivisionError

        duty = self.duty(work=short, every_s=0.5)
        await self.house.until(lambda: ends)
        await self.look(duty, 0.4)
        self.assertEqual(len(ends), 1)
        await self.look(duty, 0.2)
        self.assertEqual(len(ends), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        await self.look(duty, 0.6)
        self.assertEqual(len(ends), 2)
        await self.look(duty, 0.6)
        self.assertEqual(len(ends), 3)

    async def test_cut_off_from_the_database(self) -> None:
        """A holder that cannot renew stops before the database lets somebody else have it."""
        away = Away(self.database)
        duty = self.duty(database=away)
        await self.house.until(lambda: self.begun)
        away.is_away = True
        await self.look(duty)
        await self.look(duty)
        self.assertEqual((duty.is_held, self.cancelled), (True, 0))
        await self.look(duty, 0.2)
        self.assertEqual((duty.is_held, self.cancelled), (False, 1))

    async def test_stood_still(self) -> None:
        """A process that did not notice that its duty went to another one writes nothing, and then notices."""
        duty = self.duty("a")
        await self.house.until(lambda: self.begun)
        await self.house.set(tables.duty, until_us=now_us() - 1)
        taken = await self.database.write(_leases.take, "sweep", "b", "", 30_000_000)
        self.assertEqual(taken.term, 2)
        written: list[int] = []
        failing = Deferred.fromCoroutine(self.begun[0].write(lambda _connection: written.append(1)))
        await self.assertFailure(failing, DutyLost)
        self.assertEqual((written, duty.is_held), ([], True))
        await self.look(duty)
        self.assertEqual((duty.is_held, self.cancelled), (False, 1))

    async def test_unwilling(self) -> None:
        """Who may not do it any more gives it back, and takes none."""
        duty = self.duty()
        await self.house.until(lambda: self.begun)
        duty.willing = False
        await self.look(duty)
        self.assertEqual((duty.is_held, self.cancelled), (False, 1))
        await self.look(duty)
        self.assertEqual(await self.database.read(_leases.ends_in_s, "sweep"), 0)

    async def test_clocks_that_differ(self) -> None:
        """Hosts whose clocks are days apart have it one after the other all the same: no host's clock is asked."""
        self.now = 9e9
        first = self.duty("a")
        await self.house.until(lambda: self.begun)
        self.now = 5.0
        second = self.duty("b")
        await self.look(second)
        self.assertFalse(second.is_held)
        left_s = await self.database.read(_leases.ends_in_s, "sweep")
        self.assertTrue(0 < left_s <= 1.0, left_s)
        self.assertTrue(first.is_held)


class Away:
    """A database that can be away."""

    def __init__(self, database: Any) -> None:
        self.database, self.is_away = database, False

    def read(self, *args: Any) -> Any:
        return self._ask(self.database.read, args)

    def write(self, *args: Any) -> Any:
        return self._ask(self.database.write, args)

    def _ask(self, method: Any, args: Any) -> Any:
        if self.is_away:
            raise DatabaseAway("nobody answers")
        return method(*args)
