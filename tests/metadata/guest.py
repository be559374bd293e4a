"""A server with two ports, as values and as records: what the tests here tell of."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from attrs import evolve
from sqlalchemy import update
from twisted.trial.unittest import TestCase

from cloudd import network
from cloudd.compute import Interface, Server, add_interface, add_server, first_flavors, one_flavor
from cloudd.database import tables
from cloudd.metadata import GuestFacts
from cloudd.network import Attachment, FixedIP, HostRoute, Network, Port, SecurityGroup, Subnet, WantedIP
from tests.database.inline import empty_database
from tests.protocols.swift.face import an_access

ALICE = an_access("alice", "p1", "member")
ROOT = an_access("root", "p0", "admin")
SERVER_ID = "5e1f0000-0000-4000-8000-000000000001"
IMAGE_ID = "1ab20000-0000-4000-8000-000000000002"
KEY = "ssh-ed25519 AAAAC3Nz alice@example"
SEED = b"\x07" * 512

SERVER = Server(
    id=SERVER_ID,
    project_id="p1",
    user_id="alice-id",
    name="web ü",
    host_name="web",
    flavor="f",
    image_id=IMAGE_ID,
    reservation_id="r-12345678",
)


def seeded(size: int) -> bytes:
    """Entropy that a test knows."""
    return SEED[:size]


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def subnet(cidr: str, **members: Any) -> Subnet:
    version = 6 if ":" in cidr else 4
    return Subnet(id=cidr, project_id="p1", network_id="net-1", ip_version=version, cidr=cidr, **members)


def attachment(port_id: str, addresses: dict[str, Subnet], mtu: int = 1450) -> Attachment:
    """A port that has these addresses, of those subnets."""
    fixed_ips = tuple(FixedIP(each.id, address) for address, each in addresses.items())
    port = Port(id=port_id, project_id="p1", network_id="net-1", mac_address="fa:16:3e:00:00:01", fixed_ips=fixed_ips)
    group = SecurityGroup(id="g", project_id="p1", name="default")
    return Attachment(
        port=port,
        network=Network(id="net-1", project_id="p1", name="net", mtu=mtu),
        subnets={each.id: each for each in addresses.values()},
        groups=(group,),
    )


def rich_facts(**members: Any) -> GuestFacts:
    """A server with all that one may have."""
    port_id = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
    server = evolve(
        SERVER,
        key_name="mine",
        key_type="ssh",
        public_key=KEY,
        user_data=encoded(b"#!/bin/sh\necho \xff\n"),
        files=(("/etc/motd", encoded(b"hello\n")), ("/etc/b", encoded(b"\0\1"))),
        items={"role": "web"},
        interfaces=(Interface(port_id=port_id, position=0, tag="front"),),
        **members,
    )
    plain = subnet("10.0.0.0/24", enable_dhcp=False, gateway_ip="10.0.0.1", dns_nameservers=("10.0.0.2",))
    return GuestFacts(
        server=server,
        attachments=(attachment(port_id, {"10.0.0.5": plain}),),
        flavor_name="m1.small",
        zone="z1",
    )


class GuestCase(TestCase):
    """
    Base of tests with records: Alice's network, and a server of hers on node ``n1``, called ``host-1``.

    :cvar prefix: of the network's addresses
    """

    prefix: ClassVar[str] = "10.0.0"

    def setUp(self) -> None:
        self.database = empty_database(self)
        with self.database.engine.begin() as connection:
            first_flavors(connection)
            self.flavor = one_flavor(connection, ALICE, "1")
            wanted = Network(id="", project_id="p1", name="net")
            self.network = network.create_network(connection, ALICE, wanted)
            self.subnet = self.new_subnet(connection, self.network.id)

    def new_subnet(self, connection: Any, network_id: str) -> Subnet:
        """A /24 of any network, made by an administrator: loopback's is no tenant's."""
        wanted = Subnet(
            id="", project_id="p1", network_id=network_id, ip_version=4, cidr=f"{self.prefix}.0/24",
            gateway_ip=f"{self.prefix}.254", dns_nameservers=("10.0.0.2",),
            host_routes=(HostRoute("10.9.0.0/16", "10.0.0.3"),),
        )  # fmt: skip
        return network.create_subnet(connection, ROOT, wanted, frozenset({"gateway_ip"}))

    async def port(self, address: str = "10.0.0.5", network_id: str = "", host: str = "host-1", **columns: Any) -> str:
        """A port with that address on a host."""

        def make(connection: Any) -> str:
            wanted = Port(id="", project_id="p1", network_id=network_id or self.network.id, mac_address="")
            made = network.create_port(connection, ALICE, wanted, [WantedIP(ip_address=address)], frozenset())
            table = tables.port
            connection.execute(update(table).where(table.c.id == made.id).values(host=host, **columns))
            return made.id

        made: str = await self.database.write(make)
        return made

    async def server(self, *ports: str, **members: Any) -> Server:
        """A server with these ports, which say so."""
        wanted = evolve(SERVER, flavor=self.flavor.id, **{"node_id": "n1", "host": "host-1", **members})

        def make(connection: Any) -> None:
            add_server(connection, wanted)
            for position, port_id in enumerate(ports):
                add_interface(connection, wanted.id, Interface(port_id=port_id, position=position))
                table = tables.port
                connection.execute(update(table).where(table.c.id == port_id).values(device_id=wanted.id))

        await self.database.write(make)
        return wanted
