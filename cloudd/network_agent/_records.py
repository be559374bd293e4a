# -*- test-case-name: tests.network_agent.test_plan -*-
"""
What the cloud's records say of one host's ports, as values, and how a part that was read anew changes them.  Pure.

A security group that some rule here names as the other side is *watched*: its members on all hosts are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from attrs import define, field, frozen

R = TypeVar("R")


@frozen(kw_only=True)
class PortRecord:
    """
    A port of any host.

    :ivar is_here: it is bound to this host, by a device
    :ivar host_name: its own, or its server's
    :ivar addresses: (subnet, address) in order
    :ivar pairs: (address or prefix, MAC or empty)
    """

    id: str
    network_id: str
    mac: str
    is_here: bool
    is_up: bool = True
    is_active: bool = False
    is_secure: bool = True
    host_name: str = ""
    addresses: tuple[tuple[str, str], ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    group_ids: tuple[str, ...] = ()
    created_us: int = 0

    @property
    def members(self) -> tuple[str, ...]:
        """What it adds to its groups."""
        return tuple(address for _, address in self.addresses)


@frozen(kw_only=True)
class NetworkRecord:
    id: str
    is_up: bool = True
    mtu: int = 1500
    domain: str = ""


@frozen(kw_only=True)
class SubnetRecord:
    """
    :ivar mode: how guests come to their address of IPv6: ``slaac``, ``dhcpv6-stateless``, ``dhcpv6-stateful`` or empty
    :ivar dhcp_server: the address that is kept for DHCP, where there is no gateway; empty: none is
    :ivar routes: (destination, next hop)
    """

    id: str
    network_id: str
    prefix_length: int
    version: int = 4
    gateway: str | None = None
    dhcp: bool = True
    mode: str = ""
    dhcp_server: str = ""
    dns: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()

    @property
    def lacks_server(self) -> bool:
        """DHCP has no address to answer from."""
        return self.dhcp and self.gateway is None and not self.dhcp_server and (self.version == 4 or bool(self.mode))


@frozen(kw_only=True)
class RuleRecord:
    direction: str
    version: int = 4
    protocol: int | None = None
    first: int | None = None
    last: int | None = None
    remote_prefix: str | None = None
    remote_group_id: str | None = None


Rules = tuple[RuleRecord, ...]


@frozen(kw_only=True)
class Touched:
    """
    What may be another than before: ids.

    :ivar subnets_of: networks of which all subnets may be
    """

    ports: frozenset[str] = frozenset()
    networks: frozenset[str] = frozenset()
    subnets: frozenset[str] = frozenset()
    subnets_of: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()


@frozen(kw_only=True)
class Known:
    """What need not be read again: ids."""

    networks: frozenset[str] = frozenset()
    subnets: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    watched: frozenset[str] = frozenset()


@frozen(kw_only=True)
class Part:
    """
    What was read of one snapshot; ``None``: it is there no more.

    :ivar position: the last event before it
    :ivar members: of groups that are watched from now on: group -> port -> addresses
    """

    position: int
    ports: Mapping[str, PortRecord | None] = field(factory=dict)
    networks: Mapping[str, NetworkRecord | None] = field(factory=dict)
    subnets: Mapping[str, SubnetRecord | None] = field(factory=dict)
    rules: Mapping[str, Rules] = field(factory=dict)
    members: Mapping[str, Mapping[str, tuple[str, ...]]] = field(factory=dict)


@define
class Records:
    """
    :ivar position: of the last event that is in here
    :ivar ports: of this host
    :ivar members: by watched group, then by port, of all hosts
    """

    position: int = 0
    ports: dict[str, PortRecord] = field(factory=dict)
    networks: dict[str, NetworkRecord] = field(factory=dict)
    subnets: dict[str, SubnetRecord] = field(factory=dict)
    rules: dict[str, Rules] = field(factory=dict)
    members: dict[str, dict[str, tuple[str, ...]]] = field(factory=dict)
    _groups_of: dict[str, tuple[str, ...]] = field(factory=dict)  # watched ones, by port

    @property
    def known(self) -> Known:
        return Known(
            networks=frozenset(self.networks),
            subnets=frozenset(self.subnets),
            groups=frozenset(self.rules),
            watched=frozenset(self.members),
        )

    def narrowed(self, touched: Touched) -> Touched:
        """What of it is of this host."""
        subnets = {each.id for each in self.subnets.values() if each.network_id in touched.subnets_of}
        return Touched(
            ports=touched.ports,
            networks=touched.networks & self.networks.keys(),
            subnets=(touched.subnets & self.subnets.keys()) | subnets,
            groups=touched.groups & self.rules.keys(),
        )

    def concerns(self, touched: Touched) -> bool:
        """Whether it may mean something for this host."""
        narrowed = self.narrowed(touched)
        return bool(narrowed.ports or narrowed.networks or narrowed.subnets or narrowed.groups)

    def take(self, part: Part) -> tuple[set[str], set[str]]:
        """
        Know what was read.

        :return: ids of ports and of groups that may mean something else now
        """
        self.position = part.position
        groups = set(part.rules) | set(part.members)
        self.rules.update(part.rules)
        for group_id, members in part.members.items():
            self._watch(group_id, members)
        for port_id, record in part.ports.items():
            groups |= self._member(port_id, record)
            self._put(port_id, record)
        for network_id, network in part.networks.items():
            _put(self.networks, network_id, network)
        for subnet_id, subnet in part.subnets.items():
            _put(self.subnets, subnet_id, subnet)
        ports = set(part.ports) | set(self._ports_on(part.networks.keys(), part.subnets.keys()))
        return ports, groups

    def groups_here(self) -> set[str]:
        """Those of ports of this host, and those that their rules name."""
        own = {group_id for port in self.ports.values() for group_id in port.group_ids}
        return own | {remote for group_id in own for remote in remotes(self.rules.get(group_id, ()))}

    def without_server(self) -> set[str]:
        """Subnets that have nobody to answer for DHCP."""
        return {subnet.id for subnet in self.subnets.values() if subnet.lacks_server}

    def _put(self, port_id: str, record: PortRecord | None) -> None:
        if record is not None and record.is_here:
            self.ports[port_id] = record
        else:
            self.ports.pop(port_id, None)

    def _watch(self, group_id: str, members: Mapping[str, tuple[str, ...]]) -> None:
        self.members[group_id] = dict(members)
        for port_id in members:
            before = self._groups_of.get(port_id, ())
            if group_id not in before:
                self._groups_of[port_id] = (*before, group_id)

    def _member(self, port_id: str, record: PortRecord | None) -> set[str]:
        """Watched groups of which this port has become or ceased to be a member, or with other addresses."""
        before = self._groups_of.pop(port_id, ())
        after = tuple(each for each in record.group_ids if each in self.members) if record else ()
        addresses = record.members if record else ()
        changed = set()
        for group_id in before:
            if group_id not in after:
                self.members[group_id].pop(port_id, None)
                changed.add(group_id)
        for group_id in after:
            if self.members[group_id].get(port_id) != addresses:
                self.members[group_id][port_id] = addresses
                changed.add(group_id)
        if after:
            self._groups_of[port_id] = after
        return changed

    def _ports_on(self, networks: Iterable[str], subnets: Iterable[str]) -> Iterator[str]:
        on, with_address = set(networks), set(subnets)
        if not on and not with_address:
            return
        for port in self.ports.values():
            if port.network_id in on or any(subnet_id in with_address for subnet_id, _ in port.addresses):
                yield port.id


def remotes(rules: Rules) -> Iterator[str]:
    """Groups that rules name as the other side."""
    return (rule.remote_group_id for rule in rules if rule.remote_group_id)


def _put(records: dict[str, R], record_id: str, record: R | None) -> None:
    if record is None:
        records.pop(record_id, None)
    else:
        records[record_id] = record
