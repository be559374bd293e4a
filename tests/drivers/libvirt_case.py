"""What tests of the libvirt driver share: a driver with a folder of its own, and guests that go with the test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from cloudd.daemon._threads import WorkerThreads
from cloudd.drivers._libvirt import LibvirtDriver
from cloudd.hypervisor import Hypervisor
from cloudd.interfaces.servers import Guest, IServerDriver, Power, Seen
from tests.drivers.guest_image import guest_image
from tests.hypervisor.own_libvirt import own_libvirt

Found = TypeVar("Found")

UP = b"cloudd guest: up"
MIB = 1 << 20


class LibvirtCase(TestCase):
    """Guests are emulated, so that nothing depends on the machine."""

    timeout = 180

    async def setUp(self) -> None:  # type: ignore[override]
        self.own = own_libvirt()
        self.image = guest_image()
        self.folder = Path(tempfile.mkdtemp(prefix="cloudd-guests-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.threads = WorkerThreads(reactor, 4)
        self.threads.start()
        self.addCleanup(self.threads.stop)
        self.seen: list[Seen] = []
        self.hypervisor = Hypervisor(reactor, self.own.uri, self.threads)
        self.addCleanup(self.hypervisor.stop)
        self.driver: IServerDriver = await self.make_driver()

    async def make_driver(self) -> IServerDriver:
        driver = LibvirtDriver(reactor, self.hypervisor, self.folder / "guests", self.threads, "tcg")
        self.addCleanup(driver.stop)
        await driver.start(self.observe)
        return driver

    def observe(self, seen: Seen) -> None:
        self.seen.append(seen)

    def guest(self, **facts: Any) -> Guest:
        """One that boots directly; it is removed at the end."""
        guest = Guest(
            id=str(uuid4()),
            name="first <server> & others",
            vcpus=1,
            memory_mib=128,
            disk_bytes=64 * MIB,
            image=self.image.disk,
            kernel=self.image.kernel,
            initrd=self.image.initrd,
            kernel_arguments=self.image.arguments,
            owner={"project": "p1", "user": "u1"},
        )
        self.addCleanup(self.take_away, guest.id)
        return evolve(guest, **facts)

    async def take_away(self, server_id: str) -> None:
        await self.driver.start(self.observe)  # a test may have stopped it
        await self.driver.remove(server_id)
        await self.driver.stop()

    async def up(self, **facts: Any) -> Guest:
        """One that says that it is up."""
        guest = self.guest(**facts)
        await self.driver.define(guest)
        await self.driver.power_on(guest.id)
        await self.says(guest, UP)
        return guest

    async def says(self, guest: Guest, text: bytes, times: int = 1) -> bytes:
        """Its console, once ``text`` is there that often."""

        async def said() -> bytes:
            console = await self.driver.console(guest.id, 1 << 20)
            return console if console.count(text) >= times else b""

        return await self.until(said)

    async def power(self, guest: Guest) -> Power:
        return {seen.id: seen.power for seen in await self.driver.guests()}[guest.id]

    async def comes_to(self, guest: Guest, power: Power) -> Seen:
        """What was told of it last, once that is ``power``."""

        async def last() -> Seen | None:
            found = [seen for seen in self.seen if seen.id == guest.id]
            return found[-1] if found and found[-1].power == power else None

        return await self.until(last)

    async def until(self, look: Callable[[], Awaitable[Found | None]]) -> Found:
        while not (found := await look()):
            await deferLater(reactor, 0.05)
        return found

    def fails(self, done: Deferred[Any], kind: type[Exception]) -> Deferred[Any]:
        return self.assertFailure(done, kind)
