"""Values of a plan check themselves."""

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from net import EGRESS, INGRESS, AddressPair, BadPlan, FixedIP, Group, Metadata, Plan, Port, Rule, Update

from .plans import GROUP, port_of

BAD: dict[str, Callable[[], object]] = {
    "mac": lambda: Port(id="a", mac="01:00:5e:00:00:01"),
    "id": lambda: Port(id='a"; flush ruleset', mac="fa:16:3e:00:00:01"),
    "ports[a].mtu": lambda: Port(id="a", mac="fa:16:3e:00:00:01", mtu=10),
    "ports[a].host_name": lambda: Port(id="a", mac="fa:16:3e:00:00:01", host_name="a\ndhcp-script=x"),
    "ports[a].group_ids": lambda: Port(id="a", mac="fa:16:3e:00:00:01", port_security=False, group_ids=("g",)),
    "address": lambda: FixedIP(address="10.0.0", prefix_length=24),
    "prefix_length": lambda: FixedIP(address="10.0.0.1", prefix_length=33),
    "gateway": lambda: FixedIP(address="10.0.0.1", prefix_length=24, gateway="fe80::1"),
    "dhcp_server": lambda: FixedIP(address="10.0.0.1", prefix_length=24, dhcp_server="fe80::1"),
    "slaac": lambda: FixedIP(address="2001:db8::1", prefix_length=48, slaac=True),
    "ports[a].fixed_ips.slaac": lambda: Port(
        id="a",
        mac="fa:16:3e:00:00:01",
        fixed_ips=(FixedIP(address="2001:db8::1", prefix_length=64, slaac=True),),
    ),
    "ports[a].domain": lambda: Port(id="a", mac="fa:16:3e:00:00:01", domain="a.example,dhcp-script=x"),
    "prefix": lambda: AddressPair("10.0.0.0/99"),
    "protocol": lambda: Rule(direction=INGRESS, protocol=256),
    "rule": lambda: Rule(direction=INGRESS, remote_prefix="10.0.0.0/8", remote_group_id="g"),
    "rule.first": lambda: Rule(direction=INGRESS, protocol="tcp", first=80, last=22),
    "rule.remote_prefix": lambda: Rule(direction=INGRESS, remote_prefix="::/0"),
    "metadata": lambda: Metadata("127.0.0.1", 80),
    "groups": lambda: Plan(ports=(port_of(1),)),
    "ports.id": lambda: Plan(ports=(port_of(1), port_of(1)), groups=(GROUP,)),
}


class ValuesTest(SynchronousTestCase):
    def test_updates(self) -> None:
        """What comes and goes at once, or has a bad id, is refused."""
        self.assertRaises(BadPlan, Update, gone_ports={"a b"})
        self.assertRaises(BadPlan, Update, ports=(port_of(1),), gone_ports={port_of(1).id})
        self.assertRaises(BadPlan, Update, groups=(GROUP,), gone_groups={GROUP.id})

    def test_bad_values_name_their_field(self) -> None:
        """What cannot be is refused with the field, the cause and a next step."""
        for field, make in BAD.items():
            error = self.assertRaises(BadPlan, make)
            self.assertEqual(error.field, field)
            self.assertTrue(error.cause and error.next_step)

    def test_ports_without_protocol(self) -> None:
        """A range is no use to protocols without ports."""
        self.assertRaises(BadPlan, Rule, direction=EGRESS, first=1, last=2)
        self.assertRaises(BadPlan, Rule, direction=EGRESS, protocol="gre", first=1, last=2)
        self.assertRaises(BadPlan, Rule, direction=EGRESS, protocol="tcp", first=1)

    def test_texts_are_those_of_the_kernel(self) -> None:
        """Addresses, prefixes, MACs and protocols have one form."""
        self.assertEqual(FixedIP(address="2001:DB8:0::1", prefix_length=64).address, "2001:db8::1")
        self.assertEqual(FixedIP(address="::ffff:1.2.3.4", prefix_length=64).address, "::ffff:1.2.3.4")
        self.assertEqual(
            AddressPair("10.0.0.7/24", "FA:16:3E:00:00:01"), AddressPair("10.0.0.0/24", "fa:16:3e:00:00:01")
        )
        self.assertEqual(
            [Rule(direction=EGRESS, protocol=name).protocol for name in ("tcp", "17", 1, "any")], [6, 17, 1, None]
        )

    def test_an_address_is_on_one_port(self) -> None:
        """A host has one table of routes: two ports with one address are refused."""
        twin = Port(id="b", mac="fa:16:3e:00:00:02", fixed_ips=port_of(1).fixed_ips)
        error = self.assertRaises(BadPlan, Plan, ports=(port_of(1), twin), groups=(GROUP, Group(id="other")))
        self.assertEqual(error.field, "ports.fixed_ips.address")
