"""Shares of servers against real databases: however many ask at once, no project has more than it may."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.trial.unittest import TestCase

from cloudd.compute import (
    DEFAULTS,
    ComputeConflict,
    NoSuchRecord,
    QuotaExceeded,
    Share,
    release,
    reserve,
    used_by,
)
from cloudd.compute.quotas._limits import set_limits
from cloudd.compute.quotas._shares import KEPT_DAYS, resize_share
from cloudd.database import open_control_database, tables
from tests.database.choice import new_database


class ShareTests(TestCase):
    def setUp(self) -> None:
        self.database = open_control_database(new_database(self), reactor=reactor, threads=4)
        self.addCleanup(self.database.close)

    def write(self, function: Any, *arguments: Any) -> Deferred[Any]:
        return self.database.write(function, *arguments)

    async def refused(self, function: Any, *arguments: Any) -> QuotaExceeded:
        """A write that must be refused; gives why."""
        try:
            await self.write(function, *arguments)
        except QuotaExceeded as error:
            return error
        self.fail("it was not refused")

    async def used(self) -> tuple[int, int, int]:
        found = await self.database.read(used_by, "p")
        return found["instances"], found["cores"], found["ram"]

    async def test_life(self) -> None:
        """Taken, changed, and given back once."""
        await self.write(reserve, "p", "u", [Share("a", 2, 512), Share("b", 1, 256)])
        await self.write(reserve, "other", "u", [Share("c", 9, 999)])
        self.assertEqual(await self.used(), (2, 3, 768))
        await self.write(resize_share, Share("a", 4, 1024))
        self.assertEqual(await self.used(), (2, 5, 1280))
        for _ in range(2):
            await self.write(release, "a")
        self.assertEqual(await self.used(), (1, 1, 256))

    async def test_again(self) -> None:
        """Who has a share keeps it; ids of other projects' servers and of those that are gone are refused."""
        await self.write(reserve, "p", "u", [Share("a", 2, 512)])
        await self.write(reserve, "p", "u", [Share("a", 2, 512), Share("b", 1, 256)])
        self.assertEqual(await self.used(), (2, 3, 768))
        await self.write(release, "b")
        for project, server in (("q", "a"), ("p", "b")):
            with self.assertRaises(ComputeConflict):
                await self.write(reserve, project, "u", [Share("new", 1, 1), Share(server, 1, 1)])
        self.assertEqual(await self.used(), (1, 2, 512))

    async def test_nothing_to_resize(self) -> None:
        """A server that has no share, or had one, gets none by that."""
        await self.write(reserve, "p", "u", [Share("gone", 1, 1)])
        await self.write(release, "gone")
        for server in ("gone", "never"):
            with self.assertRaises(NoSuchRecord):
                await self.write(resize_share, Share(server, 2, 2))

    async def test_old_ones_go(self) -> None:
        """With the next that is released, once they tell nothing any more."""
        shares = tables.server_share

        def age(connection: Connection) -> None:
            old = shares.c.released_us - (KEPT_DAYS + 1) * 86_400_000_000
            connection.execute(shares.update().where(shares.c.server_id == "old").values(released_us=old))

        await self.write(reserve, "p", "u", [Share(each, 1, 1) for each in ("old", "new", "last")])
        for server in ("old", "new"):
            await self.write(release, server)
        await self.write(age)
        await self.write(release, "last")
        left = await self.database.read(lambda c: set(c.execute(select(shares.c.server_id)).scalars()))
        self.assertEqual(left, {"new", "last"})

    async def test_all_or_none(self) -> None:
        """One too many, and none has a share; what is over is told with its figures."""
        await self.write(reserve, "p", "u", [Share("first", 19, 1)])
        error = await self.refused(reserve, "p", "u", [Share("a", 1, 1), Share("b", 1, 51_200)])
        self.assertEqual(
            (error.cause, error.resources),
            (
                "Quota exceeded for cores, ram: Requested 2, 51201, but already used 19, 1 of 20, 51200 cores, ram",
                ("cores", "ram"),
            ),
        )
        self.assertEqual(await self.used(), (1, 19, 1))
        await self.refused(resize_share, Share("first", 21, 1))
        await self.write(resize_share, Share("first", 2, 1))

    async def test_smaller_is_always_allowed(self) -> None:
        """Also where the limit lies below what is in use meanwhile."""
        await self.write(reserve, "p", "u", [Share("a", 8, 512)])
        await self.write(set_limits, "p", "", {"cores": 2})
        await self.write(resize_share, Share("a", 4, 512))
        await self.refused(reserve, "p", "u", [Share("b", 1, 1)])

    async def test_at_once(self) -> None:
        """A hundred ask for one each: as many get one as the quota says."""
        asked = [self.write(reserve, "p", "u", [Share(f"s{n}", 1, 64)]) for n in range(100)]
        results = await DeferredList(asked, consumeErrors=True)
        refused: list[Any] = [failure for good, failure in results if not good]
        for failure in refused:
            failure.trap(QuotaExceeded)
        self.assertEqual(len(asked) - len(refused), DEFAULTS["instances"])
        self.assertEqual((await self.used())[0], DEFAULTS["instances"])

    async def test_unlimited(self) -> None:
        """-1 is no limit; nothing is asked of no servers."""

        def lift(connection: Connection) -> None:
            set_limits(connection, "p", "", {"instances": -1, "cores": -1, "ram": -1})

        await self.write(lift)
        await self.write(reserve, "p", "u", [Share(f"s{n}", 1, 64) for n in range(50)])
        await self.write(reserve, "p", "u", [])
        self.assertEqual(await self.used(), (50, 50, 3200))
