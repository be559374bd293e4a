"""What servers hold of hosts: sizes, resizes, sums."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection
from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.compute import (
    Claim,
    Flavor,
    NoRoom,
    Server,
    change_server,
    claimed,
    claims_of,
    keep_resize,
    need_of,
    read_server,
    release_claims,
    write_claims,
)
from cloudd.compute.hosts._claims import claim_resize
from cloudd.database import GroupCommit, open_control_database
from cloudd.interfaces.scheduling import Need
from tests.database.choice import new_database
from tests.scheduling.records import add_host, add_servers, add_size

GIB = 1 << 30


def size(**facts: Any) -> Flavor:
    """Two vCPUs, four GiB of memory, twenty of disk."""
    sizes: dict[str, Any] = {"vcpus": 2, "ram_mib": 4096, "disk_gib": 20, **facts}
    return Flavor(id="f", flavor_id="f", name="f", **sizes)


class NeedTests(SynchronousTestCase):
    def test_all_disks(self) -> None:
        """Root, ephemeral and swap, which begins a whole GiB."""
        self.assertEqual(need_of(size()), Need(vcpus=2, memory_mib=4096, disk_gib=20))
        self.assertEqual(need_of(size(ephemeral_gib=5, swap_mib=1025)).disk_gib, 27)

    def test_disk_of_the_image(self) -> None:
        """A flavor of no root disk takes what the image has; others take their own."""
        self.assertEqual(need_of(size(disk_gib=0), 3 * GIB + 1).disk_gib, 4)
        self.assertEqual(need_of(size(disk_gib=0)).disk_gib, 0)
        self.assertEqual(need_of(size(), 3 * GIB).disk_gib, 20)


class ClaimTests(TestCase):
    database: GroupCommit[Any]

    async def setUp(self) -> None:  # type: ignore[override]
        self.database = open_control_database(new_database(self), reactor=reactor)
        self.addCleanup(self.database.close)

        def fill(connection: Connection) -> Server:
            node_id = add_host(connection, "c1")
            (server_id,) = add_servers(connection, add_size(connection))
            change_server(connection, server_id, node_id=node_id, host="c1")
            write_claims(connection, [Claim(server_id, node_id, Need(vcpus=2, memory_mib=4096, disk_gib=20))])
            return read_server(connection, server_id)

        self.server: Server = await self.database.write(fill)

    async def write(self, function: Callable[..., Any], *args: Any) -> Any:
        return await self.database.write(function, *args)

    async def held(self) -> Need | None:
        """Of the host, by all servers."""
        found: dict[str, Need] = await self.database.read(claimed)
        return found.get("node-c1")

    async def resize(self, **facts: Any) -> None:
        await self.write(claim_resize, self.server, size(**facts))

    async def test_sums(self) -> None:
        """By host, of all servers there; one that holds nothing is left out."""
        other = str(uuid.uuid4())

        def fill(connection: Connection) -> None:
            (other,) = add_servers(connection, add_size(connection, "other"))
            add_host(connection, "c2")
            write_claims(connection, [Claim(other, "node-c1", Need(vcpus=1, memory_mib=1, disk_gib=1))])

        await self.write(fill)
        total = Need(vcpus=3, memory_mib=4097, disk_gib=21)
        self.assertEqual(await self.database.read(claimed), {"node-c1": total})
        self.assertEqual(await self.database.read(claimed, ["node-c1", "node-c2"]), {"node-c1": total})
        self.assertEqual(await self.database.read(claimed, ["node-c2"]), {})
        self.assertEqual(await self.database.read(claims_of, [other]), [])

    async def test_resize(self) -> None:
        """While it can go either way the larger of both counts, by each resource; asked again, it is the same."""
        for _ in range(2):
            await self.resize(vcpus=6, ram_mib=1024)
            self.assertEqual(await self.held(), Need(vcpus=6, memory_mib=4096, disk_gib=20))

    async def test_confirmed(self) -> None:
        """It holds the new size; safe to call again."""
        await self.resize(vcpus=6, ram_mib=1024)
        for _ in range(2):
            await self.write(keep_resize, self.server.id)
            self.assertEqual(await self.held(), Need(vcpus=6, memory_mib=1024, disk_gib=20))

    async def test_reverted(self) -> None:
        """It holds the old size; safe to call again."""
        await self.resize(vcpus=6)
        for _ in range(2):
            await self.write(release_claims, self.server.id, "resize")
            self.assertEqual(await self.held(), Need(vcpus=2, memory_mib=4096, disk_gib=20))

    async def test_all_released(self) -> None:
        """A server that is gone holds nothing."""
        await self.resize(vcpus=6)
        await self.write(release_claims, self.server.id)
        self.assertIsNone(await self.held())

    async def test_no_room(self) -> None:
        """The host has 8 vCPUs, 16 GiB of memory and 100 GiB of disk; what is missing is named, nothing is changed."""
        await self.resize(vcpus=8, ram_mib=16_384, disk_gib=100)
        for facts, words in (
            ({"vcpus": 9}, "7 more free vCPUs"),
            ({"ram_mib": 16_385}, "12289 MiB more free memory"),
            ({"vcpus": 9, "disk_gib": 101}, "7 more free vCPUs and 81 GiB more free disk"),
        ):
            with self.assertRaises(NoRoom) as caught:
                await self.resize(**facts)
            self.assertEqual(caught.exception.status, 400)
            self.assertEqual(
                caught.exception.cause, f"No valid host was found. The server's host, where it stays, has not {words}."
            )
            self.assertEqual(await self.held(), Need(vcpus=8, memory_mib=16_384, disk_gib=100))

    async def test_smaller_on_a_host_that_is_full(self) -> None:
        """A host that has got smaller than what it promised lets a server get smaller."""
        await self.write(
            write_claims, [Claim(self.server.id, "node-c1", Need(vcpus=99, memory_mib=1, disk_gib=1), "resize")]
        )
        await self.resize(vcpus=1)
        self.assertEqual(await self.held(), Need(vcpus=2, memory_mib=4096, disk_gib=20))

    async def test_disk_left_open(self) -> None:
        """A flavor without a root disk leaves the one that there is."""
        await self.resize(disk_gib=0)
        await self.write(keep_resize, self.server.id)
        self.assertEqual(await self.held(), Need(vcpus=2, memory_mib=4096, disk_gib=20))

    async def test_a_server_without_a_claim(self) -> None:
        """One that holds nothing cannot be resized."""
        await self.write(release_claims, self.server.id)
        with self.assertRaises(NoRoom):
            await self.resize()
