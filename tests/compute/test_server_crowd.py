"""New servers from many who ask at once, on a real database: quotas hold, and nothing is given twice."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, insert, select
from twisted.internet.defer import DeferredList, gatherResults
from twisted.trial.unittest import TestCase

from cloudd.compute import (
    Flavor,
    NewServers,
    QuotaExceeded,
    ServerListing,
    WantedNetwork,
    create_servers,
    listed_servers,
    set_quota,
)
from cloudd.compute.flavors._flavors import add_flavor
from cloudd.database import now_us, tables
from cloudd.network import Network, Port, Subnet, create_network, create_port, create_subnet
from tests.identity.house import House
from tests.protocols.swift.face import an_access

ALICE, ROOT = an_access("alice", "p1", "member"), an_access("root", "p0", "admin")
IMAGE = "11111111-1111-4111-8111-111111111111"


def prepare(connection: Connection) -> str:
    """Flavor, image and network; gives the network's id."""
    add_flavor(connection, Flavor(id="", flavor_id="1", name="f", ram_mib=64, vcpus=1, disk_gib=1))
    connection.execute(
        insert(tables.image).values(
            id=IMAGE, project_id="p1", status="active", visibility="private", size=1, min_disk=0, min_ram=0,
            protected=False, hidden=False, created_us=now_us(), updated_us=now_us(),
        )
    )  # fmt: skip
    network = create_network(connection, ALICE, Network(id="", project_id="p1", name="lan"))
    subnet = Subnet(id="", project_id="p1", network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    create_subnet(connection, ALICE, subnet, frozenset())
    return network.id


class CrowdTests(TestCase):
    async def test_quota(self) -> None:
        """Sixty requests of one or two servers from two workers, and room for twenty: twenty there are."""
        house = await House.built(self)
        workers = [house.database(), house.database()]
        await workers[0].write(prepare)
        await workers[0].write(set_quota, ROOT, "p1", "", {"instances": 20, "cores": -1, "ram": -1}, force=True)
        asked = [
            workers[each % 2].write(
                create_servers,
                ALICE,
                NewServers(name=f"s{each}", flavor_id="1", image_id=IMAGE, most=1 + each % 2),
                "r",
            )
            for each in range(60)
        ]
        outcomes: Any = await DeferredList(asked, consumeErrors=True)
        for good, outcome in outcomes:
            if not good:
                outcome.trap(QuotaExceeded)
        servers = await workers[1].read(listed_servers, ALICE, ServerListing())
        self.assertEqual(len(servers), 20)
        self.assertEqual(sum(len(outcome) for good, outcome in outcomes if good), 20)
        tasks = await workers[1].read(_count, tables.task)
        self.assertEqual(tasks, len([good for good, _ in outcomes if good]))

    async def test_port(self) -> None:
        """Of ten who want one port one gets it."""
        house = await House.built(self)
        workers = [house.database(), house.database()]
        network_id = await workers[0].write(prepare)
        wanted = Port(id="", project_id="p1", network_id=network_id, mac_address="")
        port = await workers[0].write(create_port, ALICE, wanted, None, frozenset())
        asked = NewServers(name="s", flavor_id="1", image_id=IMAGE, networks=(WantedNetwork(port_id=port.id),))
        outcomes: Any = await DeferredList(
            [workers[each % 2].write(create_servers, ALICE, asked, "r") for each in range(10)], consumeErrors=True
        )
        self.assertEqual(sum(1 for good, _ in outcomes if good), 1)

    async def test_names(self) -> None:
        """A pattern is found by this database, too, and so is each order."""
        house = await House.built(self)
        database = house.database()
        await database.write(prepare)
        await gatherResults(
            [
                database.write(create_servers, ALICE, NewServers(name=name, flavor_id="1", image_id=IMAGE), "r")
                for name in ("web-1", "web-2", "db.1")
            ]
        )
        for pattern, count in (("^web", 2), ("b.1$", 2), ("b\\.1", 1), ("\\d", 3), ("[xw]e", 2), ("^d|2$", 2)):
            found = await database.read(listed_servers, ALICE, ServerListing(patterns={"name": pattern}))
            self.assertEqual(len(found), count, pattern)
        for key in ("config_drive", "launched_at", "key_name", "uuid", "power_state"):
            first = await database.read(listed_servers, ALICE, ServerListing(order=((key, False),)))
            after = ServerListing(order=((key, False),), marker=first[0].id)
            rest = await database.read(listed_servers, ALICE, after)
            self.assertEqual([each.id for each in rest], [each.id for each in first[1:]])


def _count(connection: Connection, table: Any) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())
