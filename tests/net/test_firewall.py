"""What a plan asks of nftables."""

import json
from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from net import EGRESS, INGRESS, AddressPair, Group, Metadata, Plan, Rule
from net._firewall import plan_firewall
from net._rules import rule_expression
from net._ruleset import Ruleset
from net._taps import tap_name

from .plans import GROUP, plan_of, port_of

TAP = "cld00000005-000"
IS_IPV4 = {"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": "ipv4"}}


def _elements(ruleset: Ruleset, name: str, family: str = "inet") -> list[Any]:
    return sorted(map(json.loads, ruleset.elements[family, name]), key=str)


class FirewallTest(SynchronousTestCase):
    def test_empty(self) -> None:
        """No port, no table."""
        self.assertEqual(plan_firewall(Plan(groups=(GROUP,)), "cld"), Ruleset())

    def test_sources(self) -> None:
        """A port may send from its addresses with its MAC, by ARP too, and from its link-local address."""
        ruleset = plan_firewall(plan_of(5), "cld")
        own = {"concat": [TAP, "fa:16:3e:00:00:05", "10.0.0.5"]}
        self.assertEqual(_elements(ruleset, "sources4"), [own])
        self.assertEqual(_elements(ruleset, "sources4", "arp"), [own])
        self.assertEqual(_elements(ruleset, "sources6")[0]["concat"][2], "fe80::f816:3eff:fe00:5")

    def test_pairs_never_overlap(self) -> None:
        """A pair within another is part of it."""
        pairs = (AddressPair("10.9.0.0/24"), AddressPair("10.9.0.7"), AddressPair("10.8.0.1"))
        plan = Plan(ports=(evolve(port_of(5), address_pairs=pairs),), groups=(GROUP,))
        prefixes = [element["concat"][2] for element in _elements(plan_firewall(plan, "cld"), "pairs4")]
        self.assertEqual(prefixes, ["10.8.0.1", {"prefix": {"addr": "10.9.0.0", "len": 24}}])

    def test_a_port_without_security(self) -> None:
        """It has metadata, and nothing is asked of it."""
        ruleset = plan_firewall(Plan(ports=(port_of(5, port_security=False),)), "cld")
        self.assertEqual(_elements(ruleset, "ports"), [TAP])
        names = ("secured", "macs", "sources4", "ingress", "egress")
        self.assertEqual([_elements(ruleset, name) for name in names], [[]] * 5)

    def test_no_group(self) -> None:
        """A port with security and no group may neither send nor get."""
        ruleset = plan_firewall(Plan(ports=(port_of(5, ()),)), "cld")
        (target,) = {element[1]["goto"]["target"] for element in _elements(ruleset, "ingress")}
        (mark,) = ruleset.chains["inet", target].marks
        self.assertEqual(json.loads(ruleset.expressions[mark]), [{"drop": None}])

    def test_metadata(self) -> None:
        """The redirection is there with a metadata service only."""
        without = plan_firewall(plan_of(5), "cld")
        plan = evolve(plan_of(5), metadata=Metadata("10.255.0.1", 8775))
        self.assertEqual(without.chains["inet", "metadata"].marks, ())
        self.assertEqual(len(plan_firewall(plan, "cld").chains["inet", "metadata"].marks), 1)

    def test_members(self) -> None:
        """Members of a remote group are in the set of their version of IP."""
        group = Group(id="web", members={"10.0.0.9", "2001:db8::9"})
        ruleset = plan_firewall(plan_of(5, group=group), "cld")
        self.assertEqual([_elements(ruleset, f"members{n}-web") for n in (4, 6)], [["10.0.0.9"], ["2001:db8::9"]])

    def test_networks(self) -> None:
        """Each network has the taps of its own ports, also of those without port security."""
        red = evolve(port_of(5), network_id="red")
        blue = evolve(port_of(6, port_security=False), network_id="blue")
        ruleset = plan_firewall(Plan(ports=(red, blue), groups=(GROUP,)), "cld")
        taps = [_elements(ruleset, f"taps-{name}") for name in ("red", "blue")]
        self.assertEqual(taps, [[tap_name("cld", red.id)], [tap_name("cld", blue.id)]])

    @given(st.integers(min_value=1, max_value=60))
    def test_rules_do_not_grow_with_ports(self, count: int) -> None:
        """Any number of ports of one set of groups has the same chains with the same rules."""
        self.assertEqual(
            plan_firewall(plan_of(*range(1, count + 1)), "cld").chains, plan_firewall(plan_of(1), "cld").chains
        )


class RuleExpressionTest(SynchronousTestCase):
    def test_range_from_prefix(self) -> None:
        """Protocol, ports and the other side are conditions."""
        rule = Rule(direction=INGRESS, protocol="tcp", first=22, last=80, remote_prefix="10.0.0.0/8")
        source = {"payload": {"protocol": "ip", "field": "saddr"}}
        port = {"payload": {"protocol": "tcp", "field": "dport"}}
        self.assertEqual(
            rule_expression(rule),
            [
                IS_IPV4,
                {"match": {"op": "==", "left": source, "right": {"prefix": {"addr": "10.0.0.0", "len": 8}}}},
                {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": 6}},
                {"match": {"op": "==", "left": port, "right": {"range": [22, 80]}}},
                {"accept": None},
            ],
        )

    def test_remote_group(self) -> None:
        """Of egress the other side is the destination."""
        rule = Rule(direction=EGRESS, remote_group_id="db")
        destination = {"payload": {"protocol": "ip", "field": "daddr"}}
        self.assertEqual(
            rule_expression(rule)[1], {"match": {"op": "==", "left": destination, "right": "@members4-db"}}
        )

    def test_icmp_of_ipv6(self) -> None:
        """ICMP in a rule of IPv6 is its own; a type without a code takes every code."""
        rule = Rule(direction=INGRESS, version=6, protocol="icmp", first=128)
        matches = [part["match"]["right"] for part in rule_expression(rule)[1:-1]]
        self.assertEqual(matches, [58, 128])

    def test_everybody_is_no_condition(self) -> None:
        """A prefix of all addresses asks nothing."""
        self.assertEqual(
            rule_expression(Rule(direction=INGRESS, remote_prefix="0.0.0.0/0")), [IS_IPV4, {"accept": None}]
        )
