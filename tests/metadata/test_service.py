"""The service: what is read and how often, and how much one guest may ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from cloudd.compute import change_server
from cloudd.interfaces.application import Resources, SelfCheckFailed
from cloudd.interfaces.settings import Settings
from cloudd.metadata import Metadata, NoSuchDocument, NoSuchGuest, NotReady, OwnNode, TooManyRequests, _service
from cloudd.metadata._rate import Rate
from tests.metadata.guest import SERVER_ID, GuestCase, seeded
from tests.protocols.rest.identity.cloud import URLS, InlineThreads


class CountingDatabase:
    """A database that counts reads, tells a version that a test sets, and can hold reads back."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.number: int | None = 1
        self.reads = 0
        self.held: list[Deferred[None]] | None = None

    def version(self) -> int | None:
        return self.number

    def read(self, *args: Any) -> Deferred[Any]:
        self.reads += 1
        if self.held is None:
            return cast("Deferred[Any]", self.real.read(*args))
        waiting: Deferred[Any] = Deferred()
        self.held.append(waiting)
        return waiting.addCallback(lambda _: self.real.read(*args))


class ServiceTests(GuestCase):
    def setUp(self) -> None:
        super().setUp()
        self.counting = CountingDatabase(self.database)
        self.clock = Clock()
        self.own: OwnNode | None = OwnNode("n1", "host-1")
        resources = Resources(
            reactor=self.clock, settings=Settings(state=Path("state")), threads=InlineThreads(),
            database=cast(Any, self.counting), object_index=cast(Any, None), metrics=cast(Any, None),
            host=cast(Any, None), role="front", generation=1, urls=URLS, secrets=Path("secrets"),
        )  # fmt: skip
        self.service = Metadata(resources, self.own_node, seeded, Rate(burst=20, per_s=1.0))

    async def own_node(self) -> OwnNode | None:
        return self.own

    async def ask(self, path: str = "/latest/meta-data/hostname", address: str = "10.0.0.5") -> bytes:
        return (await self.service.find(address, path)).body

    async def refused(self, error: type[Exception], *args: str) -> Any:
        return await self.assertFailure(Deferred.fromCoroutine(self.ask(*args)), error)

    async def test_read_once(self) -> None:
        """A whole boot reads once, as long as nobody writes."""
        await self.server(await self.port())
        for path in ("/openstack/latest/meta_data.json", "/openstack/latest/network_data.json", "/latest/meta-data/"):
            self.assertTrue(await self.ask(path))
        self.assertEqual(self.counting.reads, 1)

    async def test_written(self) -> None:
        """After a write what is told is what is written."""
        await self.server(await self.port())
        self.assertEqual(await self.ask(), b"web")
        await self.database.write(change_server, SERVER_ID, host_name="other")
        self.counting.number = 2
        self.assertEqual(await self.ask(), b"other")

    async def test_version_unknown(self) -> None:
        """Where nobody can tell whether something was written nothing is kept."""
        self.counting.number = None
        await self.server(await self.port())
        self.assertEqual([await self.ask(), await self.ask()], [b"web", b"web"])
        self.assertEqual(self.counting.reads, 2)

    async def test_nobody_kept(self) -> None:
        """That nobody has an address is kept too, and only as long."""
        await self.refused(NoSuchGuest)
        await self.refused(NoSuchGuest)
        self.assertEqual(self.counting.reads, 1)
        await self.server(await self.port())
        self.counting.number = 2
        self.assertEqual(await self.ask(), b"web")

    async def test_not_ready_not_kept(self) -> None:
        """Who is told to ask again is looked for again."""
        await self.port(device_id=SERVER_ID)
        await self.refused(NotReady)
        await self.refused(NotReady)
        self.assertEqual(self.counting.reads, 2)

    async def test_node_unknown(self) -> None:
        """Before this node is in the registry nobody can be told; afterwards it is not asked for again."""
        await self.server(await self.port())
        self.own = None
        await self.refused(NotReady)
        self.own = OwnNode("n1", "host-1")
        self.assertEqual(await self.ask(), b"web")
        self.own = None
        self.counting.number = 2
        self.assertEqual(await self.ask(), b"web")

    async def test_no_address(self) -> None:
        """What is no address of a network is nobody, and is not looked for."""
        for address in ("self-check", "local", "", "fe80::1%tap0"):
            await self.refused(NoSuchGuest, "/", address)
        self.assertEqual(self.counting.reads, 0)

    async def test_kept_is_bounded(self) -> None:
        """As many are kept as there may be; the oldest goes."""
        self.patch(_service, "KEPT", 2)
        for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.2", "10.0.0.1"):
            await self.refused(NoSuchGuest, "/latest", address)
        self.assertEqual(self.counting.reads, 4)

    async def test_rate(self) -> None:
        """One that asks too often is told when to ask again, and others are served."""
        await self.server(await self.port())
        for _ in range(20):
            await self.ask()
        error = await self.refused(TooManyRequests)
        self.assertEqual(error.wait_s, 1)
        await self.refused(NoSuchGuest, "/latest", "10.0.0.6")
        self.clock.advance(1.0)
        self.assertEqual(await self.ask(), b"web")

    async def test_many_at_once(self) -> None:
        """One guest does not fill the database's queue, however slow that is; then it is served as before."""
        await self.server(await self.port())
        self.counting.held, self.counting.number = [], None
        asked = [Deferred.fromCoroutine(self.ask()) for _ in range(_service.AT_ONCE)]
        await self.refused(TooManyRequests)
        held, self.counting.held = self.counting.held, None
        for each in held:
            each.callback(None)
        self.assertEqual([await each for each in asked], [b"web"] * _service.AT_ONCE)
        self.assertEqual(await self.ask(), b"web")

    async def test_read_fails(self) -> None:
        """What cannot be read fails, is not kept and holds no place."""
        await self.server(await self.port())
        self.database.failing = OSError("gone")
        for _ in range(_service.AT_ONCE + 1):
            await self.refused(OSError)
        self.database.failing = None
        self.assertEqual(await self.ask(), b"web")

    async def test_no_document(self) -> None:
        """A guest that there is, and a path that it has nothing at."""
        await self.server(await self.port())
        await self.refused(NoSuchDocument, "/latest/none")

    async def test_self_check(self) -> None:
        """It reads; what cannot be read is named."""
        await self.service.self_check()
        self.database.failing = OSError("no such table")
        failing: Deferred[Any] = self.service.self_check()
        error = await self.assertFailure(failing, SelfCheckFailed)
        self.assertIn("cloudd.metadata: no such table", str(error))
