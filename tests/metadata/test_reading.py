"""Out of the records: who has an address, and what he is told."""

from __future__ import annotations

import json
from typing import Any

from attrs import evolve
from sqlalchemy import insert
from twisted.internet.defer import Deferred

from cloudd import network
from cloudd.compute import change_server
from cloudd.database import tables
from cloudd.metadata import GuestFacts, NoSuchGuest, NotReady, facts_at, find, read_facts
from cloudd.network import Network
from tests.metadata.guest import ALICE, SERVER_ID, GuestCase, seeded


class ReadingTests(GuestCase):
    async def at(self, address: str, node_id: str = "n1", host: str = "host-1") -> GuestFacts:
        found: GuestFacts = await self.database.read(facts_at, node_id, host, address)
        return found

    async def refused(self, error: type[Exception], address: str = "10.0.0.5", node_id: str = "n1") -> None:
        await self.assertFailure(Deferred.fromCoroutine(self.at(address, node_id)), error)

    async def other_network(self) -> str:
        """With the same addresses as the first one."""

        def make(connection: Any) -> str:
            made = network.create_network(connection, ALICE, Network(id="", project_id="p1"))
            self.new_subnet(connection, made.id)
            return made.id

        made: str = await self.database.write(make)
        return made

    async def test_by_address(self) -> None:
        """The server whose port has the address, with all of its ports in order."""
        second, first = await self.port("10.0.0.6"), await self.port("10.0.0.5")
        await self.server(first, second)
        for address in ("10.0.0.5", "10.0.0.6"):
            facts = await self.at(address)
            self.assertEqual(facts.server.id, SERVER_ID)
            self.assertEqual(facts.addresses(4), ["10.0.0.5", "10.0.0.6"])
        self.assertEqual((facts.flavor_name, facts.zone, facts.group_names), ("m1.tiny", "nova", ["default"]))
        self.assertEqual(facts, await self.database.read(read_facts, SERVER_ID))

    async def test_documents(self) -> None:
        """What is written is what is told."""
        await self.server(await self.port())
        told = json.loads(find("/openstack/latest/network_data.json", await self.at("10.0.0.5"), seeded).body)
        self.assertEqual([each["type"] for each in told["networks"]], ["ipv4_dhcp"])
        self.assertEqual(told["services"], [{"type": "dns", "address": "10.0.0.2"}])

    async def test_nobody(self) -> None:
        """An address that no port has, or one that is none, or a port of no server."""
        await self.port("10.0.0.7")
        for address in ("10.0.0.5", "10.0.0.7", "fd00::1", "fe80::1%eth0", "", "local", "10.0.0.5/32", "0xa000005"):
            await self.refused(NoSuchGuest, address)

    async def test_elsewhere(self) -> None:
        """A guest of another host asks there; the same address may be here too."""
        await self.server(await self.port(host="host-2"), node_id="n2", host="host-2")
        await self.refused(NoSuchGuest)

    async def test_moved(self) -> None:
        """A port may still say that it is here when its server is elsewhere."""
        await self.server(await self.port(), node_id="n2", host="host-2")
        await self.refused(NoSuchGuest)

    async def test_not_written_yet(self) -> None:
        """A port comes before its server's rows; who asks then is to ask again."""
        port_id = await self.port(device_id=SERVER_ID)
        await self.refused(NotReady)
        await self.server()
        await self.refused(NotReady)
        await self.database.write(lambda c: c.execute(insert(tables.server_interface).values(
            server_id=SERVER_ID, port_id=port_id, position=0, is_ours=True)))  # fmt: skip
        await self.at("10.0.0.5")

    async def test_gone(self) -> None:
        """A server that was deleted is told nothing."""
        await self.server(await self.port())
        await self.database.write(change_server, SERVER_ID, deleted_us=1)
        await self.refused(NoSuchGuest)

    async def test_same_address(self) -> None:
        """Of two networks with the same addresses it is the port that is plugged; neither while that is not clear."""
        other = await self.other_network()
        mine, others = await self.port(), await self.port(network_id=other)
        await self.server(mine)
        await self.server(others, id="other", host_name="other")
        await self.refused(NotReady)
        await self.plug(others)
        self.assertEqual((await self.at("10.0.0.5")).server.id, "other")
        await self.plug(mine)
        await self.refused(NotReady)

    async def plug(self, port_id: str) -> None:
        table = tables.port
        await self.database.write(
            lambda c: c.execute(table.update().where(table.c.id == port_id).values(status="ACTIVE"))
        )

    async def test_zone(self) -> None:
        """That of the host, else the one that was asked for."""
        await self.server(await self.port(), zone="z2")
        self.assertEqual((await self.at("10.0.0.5")).zone, "z2")
        await self.database.write(lambda c: c.execute(insert(tables.compute_host).values(**HOST)))
        self.assertEqual((await self.at("10.0.0.5")).zone, "z1")

    async def test_deleted_flavor(self) -> None:
        """A server is told of what it was built of, whatever has become of that."""
        await self.server(await self.port())
        table = tables.flavor
        await self.database.write(lambda c: c.execute(table.update().values(deleted="x")))
        self.assertEqual((await self.at("10.0.0.5")).flavor_name, "m1.tiny")

    async def test_port_gone(self) -> None:
        """An interface whose port was deleted is left out."""
        gone, there = await self.port("10.0.0.6"), await self.port()
        server = await self.server(there, gone)
        await self.database.write(network.drop_port, ALICE, gone)
        facts = await self.at("10.0.0.5")
        self.assertEqual([each.port.id for each in facts.attachments], [there])
        self.assertEqual(evolve(facts.server, interfaces=(), created_us=0, updated_us=0), server)


HOST = {
    "node_id": "n1", "name": "host-1", "driver": "simulated", "kind": "fake", "hypervisor_version": 1, "vcpus": 1,
    "memory_mib": 1, "disk_gib": 1, "vcpu_ratio": 1.0, "memory_ratio": 1.0, "disk_ratio": 1.0, "architecture": "x86_64",
    "cpu_model": "x", "real": False, "zone": "z1", "is_enabled": True, "created_us": 1, "updated_us": 1,
}  # fmt: skip
