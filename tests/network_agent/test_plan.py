"""What a host's network is to be, from records."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from cloudd.network_agent._plan import Planner
from cloudd.network_agent._records import NetworkRecord, Part, PortRecord, Records, RuleRecord, SubnetRecord, Touched
from net import AddressPair, FixedIP, Group, HostRoute, Plan, Port, Rule, Update, eui_64

NETWORK = NetworkRecord(id="n1", mtu=1450, domain="example.org.")
SUBNET = SubnetRecord(
    id="s1", network_id="n1", prefix_length=24, gateway="10.0.0.1", dns=("9.9.9.9",),
    routes=(("10.9.0.0/16", "10.0.0.9"),),
)  # fmt: skip
SIX = SubnetRecord(id="s6", network_id="n1", prefix_length=64, version=6, gateway="2001:db8::1", mode="slaac")
RULES = (RuleRecord(direction="egress"), RuleRecord(direction="ingress", remote_group_id="g1"))


def record(number: int, **more: Any) -> PortRecord:
    facts: dict[str, Any] = {
        "id": f"{number:08x}-0000-4000-8000-000000000000",
        "mac": f"fa:16:3e:00:00:{number:02x}",
        "network_id": "n1",
        "is_here": True,
        "addresses": (("s1", f"10.0.0.{number}"),),
        "group_ids": ("g1",),
        "created_us": number,
    }
    return PortRecord(**(facts | more))


def part(*ports: PortRecord, **more: Any) -> Part:
    facts: dict[str, Any] = {
        "position": 1,
        "ports": {port.id: port for port in ports},
        "networks": {"n1": NETWORK},
        "subnets": {"s1": SUBNET, "s6": SIX},
        "rules": {"g1": RULES},
        "members": {"g1": {port.id: port.members for port in ports}},
    }
    return Part(**(facts | more))


class PlannerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.records = Records()
        self.planner = Planner("abc")

    def take(self, found: Part, held: tuple[str, ...] = ()) -> Update:
        return self.planner.change(self.records, *self.records.take(found), held)

    def only(self, **more: Any) -> Port:
        """What becomes of port 5 with these facts."""
        self.take(part(record(5, **more)))
        (port,) = self.planner.ports.values()
        return port

    def test_one_port(self) -> None:
        """All that its network, its subnet and its group say of it."""
        update = self.take(part(record(5, host_name="web")))
        fixed = FixedIP(
            address="10.0.0.5", prefix_length=24, gateway="10.0.0.1", dns=("9.9.9.9",),
            routes=(HostRoute("10.9.0.0/16", "10.0.0.9"),),
        )  # fmt: skip
        port = Port(
            id=record(5).id, mac=record(5).mac, network_id="n1", fixed_ips=(fixed,), mtu=1450, host_name="web",
            domain="example.org", group_ids=("g1",),
        )  # fmt: skip
        rules = (Rule(direction="egress"), Rule(direction="ingress", remote_group_id="g1"))
        group = Group(id="g1", rules=rules, members={"10.0.0.5"})
        self.assertEqual(update, Update(ports=(port,), groups=(group,)))
        self.assertEqual(self.planner.plan(), Plan(ports=(port,), groups=(group,), forwards=True))
        self.assertEqual(self.take(part(record(5, host_name="web"))), Update())

    def test_differences(self) -> None:
        """What changes is given, and nothing else: a port, the members of its group, what goes."""
        self.take(part(record(5), record(6)))
        update = self.take(Part(position=2, ports={record(7).id: record(7)}))
        self.assertEqual([port.id for port in update.ports], [record(7).id])
        (group,) = update.groups
        self.assertEqual(group.members, {"10.0.0.5", "10.0.0.6", "10.0.0.7"})
        update = self.take(Part(position=3, ports={record(6).id: None, record(7).id: record(7, is_here=False)}))
        self.assertEqual(update.gone_ports, {record(6).id, record(7).id})
        self.assertEqual(update.groups[0].members, {"10.0.0.5", "10.0.0.7"})
        update = self.take(Part(position=4, ports={record(5).id: None}))
        self.assertEqual(update, Update(gone_ports={record(5).id}, gone_groups={"g1"}))
        self.assertEqual(self.planner.plan(), Plan(forwards=True))

    def test_elsewhere(self) -> None:
        """A port of another host changes the members of a group that a rule here names, and nothing else."""
        self.take(part(record(5)))
        update = self.take(Part(position=2, ports={record(9).id: record(9, is_here=False)}))
        self.assertEqual(update, Update(groups=(evolve(self.planner._groups["g1"]),)))
        self.assertEqual(update.groups[0].members, {"10.0.0.5", "10.0.0.9"})
        strange = record(8, is_here=False, group_ids=("other",))
        self.assertEqual(self.take(Part(position=3, ports={strange.id: strange})), Update())

    def test_a_group_that_is_named(self) -> None:
        """It is there with its members, without rules, as long as it is named."""
        rules = (RuleRecord(direction="ingress", remote_group_id="g2"),)
        self.take(part(record(5), rules={"g1": rules}, members={"g2": {"x": ("10.0.0.99",)}}))
        self.assertEqual(self.planner._groups["g2"], Group(id="g2", members={"10.0.0.99"}))
        update = self.take(Part(position=2, rules={"g1": ()}))
        self.assertEqual(update, Update(groups=(Group(id="g1"),), gone_groups={"g2"}))

    def test_what_a_network_says(self) -> None:
        """Its ports follow it."""
        self.take(part(record(5), record(6)))
        update = self.take(Part(position=2, networks={"n1": evolve(NETWORK, mtu=1400)}))
        self.assertEqual({port.mtu for port in update.ports}, {1400})
        self.assertEqual(len(update.ports), 2)
        update = self.take(Part(position=3, subnets={"s1": evolve(SUBNET, dns=())}))
        self.assertEqual([port.fixed_ips[0].dns for port in update.ports], [(), ()])

    def test_security(self) -> None:
        """Pairs and groups; without port security neither."""
        pairs = (("10.7.0.0/16", ""), ("10.8.0.1", "fa:16:3e:00:00:99"))
        port = self.only(pairs=pairs)
        self.assertEqual(
            port.address_pairs, (AddressPair("10.7.0.0/16"), AddressPair("10.8.0.1/32", "fa:16:3e:00:00:99"))
        )
        port = self.only(is_secure=False, group_ids=())
        self.assertEqual((port.port_security, port.group_ids, port.address_pairs), (False, (), ()))

    def test_turned_off(self) -> None:
        """A port or a network that is turned off leaves a tap through which nothing goes."""
        off = Port(id=record(5).id, mac=record(5).mac, network_id="n1", mtu=1450)
        self.assertEqual(self.only(is_up=False), off)
        self.take(Part(position=2, ports={record(5).id: record(5)}, networks={"n1": evolve(NETWORK, is_up=False)}))
        self.assertEqual(list(self.planner.ports.values()), [off])

    def test_ipv6(self) -> None:
        """A guest makes its address where the subnet says so and it would be that; without a mode it hears nothing."""
        made = eui_64("2001:db8::", record(5).mac)
        facts = {address: self.only(addresses=(("s6", address),)).fixed_ips[0] for address in (made, "2001:db8::77")}
        self.assertEqual([facts[address].slaac for address in facts], [True, False])
        self.take(Part(position=2, subnets={"s6": evolve(SIX, mode="")}))
        (port,) = self.planner.ports.values()
        self.assertFalse(port.fixed_ips[0].dhcp)

    def test_ipv6_on_a_small_mtu(self) -> None:
        """The address of IPv6 is left out, said, and that of IPv4 stays."""
        both = record(5, addresses=(("s1", "10.0.0.5"), ("s6", "2001:db8::5")))
        self.take(part(both, networks={"n1": evolve(NETWORK, mtu=1000)}))
        (port,) = self.planner.ports.values()
        self.assertEqual([fixed.address for fixed in port.fixed_ips], ["10.0.0.5"])
        self.assertIn("1280", str(self.planner.less[port.id]))

    def test_without_gateway(self) -> None:
        """DHCP answers from the address that is kept for it; where there is none that is said."""
        subnet = evolve(SUBNET, gateway=None)
        self.take(part(record(5), subnets={"s1": subnet}))
        self.assertEqual(self.records.without_server(), {"s1"})
        self.assertIn("no address left for DHCP", str(self.planner.less[record(5).id]))
        self.take(Part(position=2, subnets={"s1": evolve(subnet, dhcp_server="10.0.0.250")}))
        (port,) = self.planner.ports.values()
        self.assertEqual(port.fixed_ips[0].on_tap, "10.0.0.250")
        self.assertEqual((self.records.without_server(), self.planner.less), (set(), {}))

    def test_names_that_cannot_be(self) -> None:
        """Only the name is left out, and said."""
        port = self.only(host_name="no_name")
        self.assertEqual((port.host_name, port.domain), ("", "example.org"))
        self.assertIn("host_name", str(self.planner.less[port.id]))

    def test_rules_that_cannot_be(self) -> None:
        """Only the rule is left out, and said."""
        bad = RuleRecord(direction="ingress", protocol=50, first=1, last=2)
        self.take(part(record(5), rules={"g1": (*RULES, bad)}))
        self.assertEqual(len(self.planner._groups["g1"].rules), 2)
        self.assertIn("a rule of it is left out", str(self.planner.less["g1"]))

    def test_who_has_an_address_keeps_it(self) -> None:
        """Of two that want it the later one is left out until the other goes; after a restart the active one has it."""
        early, late = record(5), record(6, addresses=(("s1", "10.0.0.5"),))
        self.take(part(late))
        self.take(Part(position=2, ports={early.id: early}))
        self.assertEqual((list(self.planner.ports), list(self.planner.left_out)), ([late.id], [early.id]))
        again = Planner("abc")
        records = Records()
        again.change(records, *records.take(part(early, evolve(late, is_active=True))))
        self.assertEqual((list(again.ports), list(again.left_out)), ([late.id], [early.id]))
        update = self.take(Part(position=3, ports={late.id: None}))
        self.assertEqual([port.id for port in update.ports], [early.id])
        self.assertEqual(self.planner.left_out, {})

    def test_bad_ports_are_left_out(self) -> None:
        """A port whose values no host can have, or whose tap would have another's name, does not stop the others."""
        twin = record(5, id=f"{record(5).id[:-1]}1", addresses=(("s1", "10.0.0.8"),))
        bad = record(7, mac="ff:ff:ff:ff:ff:ff")
        self.take(part(record(5), twin, bad, record(6, network_id="n2")))
        self.assertEqual(list(self.planner.ports), [record(5).id])
        self.assertIn("its tap", self.planner.left_out[twin.id].cause)
        self.assertIn("MAC", self.planner.left_out[bad.id].cause)
        self.assertIn("n2", self.planner.left_out[record(6).id].cause)

    def test_nobodys(self) -> None:
        """What the host is on, and what is on no network, is no port's and no gateway."""
        self.planner.hosts_own = (ip_network("192.0.2.2/24", strict=False), ip_network("fd00::2/64", strict=False))
        for address in ("192.0.2.7", "127.0.0.1", "169.254.169.254", "224.0.0.5", "255.255.255.255", "0.0.0.1"):
            self.take(part(record(5, addresses=(("s1", address),))))
            (left,) = self.planner.left_out.values()
            self.assertIn(f"{address} is in ", left.cause)
        for address in ("fd00::9", "::1", "fe80::1", "ff02::1"):
            self.take(part(record(5, addresses=(("s6", address),))))
            self.assertIn(record(5).id, self.planner.left_out)
        subnet = evolve(SUBNET, gateway="192.0.2.1")
        self.take(part(record(5), subnets={"s1": subnet}))
        self.assertIn("192.0.2.1 is in 192.0.2.0/24", self.planner.left_out[record(5).id].cause)
        self.take(part(record(5), subnets={"s1": SUBNET}))
        self.assertEqual(self.planner.left_out, {})

    def test_closed(self) -> None:
        """What the host is on is closed to guests, if the settings do not say else."""
        for closes in (True, False):
            planner = Planner("abc", closes=closes)
            planner.hosts_own = (ip_network("192.0.2.0/24"), ip_network("fd00::/64"))
            self.assertEqual(planner.plan().closed, {"192.0.2.0/24", "fd00::/64"} if closes else set())

    def test_held(self) -> None:
        """A port that is held out is out, and its address is free."""
        self.take(part(record(5)))
        update = self.take(Part(position=2, ports={record(5).id: record(5)}), (record(5).id,))
        self.assertEqual(update.gone_ports, {record(5).id})
        heir = record(6, addresses=(("s1", "10.0.0.5"),))
        self.take(Part(position=3, ports={heir.id: heir}), (record(5).id,))
        self.assertEqual(list(self.planner.ports), [heir.id])


class RecordsTests(SynchronousTestCase):
    def test_narrowed(self) -> None:
        """What is told of networks, subnets and groups that nobody here has is no matter."""
        records = Records()
        records.take(part(record(5)))
        here = Touched(networks=frozenset({"n1"}), subnets=frozenset({"s1"}), groups=frozenset({"g1"}))
        there = Touched(networks=frozenset({"n2"}), subnets=frozenset({"s2"}), groups=frozenset({"g2"}))
        self.assertEqual(records.narrowed(here), here)
        self.assertEqual(records.narrowed(there), Touched())
        self.assertFalse(records.concerns(there))
        self.assertEqual(records.narrowed(Touched(subnets_of=frozenset({"n1"}))).subnets, {"s1", "s6"})
