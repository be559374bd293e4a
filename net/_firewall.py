# -*- test-case-name: tests.net.test_firewall -*-
"""
The tables of nftables that a plan asks for.  Pure.

A packet from a guest meets ``antispoof`` before connection tracking; then, if it is for others, the chain of its port's
groups by the map ``egress``, and the chain of the other port's groups by the map ``ingress``; if it is for the host,
``to-host``.  A group's rules are in one chain for all ports; ports with the same groups share one chain that jumps to
each.  So a port costs a fixed number of elements, and a packet one look-up, however many ports there are.

Several base chains at ``forward``: an ``accept`` ends only the one, so that both sides' groups have to allow a packet,
and both ports have to be of one network.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from typing import Any, Final, Self

from attrs import define, field, frozen

from ._rules import (
    ACCEPT,
    DROP,
    IIFNAME,
    KNOWN,
    OIFNAME,
    RETURN,
    UNKNOWN,
    Expression,
    header,
    joined,
    joined_prefixes,
    jump,
    match,
    members_set,
    prefix_value,
    rule_expression,
)
from ._ruleset import ACCEPTS, FAMILIES, Chain, Name, Ruleset, Set, mark_of, text_of
from ._taps import tap_name
from ._values import EGRESS, INGRESS, IPV4, IPV6, Group, Metadata, Plan, Port, eui_64

METADATA_ADDRESS: Final = "169.254.169.254"
_ADDRESS_TYPE: Final = {IPV4: "ipv4_addr", IPV6: "ipv6_addr"}
_FROM_PORT: Final = joined(IIFNAME, header("ether", "saddr"))
_ECHO_6: Final = match(header("icmpv6", "type"), "echo-request")
_NEIGHBOURS: Final = ["nd-neighbor-solicit", "nd-neighbor-advert"]


def plan_firewall(plan: Plan, prefix: str) -> Ruleset:
    """No table at all where there is no port."""
    if not plan.ports:
        return Ruleset()
    draft = _Draft()
    _base_chains(draft, plan.closed)
    _to_host(draft, plan.metadata)
    return _filled(draft, plan.ports, plan.groups, Shared.by(plan.ports), prefix)


@frozen
class Shared:
    """
    What several ports have in common.

    :ivar together: sets of groups, each of which has chains
    :ivar network_ids: of networks, each of which has a chain
    """

    together: frozenset[tuple[str, ...]]
    network_ids: frozenset[str]

    @classmethod
    def by(cls, ports: Iterable[Port]) -> Self:
        there = tuple(ports)
        return cls(
            frozenset(port.group_ids for port in there if port.port_security),
            frozenset(port.network_id for port in there),
        )


def plan_part(ports: Iterable[Port], groups: Iterable[Group], shared: Shared, prefix: str) -> Ruleset:
    """
    What belongs to some ports and groups alone: the difference of two such parts is that of the whole plans.

    :param shared: of which the chains are there
    """
    return _filled(_Draft(), ports, groups, shared, prefix)


def _filled(
    draft: _Draft,
    ports: Iterable[Port],
    groups: Iterable[Group],
    shared: Shared,
    prefix: str,
) -> Ruleset:
    _port_sets(draft)
    for group in groups:
        _group(draft, group)
    for group_ids in shared.together:
        _shared_chains(draft, group_ids)
    for network_id in shared.network_ids:
        _network(draft, network_id)
    for port in ports:
        _port(draft, port, tap_name(prefix, port.id))
    return draft.ruleset()


@define
class _Draft:
    """A ruleset while it is written."""

    _sets: dict[Name, Set] = field(factory=dict)
    _elements: dict[Name, set[str]] = field(factory=dict)
    _chains: dict[Name, tuple[tuple[str, str, int] | None, list[str]]] = field(factory=dict)
    _expressions: dict[str, str] = field(factory=dict)

    def make_set(self, name: Name, *key: str, verdicts: bool = False, intervals: bool = False) -> None:
        self._sets[name] = Set(key, verdicts, intervals)
        self._elements[name] = set()

    def put(self, name: Name, element: Any) -> None:
        self._elements[name].add(text_of(element))

    def chain(
        self, name: str, rules: Iterable[Expression], base: tuple[str, str, int] | None = None, family: str = "inet"
    ) -> None:
        marks = []
        for rule in rules:
            text = text_of(rule)
            marks.append(mark_of(text))
            self._expressions[marks[-1]] = text
        self._chains[family, name] = (base, marks)

    def ruleset(self) -> Ruleset:
        return Ruleset(
            families=frozenset(FAMILIES),
            sets=self._sets,
            elements={name: frozenset(elements) for name, elements in self._elements.items()},
            chains={
                name: Chain(base and (*base, ACCEPTS), tuple(marks)) for name, (base, marks) in self._chains.items()
            },
            expressions=self._expressions,
        )


def _port_sets(draft: _Draft) -> None:
    draft.make_set(("inet", "ports"), "ifname")
    draft.make_set(("inet", "networks"), "ifname", verdicts=True)
    for family in FAMILIES:
        draft.make_set((family, "secured"), "ifname")
        draft.make_set((family, "macs"), "ifname", "ether_addr")
        for version in (IPV4, IPV6) if family == "inet" else (IPV4,):
            key = ("ifname", "ether_addr", _ADDRESS_TYPE[version])
            draft.make_set((family, f"sources{version}"), *key)
            draft.make_set((family, f"pairs{version}"), *key, intervals=True)
    for direction in (INGRESS, EGRESS):
        draft.make_set(("inet", direction), "ifname", verdicts=True)


def _base_chains(draft: _Draft, closed: Iterable[str]) -> None:
    secured = [match(IIFNAME, "@secured")]
    to_secured = match(OIFNAME, "@secured")
    let_in = [[to_secured, KNOWN, ACCEPT]]
    ingress: list[Expression] = [[{"vmap": {"key": OIFNAME, "data": "@ingress"}}]]
    draft.chain("antispoof", _antispoof())
    draft.chain("from-ports", [[*secured, jump("antispoof")]], ("filter", "prerouting", -300))
    # Before groups, which let through what belongs to a connection.
    draft.chain("between-networks", [[{"vmap": {"key": IIFNAME, "data": "@networks"}}]], ("filter", "forward", -1))
    draft.chain(
        "egress-of-ports",
        [[*secured, KNOWN, ACCEPT], *_closed(closed), [{"vmap": {"key": IIFNAME, "data": "@egress"}}]],
        ("filter", "forward", 0),
    )
    draft.chain("ingress-of-ports", [*let_in, *ingress], ("filter", "forward", 1))
    from_host = [
        [to_secured, match(header("udp", "sport"), 67), match(header("udp", "dport"), 68), ACCEPT],
        [to_secured, match(header("udp", "sport"), 547), match(header("udp", "dport"), 546), ACCEPT],
        [to_secured, match(header("icmpv6", "type"), {"set": [*_NEIGHBOURS, "nd-router-advert"]}), ACCEPT],
        # By an echo dnsmasq learns the MAC of who asks for an address.
        [to_secured, match(header("ip6", "daddr"), prefix_value("fe80::/10")), _ECHO_6, ACCEPT],
    ]
    draft.chain("from-host", [*let_in, *from_host, *ingress], ("filter", "output", 0))
    draft.chain("arp-of-ports", _arp(), ("filter", "input", 0), "arp")


def _closed(prefixes: Iterable[str]) -> Iterable[Expression]:
    """What ports may only answer; also those that nobody looks at else."""
    joint = joined_prefixes(prefixes)
    for version, protocol in ((IPV4, "ip"), (IPV6, "ip6")):
        some = [prefix_value(each) for each in joint if (":" in each) == (version == IPV6)]
        if some:
            yield [match(IIFNAME, "@ports"), UNKNOWN, match(header(protocol, "daddr"), {"set": some}), DROP]


def _antispoof() -> Iterable[Expression]:
    mac = match(_FROM_PORT, "@macs")
    yield [
        mac,
        match(header("ip", "saddr"), "0.0.0.0"),  # noqa: S104 - a guest that has no address yet
        match(header("ip", "daddr"), "255.255.255.255"),
        match(header("udp", "sport"), 68),
        match(header("udp", "dport"), 67),
        RETURN,
    ]
    # Nobody but the host gives addresses and routes.
    yield [match(header("udp", "sport"), 67), DROP]
    yield [match(header("udp", "sport"), 547), DROP]
    yield [match(header("icmpv6", "type"), "nd-router-advert"), DROP]
    for version, protocol in ((IPV4, "ip"), (IPV6, "ip6")):
        source = joined(IIFNAME, header("ether", "saddr"), header(protocol, "saddr"))
        yield [match(source, f"@sources{version}"), RETURN]
        yield [match(source, f"@pairs{version}"), RETURN]
    # Looking for a doubled address and for a router, before it has one.
    early = {"set": ["nd-neighbor-solicit", "nd-router-solicit"]}
    yield [mac, match(header("ip6", "saddr"), "::"), match(header("icmpv6", "type"), early), RETURN]
    yield [DROP]


def _arp() -> Iterable[Expression]:
    mac, address = header("arp", "saddr ether"), header("arp", "saddr ip")
    yield [match(joined(IIFNAME, mac, address), "@sources4"), ACCEPT]
    yield [match(joined(IIFNAME, mac, address), "@pairs4"), ACCEPT]
    yield [match(joined(IIFNAME, mac), "@macs"), match(address, "0.0.0.0"), ACCEPT]  # noqa: S104 - a probe, RFC 5227
    yield [match(IIFNAME, "@secured"), DROP]


def _to_host(draft: _Draft, metadata: Metadata | None) -> None:
    """What guests may have of the host itself: DHCP, echo, neighbours, routers, and metadata that was redirected."""
    rules: list[Expression] = [
        [KNOWN, ACCEPT],
        [match(header("udp", "sport"), 68), match(header("udp", "dport"), 67), ACCEPT],
        [match(header("udp", "sport"), 546), match(header("udp", "dport"), 547), ACCEPT],
        [match(header("icmp", "type"), "echo-request"), ACCEPT],
        [match(header("icmpv6", "type"), {"set": ["echo-request", "nd-router-solicit", *_NEIGHBOURS]}), ACCEPT],
    ]
    redirect: list[Expression] = []
    if metadata:
        here = [match(header("ip", "daddr"), metadata.address), match(header("tcp", "dport"), metadata.port)]
        rules.append([{"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"}}, *here, ACCEPT])
        asked = [match(header("ip", "daddr"), METADATA_ADDRESS), match(header("tcp", "dport"), 80)]
        dnat = {"dnat": {"family": "ip", "addr": metadata.address, "port": metadata.port}}
        redirect = [[match(IIFNAME, "@ports"), *asked, dnat]]
    draft.chain("to-host", [*rules, [DROP]])
    draft.chain("to-host-of-ports", [[match(IIFNAME, "@ports"), jump("to-host")]], ("filter", "input", 0))
    draft.chain("metadata", redirect, ("nat", "prerouting", -100))


def _group(draft: _Draft, group: Group) -> None:
    for version in (IPV4, IPV6):
        name = ("inet", members_set(group.id, version))
        draft.make_set(name, _ADDRESS_TYPE[version])
        for member in group.members:
            if (":" in member) == (version == IPV6):
                draft.put(name, member)
    for direction in (INGRESS, EGRESS):
        rules = [rule_expression(rule) for rule in group.rules if rule.direction == direction]
        draft.chain(f"rules-{direction}-{group.id}", rules)


def _taps_of(network_id: str) -> str:
    return f"taps-{network_id}"


def _network(draft: _Draft, network_id: str) -> None:
    """What its ports send to ports goes to its own alone; to others than ports as groups allow."""
    draft.make_set(("inet", _taps_of(network_id)), "ifname")
    own = match(OIFNAME, f"@{_taps_of(network_id)}")
    draft.chain(f"from-network-{network_id}", [[own, RETURN], [match(OIFNAME, "@ports"), DROP]])


def _port(draft: _Draft, port: Port, tap: str) -> None:
    draft.put(("inet", "ports"), tap)
    draft.put(("inet", "networks"), [tap, {"goto": {"target": f"from-network-{port.network_id}"}}])
    draft.put(("inet", _taps_of(port.network_id)), tap)
    if not port.port_security:
        return
    for family in FAMILIES:
        draft.put((family, "secured"), tap)
    for direction in (INGRESS, EGRESS):
        draft.put(("inet", direction), [tap, {"goto": {"target": _shared_chain(port.group_ids, direction)}}])
    _sources(draft, port, tap)


def _shared_chains(draft: _Draft, group_ids: tuple[str, ...]) -> None:
    """Of all ports that have exactly these groups; what none of them lets through is dropped."""
    for direction in (INGRESS, EGRESS):
        jumps = ([jump(f"rules-{direction}-{group_id}")] for group_id in group_ids)
        draft.chain(_shared_chain(group_ids, direction), [*jumps, [DROP]])


def _shared_chain(group_ids: tuple[str, ...], direction: str) -> str:
    return f"{direction}-of-{hashlib.sha256(' '.join(group_ids).encode()).hexdigest()[:16]}"


def _sources(draft: _Draft, port: Port, tap: str) -> None:
    for mac in {port.mac, *(pair.mac for pair in port.address_pairs if pair.mac)}:
        for family in FAMILIES:
            draft.put((family, "macs"), {"concat": [tap, mac]})
    for fixed in port.fixed_ips:
        for family in FAMILIES if fixed.version == IPV4 else ("inet",):
            draft.put((family, f"sources{fixed.version}"), {"concat": [tap, port.mac, fixed.address]})
    draft.put(("inet", "sources6"), {"concat": [tap, port.mac, eui_64("fe80::", port.mac)]})
    for mac, prefix in _pairs(port):
        version = ipaddress.ip_network(prefix).version
        for family in FAMILIES if version == IPV4 else ("inet",):
            draft.put((family, f"pairs{version}"), {"concat": [tap, mac, prefix_value(prefix)]})


def _pairs(port: Port) -> Iterable[tuple[str, str]]:
    """(MAC, prefix), where none of one MAC lies in another."""
    by_mac: dict[str, list[str]] = {}
    for pair in port.address_pairs:
        by_mac.setdefault(pair.mac or port.mac, []).append(pair.prefix)
    for mac, prefixes in by_mac.items():
        yield from ((mac, prefix) for prefix in joined_prefixes(prefixes))
