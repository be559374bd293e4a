"""Both logs, on a real control database: pages, projects, what is lost, and what is forgotten."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from cloudd.events import Position, _sources
from cloudd.events._outbox import note
from cloudd.events._sources import Sources
from storage import MemoryStore
from tests.identity.house import NOW_S, House


class SourcesTests(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.house = await House.built(self)
        self.database = self.house.database()
        self.store = MemoryStore(self.house.clock.seconds)
        self.sources = Sources(self.database, self.store, self.database, self.house.threads)
        self.project = self.house.login["demo_project_id"]
        self.booked = (await self.sources.read(Position(0, 0), 100)).newest.control

    async def note(self, *numbers: int, at_us: int = 0) -> None:
        for number in numbers:
            await self.database.write(note, "upgrade.progress", at_us or int(NOW_S * 1e6), {"number": number})

    async def put(self, *names: str, account: str = "") -> None:
        for name in names:
            await self.store.create_container(account or f"AUTH_{self.project}", name, {})

    async def test_everything(self) -> None:
        """What the first start has made, what came then, and where it ends."""
        await self.note(1)
        await self.put("box")
        page = await self.sources.read(Position(0, 0), 1000)
        self.assertEqual(page.end, Position(self.booked + 1, 1))
        self.assertEqual((page.newest, page.oldest), (page.end, Position(0, 0)))
        self.assertEqual(len(page.events), self.booked + 2)
        self.assertEqual({event.type for event in page.events if event.in_store}, {"container.created"})

    async def test_pages(self) -> None:
        """Read on from each page's end, nothing is missing and nothing comes twice; each log for itself."""
        await self.note(*range(7))
        await self.put(*"abcde")
        position, found = Position(self.booked, 0), []
        for _ in range(10):
            page = await self.sources.read(position, 3)
            found += [(event.in_store, event.id) for event in page.events]
            position = page.end
        control = [(False, self.booked + number) for number in range(1, 8)]
        stored = [(True, number) for number in range(1, 6)]
        self.assertEqual(sorted(found), sorted(control + stored))
        self.assertEqual(len(found), 12)

    async def test_one_project(self) -> None:
        """Only its own events, and the position of all that was looked at."""
        await self.put("mine")
        await self.put("other", account="AUTH_q")
        await self.put("mine too")
        page = await self.sources.read(Position(0, 0), 100, self.project)
        self.assertEqual({event.project_id for event in page.events}, {self.project})
        self.assertEqual([event.id for event in page.events if event.in_store], [1, 3])
        self.assertEqual(page.end, page.newest)
        page = await self.sources.read(Position(0, 0), 1, self.project)
        self.assertEqual(page.end.objects, 1)
        page = await self.sources.read(Position(0, 0), 100, "nobody")
        self.assertEqual((list(page.events), page.end), ([], page.newest))

    async def test_far_behind(self) -> None:
        """One call looks at a bounded number of changes, and the next one goes on from there."""
        self.patch(_sources, "SEARCHED", 10)
        await self.put(*(f"o{number}" for number in range(24)), account="AUTH_q")
        await self.put("mine")
        await self.put("other", account="AUTH_q")
        position, ends = Position(self.booked, 0), []
        found = []
        for _ in range(4):
            page = await self.sources.read(position, 100, self.project)
            found += [event.id for event in page.events]
            position = page.end
            ends.append(position.objects)
        self.assertEqual((found, ends), ([25], [10, 20, 26, 26]))

    async def test_forgotten(self) -> None:
        """By count and by age; the newest stays; who comes with an older position has lost something."""
        await self.note(*range(10))
        await self.put(*"abcdefgh")
        newest = Position(self.booked + 10, 8)
        await self.sources.prune(3, 0, 1000)
        page = await self.sources.read(Position(0, 0), 100)
        self.assertEqual(page.oldest, Position(newest.control - 3, 5))
        self.assertEqual(page.newest, newest)
        for position, is_lost in (
            (page.oldest, False),
            (newest, False),
            (Position(page.oldest.control - 1, 8), True),
            (Position(newest.control, 4), True),
            (Position(newest.control + 1, 8), True),
            (Position(newest.control, 9), True),
        ):
            self.assertEqual(page.is_lost(position), is_lost, position)
        await self.sources.prune(1000, 1 << 61, 1000)
        page = await self.sources.read(Position(0, 0), 100)
        self.assertEqual([event.id for event in page.events], [newest.control, 8])
        self.assertEqual(await self.sources.prune(1000, 1 << 61, 1000), 0)
        await self.note(11)
        await self.put("i")
        self.assertEqual((await self.sources.read(newest, 10)).newest, Position(newest.control + 1, 9))

    async def test_forgotten_a_little_at_a_time(self) -> None:
        """One call holds the database for a bounded time."""
        await self.note(*range(20))
        self.assertEqual(await self.sources.prune(2, 0, 5), 5)
        page = await self.sources.read(Position(0, 0), 100)
        self.assertEqual(page.oldest.control, 5)

    async def test_nothing_to_forget(self) -> None:
        """Then nobody waits for the writer."""
        written: list[Any] = []
        self.patch(type(self.database), "write", lambda *_args: written.append(1))
        self.assertEqual(await self.sources.prune(1000, 0, 100), 0)
        self.assertEqual(written, [])
