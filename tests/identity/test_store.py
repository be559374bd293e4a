"""Reads that are kept as long as nobody commits."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from cloudd.identity._bootstrap import role_id
from cloudd.identity._store import Store
from tests.database.choice import on_postgres
from tests.identity.house import House


class Scripted:
    """A ``Transactions`` whose version is stated; ``read`` calls with a number that grows."""

    def __init__(self) -> None:
        self.number: int | None = 1
        self.reads = 0
        self.held: list[Deferred[None]] = []

    def version(self) -> int | None:
        return self.number

    async def read(self, function: object, *args: object) -> int:
        self.reads += 1
        read = self.reads
        for waiting in self.held:
            await waiting
        return read


def function() -> None:
    """Never called."""


class KeptTests(TestCase):
    def setUp(self) -> None:
        self.database = Scripted()
        self.store = Store(self.database)  # type: ignore[arg-type]

    async def read(self, *args: str) -> object:
        return await self.store.read_kept(function, *args)

    async def test_until_the_next_commit(self) -> None:
        self.assertEqual([await self.read("a"), await self.read("a"), await self.read("b")], [1, 1, 2])
        self.database.number = 2
        self.assertEqual([await self.read("a"), await self.read("a")], [3, 3])

    async def test_unknown_version(self) -> None:
        self.assertEqual(await self.read("a"), 1)
        self.database.number = None
        self.assertEqual([await self.read("a"), await self.read("a")], [2, 3])
        self.database.number = 1
        self.assertEqual(await self.read("a"), 4)

    async def test_overtaken(self) -> None:
        """What a read began before a commit is not given to those who ask after it."""
        waiting: Deferred[None] = Deferred()
        self.database.held = [waiting]
        old = Deferred.fromCoroutine(self.read("a"))
        self.database.held = []
        self.database.number = 2
        self.assertEqual(await self.read("b"), 2)
        waiting.callback(None)
        self.assertEqual(await old, 1)
        self.assertEqual(await self.read("a"), 3)

    async def test_another_worker_changes_it(self) -> None:
        """A project given or taken in one worker shows in the other at once, though it had just been asked."""
        house = await House.built(self)
        one, database = house.worker(), house.database()
        two = house.worker(database=database)
        admin = await house.admin(one)
        demo = (await house.demo(two)).access
        while database.version() is None and not on_postgres():  # where it is never known
            await two.own.projects(demo)
        for number in range(20):
            project = await one.projects.create(admin, {"name": f"p{number}", "domain_id": "default"})
            grant = {"role_id": role_id("reader"), "user_id": demo.user_id, "project_id": project.id}
            await one.assignments.grant(admin, **grant)
            self.assertIn(project.id, {kept.id for kept in await two.own.projects(demo)})
            await one.assignments.revoke(admin, **grant)
            self.assertNotIn(project.id, {kept.id for kept in await two.own.projects(demo)})
