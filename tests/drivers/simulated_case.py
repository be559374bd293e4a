"""A simulated host for one test."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from cloudd.daemon._threads import WorkerThreads
from cloudd.drivers import SimulatedDriver
from cloudd.interfaces.servers import Guest, IServerDriver, Seen

MIB = 1 << 20


class SimulatedCase(TestCase):
    """:ivar driver: started; what it tells arrives at ``observe``"""

    timeout = 60
    driver: IServerDriver

    async def setUp(self) -> None:  # type: ignore[override]
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.image = self.folder / "image.raw"
        with self.image.open("wb") as image:
            image.truncate(2 * MIB)
        self.host = self.folder / "host"
        self.threads = WorkerThreads(reactor, 4)
        self.threads.start()
        self.addCleanup(self.threads.stop)
        self.driver = self.another()
        await self.driver.start(self.observe)
        self.addCleanup(self.driver.stop)

    def observe(self, seen: Seen) -> None:
        """Takes what the driver tells."""

    def another(self) -> SimulatedDriver:
        return SimulatedDriver(reactor, self.host, self.threads)

    def a_guest(self) -> Guest:
        return Guest(
            id=str(uuid4()),
            name="web-1",
            vcpus=1,
            memory_mib=128,
            disk_bytes=8 * MIB,
            image=self.image,
            image_format="raw",
        )
