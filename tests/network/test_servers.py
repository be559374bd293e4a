"""What the compute service asks of networks."""

from __future__ import annotations

from sqlalchemy import create_engine
from twisted.trial.unittest import SynchronousTestCase

from cloudd.database.tables import metadata
from cloudd.network import (
    Network,
    NetworkError,
    NoSuchResource,
    Port,
    SecurityGroup,
    Subnet,
    addresses_of,
    create_group,
    create_network,
    create_port,
    create_subnet,
    default_of,
    group_names_of,
    group_records,
    groups_named,
    network_for_server,
    networks_for_servers,
)
from tests.protocols.swift.face import an_access

ALICE, BOB, ROOT = (
    an_access("alice", "p1", "member"),
    an_access("bob", "p2", "member"),
    an_access("root", "p0", "admin"),
)


class ServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.engine = create_engine("sqlite://")
        self.addCleanup(self.engine.dispose)
        metadata.create_all(self.engine)
        self.connection = self.engine.connect()
        self.addCleanup(self.connection.close)

    def network(self, name: str, project_id: str = "p1", *cidrs: str, **facts: bool) -> Network:
        """One with subnets."""
        made = create_network(self.connection, ROOT, Network(id="", project_id=project_id, name=name, **facts))  # type: ignore[arg-type]
        for cidr in cidrs:
            version = 6 if ":" in cidr else 4
            subnet = Subnet(id="", project_id=project_id, network_id=made.id, ip_version=version, cidr=cidr)
            create_subnet(self.connection, ROOT, subnet, frozenset())
        return made

    def port(self, network: Network, device_id: str, groups: tuple[str, ...] = ()) -> Port:
        """One of a server."""
        given = frozenset({"security_group_ids"} if groups else ())
        wanted = Port(id="", project_id="p1", network_id=network.id, mac_address="", device_id=device_id,
                      security_group_ids=groups)  # fmt: skip
        return create_port(self.connection, ALICE, wanted, None, given)

    def test_addresses(self) -> None:
        """Of many servers at once, of both IP versions, by port."""
        lan = self.network("lan", "p1", "10.0.0.0/22", "fd00::/64")
        ports = [self.port(lan, f"s{number}") for number in range(600)]
        found = addresses_of(self.connection, [f"s{number}" for number in range(601)])
        self.assertEqual(len(found), 600)
        for port in ports:
            (fourth, sixth) = found[port.device_id]
            self.assertEqual((fourth.version, sixth.version), (4, 6))
            self.assertEqual([fourth.address, sixth.address], [each.ip_address for each in port.fixed_ips])
            self.assertEqual((fourth.port_id, fourth.network, fourth.mac_address), (port.id, "lan", port.mac_address))
        self.assertEqual(addresses_of(self.connection, []), {})

    def test_groups(self) -> None:
        """By name or id; those of ports."""
        web, other = (
            create_group(self.connection, ALICE, SecurityGroup(id="", project_id="p1", name=name)) for name in "wo"
        )
        default = default_of(self.connection, "p1")
        self.assertEqual(
            groups_named(self.connection, "p1", [other.id, "w", "default", "o"]), (other.id, web.id, default)
        )
        lan = self.network("lan", "p1", "10.0.0.0/24")
        first = self.port(lan, "s", (web.id, other.id))
        second = self.port(lan, "s")
        found = group_names_of(self.connection, ["s", "t"])
        self.assertEqual(
            {(each.port_id, each.group_id, each.name) for each in found["s"]},
            {(first.id, web.id, "w"), (first.id, other.id, "o"), (second.id, default, "default")},
        )
        self.assertEqual(set(found), {"s"})
        records = group_records(self.connection, [web.id, other.id, "none"])
        self.assertEqual([(each.name, len(each.rules)) for each in records], [("o", 2), ("w", 2)])
        self.assertRaises(NoSuchResource, groups_named, self.connection, "p2", [web.id])

    def test_networks(self) -> None:
        """One's own and shared ones, but none that is external."""
        own, shared = self.network("own"), self.network("shared", "p0", shared=True)
        self.network("his", "p2")
        outside = self.network("out", "p1", external=True)
        found = networks_for_servers(self.connection, "p1")
        self.assertEqual({each.id for each in found}, {own.id, shared.id})
        self.assertEqual(network_for_server(self.connection, ALICE, shared.id).id, shared.id)
        self.assertRaises(NetworkError, network_for_server, self.connection, ALICE, outside.id)
        self.assertRaises(NoSuchResource, network_for_server, self.connection, BOB, own.id)
        self.assertEqual(network_for_server(self.connection, ROOT, outside.id).id, outside.id)
