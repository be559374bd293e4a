"""Events as one part of a generation: its check, its upkeep and its end."""

from __future__ import annotations

import resource

from attrs import evolve
from twisted.internet.defer import fail
from twisted.trial.unittest import TestCase

from cloudd.daemon._metrics import WorkerMetrics
from cloudd.events import Events, Position
from cloudd.events._service import PRUNE_EVERY_S
from cloudd.interfaces.application import Resources, SelfCheckFailed
from cloudd.interfaces.settings import EventSettings
from storage import MemoryStore
from tests.identity.house import House


class ServiceTests(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.house = await House.built(self)
        self.database = self.house.database()
        self.store = MemoryStore(self.house.clock.seconds)
        self.identity = self.house.worker(database=self.database)

    def resources(self, role: str) -> Resources:
        resources = self.house.resources(self.database, role)
        settings = evolve(resources.settings, events=EventSettings(keep=1000))
        return evolve(resources, metrics=WorkerMetrics(), settings=settings)

    def events(self, role: str = "agent") -> Events:
        events = Events(self.resources(role), self.identity, self.store)
        self.addCleanup(events.retire)
        return events

    async def kept(self) -> int:
        """How many changes are in the store's log."""
        await self.house.threads.run(int)
        await self.database.read(id)
        return len((await self.store.changes(0, 1 << 30))[1])

    async def test_self_check(self) -> None:
        """It reads both logs and changes nothing; a log that is not there is a failure with its cause."""
        events = self.events()
        await events.self_check()
        self.store.changes = lambda *_args: fail(OSError("no such table: changes"))  # type: ignore[method-assign]
        with self.assertRaises(SelfCheckFailed) as caught:
            await events.self_check()
        self.assertIn("no such table: changes", str(caught.exception))

    async def test_descriptors_are_left(self) -> None:
        """Streams do not take all descriptors of the process, whatever the settings say."""
        for descriptors, most in ((1024, 24), (500, 0), (1 << 20, 20_000)):
            self.patch(resource, "getrlimit", lambda _, descriptors=descriptors: (descriptors, descriptors))
            self.assertEqual(self.events()._most, most)
        self.assertFalse(self.events().is_full)

    async def test_forgets(self) -> None:
        """One worker forgets what is too old once its code was decided for, now and then, until it is retired."""
        for number in range(1010):
            await self.store.create_container("AUTH_a", f"b{number}", {})
        other = self.events("front")
        other.start({})
        other.lead()
        events = self.events()
        events.start({})
        self.house.clock.advance(PRUNE_EVERY_S)
        self.assertEqual(await self.kept(), 1010)
        events.lead()
        self.house.clock.advance(PRUNE_EVERY_S)
        self.assertEqual(await self.kept(), 1000)
        events.retire()
        await self.store.create_container("AUTH_a", "late", {})
        self.house.clock.advance(PRUNE_EVERY_S)
        self.assertEqual(await self.kept(), 1001)

    async def test_note(self) -> None:
        """What the host tells is in the log when the Deferred fires."""
        events = self.events()
        before = (await events._sources.read(Position(0, 0), 1000)).newest
        await events.note("upgrade.ended", {"result": "done"})
        page = await events._sources.read(before, 10)
        self.assertEqual([event.type for event in page.events], ["upgrade.ended"])
        self.assertIn(b'"result":"done"', page.events[0].text)
        for kind in ("upgrade", "upgrade.other", "identity.user.created"):
            self.assertRaises(ValueError, events.note, kind, {})

    async def test_health(self) -> None:
        (part,) = self.events().health()
        self.assertEqual((part.part, part.ok, part.cause), ("events", True, ""))
