# -*- test-case-name: tests.net.test_narrowing -*-
"""
What is allowed no more after a change, and which open connections that ends.  Pure.

The firewall lets through what belongs to a connection that was let in.  So when a rule goes, the connections that only
it let in have to go with it; those that another rule allows go on, untouched: an entry that was deleted would be made
again by the next packet, which may be a reply that no rule allows.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final, Self

from attrs import define, frozen

from ._connections import Connection, Flow
from ._taps import Tap
from ._values import EGRESS, ICMP, INGRESS, IPV4, Group, Metadata, Port, Rule, printed

_ALWAYS: Final = frozenset({(68, 67), (67, 68), (546, 547), (547, 546)})
"""(source, destination) of DHCP, which passes whatever groups say."""

_UDP: Final = 17


@frozen
class Narrowed:
    """
    Addresses of which connections may have to end.

    :ivar lost: they were a port's and are so no more: all of their connections end
    :ivar asked: what they may send or get has become less: their connections are asked again
    """

    lost: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()

    def __or__(self, other: Narrowed) -> Narrowed:
        return Narrowed(self.lost | other.lost, self.asked | other.asked)

    def __bool__(self) -> bool:
        return bool(self.lost or self.asked)

    @property
    def addresses(self) -> frozenset[str]:
        return self.lost | self.asked


def own_addresses(port: Port) -> frozenset[str]:
    """Fixed ones, and address pairs of one address; of a wider pair nobody can tell whose an address is."""
    return frozenset((*(fixed.address for fixed in port.fixed_ips), *_paired(port)))


def _paired(port: Port) -> Iterator[str]:
    for pair in port.address_pairs:
        network = ipaddress.ip_network(pair.prefix)
        if network.prefixlen == network.max_prefixlen:
            yield printed(network.network_address)


def narrowed_ports(old: Collection[Port], new: Iterable[Port], ports: Iterable[Port]) -> Narrowed:
    """
    By ports that went or are others than before.

    :param ports: all that are there
    """
    news = {port.id: port for port in new}
    lost: set[str] = set()
    asked: set[str] = set()
    for before in old:
        after = news.get(before.id)
        lost |= own_addresses(before) - (own_addresses(after) if after else frozenset())
        if after and after.port_security and (not before.port_security or set(before.group_ids) - set(after.group_ids)):
            asked |= own_addresses(after)
    shared = _still_paired(old, lost, ports)
    return Narrowed(frozenset(lost - shared), frozenset(asked | shared))


def _still_paired(old: Iterable[Port], lost: set[str], ports: Iterable[Port]) -> set[str]:
    """Of lost address pairs those that another port has, too: it may be the one whose connections are open."""
    pairs = lost & {address for port in old for address in _paired(port)}
    if not pairs:
        return set()
    return pairs & {address for port in ports for address in _paired(port)}


def narrowed_groups(old: Iterable[Group], new: Iterable[Group], ports: Iterable[Port]) -> Narrowed:
    """
    By rules and members that are there no more.

    :param ports: all that are there
    """
    news = {group.id: group for group in new}
    asked: set[str] = set()
    stricter: set[str] = set()
    for before in old:
        if after := news.get(before.id):
            asked |= before.members - after.members
            if set(before.rules) - set(after.rules):
                stricter.add(before.id)
    if stricter:
        for port in ports:
            if not stricter.isdisjoint(port.group_ids):
                asked |= own_addresses(port)
    return Narrowed(asked=frozenset(asked))


def lost_routes(found: Iterable[Tap], wanted: Mapping[str, Tap]) -> Narrowed:
    """By taps that lead to other addresses than they are to, or are to go."""
    lost: set[str] = set()
    kept: set[str] = set()
    for tap in found:
        after = wanted[tap.name].routes if tap.name in wanted else frozenset()
        lost |= tap.routes - after
        kept |= tap.routes & after
    return Narrowed(frozenset(lost - kept))


@define
class Judge:
    """
    Says which connections end, by the rules that are now.

    :ivar _owners: ports by address; a pair may be several ports'
    :ivar _here: addresses of the host that are beside groups: gateways, metadata
    :ivar _closed: prefixes that ports may not begin to send to
    """

    _groups: dict[str, Group]
    _owners: dict[str, list[Port]]
    _here: frozenset[str]
    _closed: frozenset[str]

    @classmethod
    def of(
        cls,
        ports: Iterable[Port],
        groups: Iterable[Group],
        metadata: Metadata | None,
        closed: frozenset[str] = frozenset(),
    ) -> Self:
        owners: dict[str, list[Port]] = {}
        here = {metadata.address} if metadata else set()
        for port in ports:
            here |= {fixed.on_tap for fixed in port.fixed_ips if fixed.on_tap}
            for address in own_addresses(port):
                owners.setdefault(address, []).append(port)
        return cls({group.id: group for group in groups}, owners, frozenset(here), closed)

    @property
    def addresses(self) -> frozenset[str]:
        """Of all ports."""
        return frozenset(self._owners)

    def ends(self, connection: Connection, narrowed: Narrowed) -> bool:
        if not connection.addresses.isdisjoint(narrowed.lost):
            return True
        return not connection.addresses.isdisjoint(narrowed.asked) and not self.allows(connection.flow)

    def allows(self, flow: Flow) -> bool:
        """Both sides' groups have to, where they are ports here."""
        if flow.protocol == _UDP and (flow.source_port, flow.port) in _ALWAYS:
            return True
        if flow.destination not in self._here and not self._one_lets_out(flow):
            return False
        return self._one_allows(flow, INGRESS, flow.destination, flow.source)

    def _one_lets_out(self, flow: Flow) -> bool:
        if flow.source in self._owners and any(_is_in(flow.destination, prefix) for prefix in self._closed):
            return False
        return self._one_allows(flow, EGRESS, flow.source, flow.destination)

    def _one_allows(self, flow: Flow, direction: str, own: str, other: str) -> bool:
        ports = self._owners.get(own)
        return ports is None or any(
            not port.port_security or any(self._lets(rule, flow, direction, other) for rule in self._rules(port))
            for port in ports
        )

    def _rules(self, port: Port) -> Iterator[Rule]:
        return (rule for group_id in port.group_ids for rule in self._groups[group_id].rules)

    def _lets(self, rule: Rule, flow: Flow, direction: str, other: str) -> bool:
        if rule.direction != direction or rule.version != flow.version or not _is_of(rule, flow):
            return False
        if rule.remote_group_id:
            return other in self._groups[rule.remote_group_id].members
        return not rule.remote_prefix or _is_in(other, rule.remote_prefix)


def _is_of(rule: Rule, flow: Flow) -> bool:
    """By protocol and ports, as ``rule_expression`` has them."""
    protocol = 58 if rule.protocol == 1 and rule.version != IPV4 else rule.protocol
    if protocol is None:
        return True
    if protocol != flow.protocol:
        return False
    if rule.first is None:
        return True
    if protocol in ICMP:
        return rule.first == flow.port and rule.last in {None, flow.code}
    return rule.last is not None and rule.first <= flow.port <= rule.last


@lru_cache(maxsize=4096)
def _is_in(address: str, prefix: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(prefix)
