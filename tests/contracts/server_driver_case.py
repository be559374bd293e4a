"""What a test of an ``IServerDriver`` needs: how its guests are made and harmed, and what is checked of each call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from cloudd.interfaces.servers import DriverError, Guest, IServerDriver, Power, Seen

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as Base
else:
    Base = object


class ServerDriverCase(Base):
    """
    Mix into a ``TestCase`` which sets, before each test:

    :ivar driver: one that was started with ``self.observe``; stopped by the ``TestCase``
    :ivar folder: an empty one for files of the test
    """

    driver: IServerDriver
    folder: Path
    patience_s = 60.0

    # What a provider says

    def another(self) -> IServerDriver:
        """Another object for the same host, not started."""
        raise NotImplementedError

    def a_guest(self) -> Guest:
        """One that boots, with an id that is not used yet; its image is of 1 MiB at least, its disk bigger."""
        raise NotImplementedError

    async def crash(self, server_id: str) -> None:
        """End a running guest behind the driver's back."""
        raise NotImplementedError

    async def foreign_guest(self, uuid: str) -> str:
        """Start a guest that is not of this cloud; fires with its name when it runs."""
        raise NotImplementedError

    async def foreign_power(self, name: str) -> Power:
        """What it does, asked from the hypervisor itself."""
        raise NotImplementedError

    def let_power_off_take_an_hour(self) -> None:
        """From now on, where guests always hear; a guest that has not booted may do so by itself."""
        raise NotImplementedError

    async def booted(self, server_id: str) -> None:
        """Wait until a running guest has written on its console."""
        raise NotImplementedError

    # For the tests

    def observe(self, seen: Seen) -> None:
        self.told = [*getattr(self, "told", []), seen]
        for predicate, waiting in list(getattr(self, "waiting", [])):
            if predicate(seen):
                self.waiting.remove((predicate, waiting))
                waiting.callback(seen)

    def hear(self, server_id: str, power: Power) -> Deferred[Seen]:
        """Fires when the driver tells it; to be called before what leads there."""
        heard: Deferred[Seen] = Deferred()
        self.waiting: list[tuple[Callable[[Seen], bool], Deferred[Seen]]] = [
            *getattr(self, "waiting", []),
            (lambda seen: (seen.id, seen.power) == (server_id, power), heard),
        ]
        return heard

    async def defined(self) -> Guest:
        guest = self.a_guest()
        await self.driver.define(guest)
        return guest

    async def running(self) -> Guest:
        guest = await self.defined()
        await self.driver.power_on(guest.id)
        return guest

    async def powers(self, driver: IServerDriver | None = None) -> dict[str, Power]:
        return {seen.id: seen.power for seen in await (driver or self.driver).guests() if seen.id}

    async def twice(self, call: Callable[[], Deferred[None]], server_id: str, power: Power) -> None:
        """Called once or again, the guest is as it should be."""
        for _ in range(2):
            await call()
            self.assertEqual((await self.powers()).get(server_id), power)

    async def failure_of(self, call: Deferred[None]) -> DriverError:
        try:
            await call
        except DriverError as error:
            return error
        raise AssertionError("it did not fail")

    async def refused(self, call: Callable[[], Deferred[None]], server_id: str, *words: str) -> DriverError:
        """It says why and what to do, and the guest is as it was."""
        before = (await self.powers()).get(server_id)
        error = await self.failure_of(call())
        self.assertTrue(error.cause and error.next_step)
        for word in words:
            self.assertIn(word, error.cause)
        self.assertEqual((await self.powers()).get(server_id), before)
        return error
