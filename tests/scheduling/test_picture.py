"""The picture of hosts: what is read, when it is read again."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import Connection
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from cloudd.compute import Claim, write_claims
from cloudd.database import GroupCommit, open_control_database, tables
from cloudd.interfaces.scheduling import HostPicture, Need
from cloudd.scheduling import Picture, read_hosts
from tests.database.choice import new_database

from .records import add_host, add_node, add_servers, add_size, picture

CLAIM = Need(vcpus=3, memory_mib=1000, disk_gib=7)


class PictureTests(TestCase):
    database: GroupCommit[Any]

    def setUp(self) -> None:
        self.database = open_control_database(new_database(self), reactor=reactor)
        self.addCleanup(self.database.close)
        self.clock = Clock()
        self.picture = Picture(self.database, self.clock.seconds)

    async def test_read(self) -> None:
        """Sizes by their ratios, less what is claimed; why a host cannot take servers; by name."""

        def fill(connection: Connection) -> None:
            add_host(
                connection, "c2", vcpu_ratio=2.5, memory_ratio=0.5, zone="z1", projects='["p1"]', trouble="no disk"
            )
            add_host(connection, "c1", is_enabled=False, disabled_reason="fan")
            (server_id,) = add_servers(connection, add_size(connection))
            write_claims(connection, [Claim(server_id, "node-c2", CLAIM)])
            add_node(connection, "storage")

        await self.database.write(fill)
        first, second = await self.database.read(read_hosts)
        self.assertEqual(first, picture(is_enabled=False, disabled_reason="fan", real=False))
        self.assertEqual(
            second,
            HostPicture(
                node_id="node-c2", name="c2", zone="z1", trouble="no disk", projects=frozenset({"p1"}), real=False,
                vcpus=20, memory_mib=8192, disk_gib=100, free_vcpus=17, free_memory_mib=7192, free_disk_gib=93,
            ),
        )  # fmt: skip
        self.assertEqual(await self.database.read(read_hosts, ["node-c2", "node-c2", "node-x"]), [second])

    async def test_nodes(self) -> None:
        """A node's state, silence and removal come before what its host said of itself."""
        await self.database.write(add_host, "c1")
        for facts, trouble in (
            ({"state": "draining"}, "its node is draining"),
            ({"state": "ready", "contact_us": 1}, "its node is silent"),
            ({"contact_us": None}, "its node is silent"),
            ({"state": "removed"}, "its node was removed"),
        ):
            change = tables.node.update().values(**facts)
            await self.database.write(_executed, change)
            (host,) = await self.database.read(read_hosts)
            self.assertEqual(host.trouble, trouble)

    async def test_read_again(self) -> None:
        """Not while it is fresh; what is placed here counts at once."""
        await self.database.write(add_host, "c1")
        (host,) = await self.picture.hosts()
        await self.database.write(add_host, "c2")
        self.assertEqual(await self.picture.hosts(), (host,))
        after = host.less(CLAIM)
        self.picture.note([after, picture("c9")])
        self.assertEqual(await self.picture.hosts(), (after,))
        self.clock.advance(1.5)
        self.assertEqual([each.name for each in await self.picture.hosts()], ["c1", "c2"])

    async def test_slow_reading(self) -> None:
        """What takes long to read is read less often."""
        await self.database.write(add_host, "c1")
        picture = Picture(cast(Any, _Slow(self.database, self.clock)), self.clock.seconds)
        await picture.hosts()
        await self.database.write(add_host, "c2")
        self.clock.advance(9)
        self.assertEqual(len(await picture.hosts()), 1)
        self.clock.advance(2)
        self.assertEqual(len(await picture.hosts()), 2)

    async def test_several_at_once(self) -> None:
        """Who asks at the same moment shares one reading, and its failure; afterwards it is tried again."""
        await self.database.write(add_host, "c1")
        slow = _Slow(self.database, self.clock)
        picture = Picture(cast(Any, slow), self.clock.seconds)
        slow.broken = True
        waiting = [Deferred.fromCoroutine(picture.hosts()) for _ in range(3)]
        for each in waiting:
            await self.assertFailure(each, ValueError)
        slow.broken = False
        found = await gatherResults([Deferred.fromCoroutine(picture.hosts()) for _ in range(3)])
        self.assertEqual(([len(each) for each in found], slow.reads), ([1, 1, 1], 2))

    async def test_anew(self) -> None:
        """Who wants to know what is so now is not told what was read before; several share the next reading."""
        await self.database.write(add_host, "c1")
        slow = _Slow(self.database, self.clock)
        picture = Picture(cast(Any, slow), self.clock.seconds)
        earlier = Deferred.fromCoroutine(picture.hosts())
        later = [Deferred.fromCoroutine(picture.read_anew()) for _ in range(3)]
        self.assertEqual(slow.reads, 1)
        self.assertEqual([len(each) for each in await gatherResults([earlier, *later])], [1, 1, 1, 1])
        self.assertEqual(slow.reads, 2)
        await self.database.write(add_host, "c2")
        self.assertEqual(len(await picture.read_anew()), 2)
        self.assertEqual(slow.reads, 3)


class _Slow:
    """The database, where a read takes half a second of that clock, or fails."""

    def __init__(self, database: Any, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self.reads, self.broken = 0, False

    def read(self, function: Any, *args: Any) -> Deferred[Any]:
        self.reads += 1
        self._clock.advance(0.5)
        return self._database.read(_broken if self.broken else function, *args)  # type: ignore[no-any-return]

    def write(self, function: Any, *args: Any, **kwargs: Any) -> Deferred[Any]:
        raise AssertionError("a picture writes nothing")

    def version(self) -> int | None:
        return None


def _executed(connection: Connection, statement: Any) -> None:
    connection.execute(statement)


def _broken(_connection: Connection) -> None:
    raise ValueError("broken")
