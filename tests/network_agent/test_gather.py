"""Records of a real database as values, whole and by what events tell."""

from __future__ import annotations

from sqlalchemy import Connection
from twisted.trial.unittest import TestCase

from cloudd.database import tables
from cloudd.network_agent._dhcp_ports import keep_addresses
from cloudd.network_agent._gather import MOST_EVENTS, UnknownNode, changes, position, since, touched_by, whole
from cloudd.network_agent._records import Records, Touched
from tests.identity.house import House

from .house import NODE
from .house import Records as Written


class GatherTests(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.house = await House.built(self)
        self.database = self.house.database()
        self.written = await Written(self.database).begin()
        self.records = Records()

    async def read_whole(self) -> None:
        self.records = Records()
        self.records.take(await self.database.read(whole, NODE))

    async def follow(self) -> None:
        """Read what events tell, and find the same as by reading everything."""
        part = await self.database.read(since, NODE, self.records)
        assert part is not None
        self.records.take(part)
        fresh = Records()
        fresh.take(await self.database.read(whole, NODE))
        self.assertEqual(self.records.ports, fresh.ports)
        for name in ("networks", "subnets", "rules", "members"):
            ours, all_of_it = getattr(self.records, name), getattr(fresh, name)
            self.assertEqual({each: ours.get(each) for each in all_of_it}, all_of_it, name)

    async def test_each_change(self) -> None:
        """After each kind of change following finds what reading everything finds."""
        written = self.written
        group, friends = await written.group(), await written.group("friends")
        network = await written.network()
        port = await written.port(network, security_group_ids=(group,), dns_name="web-1")
        await self.read_whole()
        self.assertEqual(self.records.ports[port].host_name, "web-1")
        await self.follow()
        rule = await written.rule(group, protocol="tcp", port_range_min=80, port_range_max=81)
        await self.follow()
        self.assertEqual(len(self.records.rules[group]), 3)
        await written.rule(group, remote_group_id=friends)
        there = await written.port(network, host="host-2", security_group_ids=(friends,))
        await self.follow()
        self.assertEqual(list(self.records.members[friends]), [there])
        await written.drop_rule(rule)
        more = await written.port(network, security_group_ids=(group, friends))
        await self.follow()
        self.assertEqual(set(self.records.members[friends]), {there, more})
        other = await written.network("2001:db8::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
        last = await written.port(other)
        await written.set(tables.network, network, mtu=1400)
        await written.set(tables.port, port, host="host-2")
        await self.follow()
        self.assertEqual(set(self.records.ports), {more, last})
        await written.drop(there, more)
        await self.follow()
        self.assertEqual(self.records.members[friends], {})

    async def test_nothing_new(self) -> None:
        """Where nothing was committed nothing is touched, and other services' events are passed over."""
        await self.written.port(await self.written.network())
        await self.read_whole()
        newest, touched = await self.database.read(changes, self.records.position)
        self.assertEqual((newest, touched), (self.records.position, Touched()))
        await self.written.write(_note, "identity.user.updated")
        newest, touched = await self.database.read(changes, self.records.position)
        self.assertEqual((newest, touched), (self.records.position + 1, Touched()))

    async def test_lost(self) -> None:
        """Events that were forgotten, that are too many, or that a restored backup never had, ask for everything."""
        await self.read_whole()
        newest = await self.database.read(position)
        for _ in range(3):
            await self.written.group(f"g{_}")
        self.assertIsNotNone((await self.database.read(changes, newest))[1])
        self.assertIsNone((await self.database.read(changes, newest + 1_000))[1])
        await self.written.write(_forget, newest + 2)
        self.assertIsNone((await self.database.read(changes, newest))[1])
        self.assertIsNone(await self.database.read(since, NODE, self.records))
        await self.read_whole()
        await self.written.write(_note_many, MOST_EVENTS + 1)
        self.assertIsNone((await self.database.read(changes, self.records.position))[1])

    async def test_unknown_node(self) -> None:
        """A node that has not said that it is there has no ports."""
        await self.assertFailure(self.database.read(whole, "nobody"), UnknownNode)

    async def test_addresses_for_dhcp(self) -> None:
        """A port keeps one where there is no gateway, once; it is told of by events, and a full pool says so."""
        network = await self.written.network("10.0.0.0/29", gateway_ip=None)
        await self.written.port(network)
        await self.read_whole()
        lacking = self.records.without_server()
        self.assertEqual(len(lacking), 1)
        for _ in range(2):
            self.assertEqual(await self.database.write(keep_addresses, lacking), [])
        await self.follow()
        self.assertEqual(self.records.without_server(), set())
        full = await self.written.network("10.1.0.0/30", gateway_ip=None)
        for _ in range(2):
            await self.written.port(full)
        await self.follow()
        lacking = self.records.without_server()
        self.assertEqual(await self.database.write(keep_addresses, lacking), list(lacking))


class TouchedTests(TestCase):
    def test_kinds(self) -> None:
        """Each kind of event touches what it is about; a port for DHCP the subnets of its network."""
        found = touched_by(
            [
                ("network.network.updated", {"id": "n1"}),
                ("network.subnet.created", {"id": "s1", "network_id": "n1"}),
                ("network.port.deleted", {"id": "p1", "network_id": "n1", "device_owner": "compute:nova"}),
                ("network.port.created", {"id": "p2", "network_id": "n2", "device_owner": "network:dhcp"}),
                ("network.security_group.updated", {"id": "g1"}),
                ("network.security_group_rule.deleted", {"id": "r1", "security_group_id": "g2"}),
                ("network.something.else", {"id": "x"}),
            ]
        )
        wanted = Touched(
            networks=frozenset({"n1"}), subnets=frozenset({"s1"}), ports=frozenset({"p1", "p2"}),
            subnets_of=frozenset({"n2"}), groups=frozenset({"g1", "g2"}),
        )  # fmt: skip
        self.assertEqual(found, wanted)


def _note(connection: Connection, kind: str) -> None:
    connection.execute(tables.outbox.insert().values(created_us=1, type=kind, data='{"id": "x"}'))


def _note_many(connection: Connection, count: int) -> None:
    rows = [{"created_us": 1, "type": "network.port.updated", "data": '{"id": "x"}'}] * count
    connection.execute(tables.outbox.insert(), rows)


def _forget(connection: Connection, up_to: int) -> None:
    connection.execute(tables.outbox.delete().where(tables.outbox.c.id <= up_to))
