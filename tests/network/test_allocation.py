"""Addresses under many who ask at once, on a real database: none is given twice, and none is left out."""

from __future__ import annotations

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from cloudd.network import (
    Network,
    NoAddressLeft,
    Port,
    Subnet,
    create_network,
    create_port,
    create_subnet,
    drop_port,
    listed_ports,
)
from cloudd.network._listing import Listing
from tests.identity.house import House
from tests.protocols.swift.face import an_access

ALICE = an_access("alice", "p1", "member")


class CrowdTests(TestCase):
    timeout = 600

    async def test_at_once(self) -> None:
        """1,000 ports from two workers on 1,022 addresses; what is given back is given again, until none is left."""
        house = await House.built(self)
        workers = [house.database(), house.database()]
        network = await workers[0].write(create_network, ALICE, Network(id="", project_id="p1"))
        subnet = Subnet(
            id="", project_id="p1", network_id=network.id, ip_version=4, cidr="10.0.0.0/22", gateway_ip=None
        )
        await workers[0].write(create_subnet, ALICE, subnet, frozenset({"gateway_ip"}))
        wanted = Port(id="", project_id="p1", network_id=network.id, mac_address="")

        async def make(count: int) -> list[Port]:
            asked = [workers[each % 2].write(create_port, ALICE, wanted, None, frozenset()) for each in range(count)]
            found: list[Port] = await gatherResults(asked)
            return found

        ports = await make(1_000)
        given = [port.fixed_ips[0].ip_address for port in ports]
        self.assertEqual(len(set(given)), 1_000)
        self.assertEqual(len({port.mac_address for port in ports}), 1_000)
        await gatherResults([workers[0].write(drop_port, ALICE, port.id) for port in ports[::2]])
        again = await make(522)
        addresses = {port.fixed_ips[0].ip_address for port in [*ports[1::2], *again]}
        self.assertEqual(len(addresses), 1_022)
        await self.assertFailure(workers[1].write(create_port, ALICE, wanted, None, frozenset()), NoAddressLeft)
        self.assertEqual(len(await workers[0].read(listed_ports, ALICE, Listing())), 1_022)
