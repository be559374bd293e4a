"""Duties in the database: one holder at a time, and nothing written by one that has lost it; on both databases."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select, update
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from cloudd.database import now_us, tables
from cloudd.nodes import DutyLost, _leases
from cloudd.nodes._leases import Lease

from .house import House

LASTS_US = 30_000_000


class LeaseRules:
    """Rules for either database."""

    kind: str

    def setUp(self) -> None:
        self.house = House.built(self, self.kind)  # type: ignore[arg-type]
        self.database = self.house.database

    async def take(self, owner: str = "a") -> Lease | None:
        found: Lease | None = await self.database.write(_leases.take, "sweep", owner, f"node-{owner}", LASTS_US)
        return found

    async def taken(self, owner: str = "a") -> Lease:
        lease = await self.take(owner)
        assert lease is not None
        return lease

    async def end(self) -> None:
        """All leases end now, by the database's clock."""
        await self.house.set(tables.duty, until_us=now_us() - 1)

    async def test_one_at_a_time(self: Any) -> None:
        """Of many who come together one gets it, and the others nothing while it lasts."""
        found = await gatherResults([Deferred.fromCoroutine(self.take(name)) for name in "abcdefgh"])
        [lease] = [each for each in found if each is not None]
        self.assertEqual(lease.term, 1)
        self.assertIsNone(await self.take("z"))
        left_s = await self.database.read(_leases.ends_in_s, "sweep")
        self.assertTrue(25 < left_s <= 30, left_s)
        self.assertIsNone(await self.database.read(_leases.ends_in_s, "other"))

    async def test_taken_over(self: Any) -> None:
        """When it has ended another one takes it, with the next term; the first can neither renew nor write."""
        first = await self.taken("a")
        await self.end()
        second = await self.taken("b")
        self.assertEqual((first.term, second.term), (1, 2))
        for function in (_leases.renew, _leases.hold):
            arguments = (LASTS_US,) if function is _leases.renew else ()
            await self.assertFailure(self.database.write(function, first, *arguments), DutyLost)
        await self.database.write(_leases.release, first)  # has no effect on the other's
        await self.database.write(_leases.hold, second)
        [held] = await self.database.read(_leases.duties)
        self.assertEqual((held.owner, held.node_id, held.term), ("b", "node-b", 2))

    async def test_fenced(self: Any) -> None:
        """What is written in the same transaction as ``hold`` is there with the duty, and not there without."""
        lease = await self.taken()

        def work(connection: Connection, value: str) -> None:
            connection.execute(update(tables.duty).values(owner=value))
            _leases.hold(connection, lease)

        async def owner() -> str:
            found = await self.database.read(
                lambda connection: connection.execute(select(tables.duty.c.owner)).scalar()
            )
            return str(found)

        await self.database.write(work, "written")
        self.assertEqual(await owner(), "written")
        await self.end()
        await self.assertFailure(self.database.write(work, "too late"), DutyLost)
        self.assertEqual(await owner(), "written")

    async def test_renewed(self: Any) -> None:
        """A holder keeps it; one that was late does, too, as long as nobody took it."""
        lease = await self.taken()
        await self.end()
        await self.database.write(_leases.renew, lease, LASTS_US)
        await self.database.write(_leases.hold, lease)
        self.assertIsNone(await self.take("b"))

    async def test_given_back(self: Any) -> None:
        """It is free at once, and told so; a node that is removed gives all."""
        await self.database.write(_leases.release, await self.taken())
        self.assertEqual(await self.database.read(_leases.ends_in_s, "sweep"), 0)
        [held] = await self.database.read(_leases.duties)
        self.assertEqual((held.owner, held.node_id), ("", ""))
        await self.taken("b")
        await self.database.write(_leases.release_all, "node-b")
        self.assertEqual((await self.taken("c")).term, 3)


class SqliteLeaseTests(LeaseRules, TestCase):
    kind = "sqlite"


class PostgresLeaseTests(LeaseRules, TestCase):
    kind = "postgresql"
