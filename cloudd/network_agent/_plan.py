# -*- test-case-name: tests.network_agent.test_plan -*-
"""
What a host's network is to be, from the records of its ports.  Pure.

``Planner`` keeps what it gave last and gives the difference, so that a change of one port costs that port.  A port that
cannot be had on this host is left out, with the cause, and does not stop the others; nor does a rule that cannot be.

**What is the host's own** is no port's, neither as its address nor as its gateway.  Routes of ports are in the host's
one table, and more exact than others: a tenant with a subnet of the network that the host is on (its database, another
node, its router) would get what the host and all its guests send there.

An address may be on one port of a host, as one host has one table of routes.  Of two that want it the one that has it
keeps it; after a restart that is the one which is active.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from typing import Any, Final

from attrs import define, field, frozen

from net import (
    IPV6_MTU,
    AddressPair,
    BadPlan,
    FixedIP,
    Group,
    HostRoute,
    Metadata,
    Plan,
    Port,
    Rule,
    Update,
    eui_64,
    tap_name,
)

from ._records import PortRecord, Records, RuleRecord, SubnetRecord

IPV6: Final = 6
_SELF_GIVEN: Final = frozenset({"slaac", "dhcpv6-stateless"})


IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Of the host itself, of one link, of many, of nobody: RFC 6890, and for multicast RFC 5771 and 4291.
NOBODYS: Final[tuple[IPNetwork, ...]] = tuple(
    ipaddress.ip_network(each)
    for each in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/127", "fe80::/10", "ff00::/8")
)


_FIXED_IPS: Final = "fixed_ips"
_NOT_HERE: Final = (
    "its address or its gateway cannot be had on the host, where the host's own networks or another network have it. "
    "Give the port an address of another range, or try again later."
)


@frozen
class Left:
    """
    Why a port is not on this host, or not as its records say.

    :ivar for_tenant: what its project may know of that: not whose an address is
    """

    cause: str
    next_step: str
    for_tenant: str = ""

    def __str__(self) -> str:
        return f"{self.cause}.  {self.next_step}."


@define
class Planner:
    """
    :ivar _closes: guests may not begin to send there either
    :ivar hosts_own: what this host has itself or reaches directly
    :ivar ports: as they were given last
    :ivar left_out: ports that cannot be had here -> why
    :ivar less: ports and groups that are here with less than their records say -> why
    :ivar _owners: ports by address
    :ivar _taps: ports by name of tap
    """

    _prefix: str
    _metadata: Metadata | None = None
    _closes: bool = True
    hosts_own: tuple[IPNetwork, ...] = field(init=False, default=())
    ports: dict[str, Port] = field(init=False, factory=dict)
    left_out: dict[str, Left] = field(init=False, factory=dict)
    less: dict[str, Left] = field(init=False, factory=dict)
    _groups: dict[str, Group] = field(init=False, factory=dict)
    _owners: dict[str, str] = field(init=False, factory=dict)
    _taps: dict[str, str] = field(init=False, factory=dict)

    def plan(self) -> Plan:
        """All that was given."""
        return Plan(
            ports=tuple(self.ports.values()),
            groups=tuple(self._groups.values()),
            metadata=self._metadata,
            forwards=True,
            closed=frozenset(map(str, self.hosts_own)) if self._closes else frozenset(),
        )

    def tap(self, port_id: str) -> str:
        return tap_name(self._prefix, port_id)

    def change(
        self, records: Records, port_ids: Collection[str], group_ids: Collection[str], held: Collection[str] = ()
    ) -> Update:
        """
        What is to be different now.

        :param port_ids: of which the records may say something else than before
        :param held: ports that are to be out, whatever the records say
        """
        before = {port_id: self.ports[port_id] for port_id in port_ids if port_id in self.ports}
        # Whoever was left out may have a place now.
        asked = set(port_ids) | self.left_out.keys()
        for port_id in asked:
            self._take(port_id)
        here = [records.ports[port_id] for port_id in asked if port_id in records.ports and port_id not in held]
        for record in sorted(here, key=_first_come):
            self._place(record, records)
        changed = [self.ports[each] for each in asked if each in self.ports and self.ports[each] != before.get(each)]
        groups, gone_groups = self._change_groups(records, group_ids)
        return Update(
            ports=tuple(changed),
            groups=tuple(groups),
            gone_ports=frozenset(before.keys() - self.ports.keys()),
            gone_groups=frozenset(gone_groups),
        )

    def _take(self, port_id: str) -> None:
        self.left_out.pop(port_id, None)
        self.less.pop(port_id, None)
        port = self.ports.pop(port_id, None)
        if port is not None:
            del self._taps[self.tap(port_id)]
            for fixed in port.fixed_ips:
                del self._owners[fixed.address]

    def _place(self, record: PortRecord, records: Records) -> None:
        try:
            port, less = port_of(record, records)
            self._check_place(port)
        except BadPlan as error:
            for_tenant = f"Port {record.id}: {_NOT_HERE}" if error.field == _FIXED_IPS else ""
            self.left_out[record.id] = Left(error.cause, error.next_step, for_tenant)
            return
        if less is not None:
            self.less[record.id] = less
        self.ports[port.id] = port
        self._taps[self.tap(port.id)] = port.id
        self._owners.update((fixed.address, port.id) for fixed in port.fixed_ips)

    def _check_place(self, port: Port) -> None:
        """
        :raises BadPlan: another port of this host is in the way
        """
        if other := self._taps.get(self.tap(port.id)):
            raise BadPlan("id", f"its tap {self.tap(port.id)} is that of port {other}", "Make one of them again")
        for fixed in port.fixed_ips:
            for address in filter(None, (fixed.address, fixed.on_tap)):
                self._check_nobodys(address)
            if other := self._owners.get(fixed.address):
                raise BadPlan(
                    _FIXED_IPS,
                    f"{fixed.address} is that of port {other} on this host, of another network",
                    "Put one of their servers on another host, or give it another address",
                )

    def _check_nobodys(self, address: str) -> None:
        """
        :raises BadPlan: it is the host's own
        """
        parsed = ipaddress.ip_address(address)
        for network in (*self.hosts_own, *NOBODYS):
            if parsed in network:
                raise BadPlan(
                    _FIXED_IPS,
                    f"{address} is in {network}, which is this host's own network or nobody's",
                    "Give the subnet another range, or put the server on a host that is not on that network",
                )

    def _change_groups(self, records: Records, group_ids: Collection[str]) -> tuple[list[Group], set[str]]:
        needed = records.groups_here()
        changed = []
        for group_id in needed & (set(group_ids) | (needed - self._groups.keys())):
            group, less = group_of(group_id, records)
            self.less.pop(group_id, None)
            if less is not None:
                self.less[group_id] = less
            if self._groups.get(group_id) != group:
                self._groups[group_id] = group
                changed.append(group)
        gone = self._groups.keys() - needed
        for group_id in gone:
            del self._groups[group_id]
            self.less.pop(group_id, None)
        return changed, set(gone)


def _first_come(record: PortRecord) -> tuple[bool, int, str]:
    return (not record.is_active, record.created_us, record.id)


def port_of(record: PortRecord, records: Records) -> tuple[Port, Left | None]:
    """
    One port, and what is missing of it.

    :raises BadPlan: it cannot be on any host
    """
    network = records.networks.get(record.network_id)
    if network is None:
        raise BadPlan("network_id", f"network {record.network_id} is not there", "Delete the port")
    facts: dict[str, Any] = {"id": record.id, "mac": record.mac, "network_id": record.network_id, "mtu": network.mtu}
    if not record.is_up or not network.is_up:
        # The tap stays for the guest that holds it, and nothing goes through.
        return Port(**facts), None
    subnets = [(address, records.subnets.get(subnet_id)) for subnet_id, address in record.addresses]
    facts["fixed_ips"] = tuple(
        _fixed_ip(address, subnet, record)
        for address, subnet in subnets
        if subnet is not None and (subnet.version != IPV6 or network.mtu >= IPV6_MTU)
    )
    facts["port_security"] = record.is_secure
    if record.is_secure:
        facts["group_ids"] = record.group_ids
        facts["address_pairs"] = tuple(AddressPair(address, mac or None) for address, mac in record.pairs)
    port, less = _named(facts, record.host_name, network.domain)
    if any(subnet is not None and subnet.version == IPV6 for _, subnet in subnets) and network.mtu < IPV6_MTU:
        less = Left(
            f"the MTU {network.mtu} of its network is too small for IPv6", f"Give the network at least {IPV6_MTU} bytes"
        )
    elif served := [subnet for _, subnet in subnets if subnet is not None and subnet.lacks_server]:
        less = Left(
            f"subnet {served[0].id} has no gateway and no address left for DHCP",
            "Give it a gateway or a larger pool, or turn its DHCP off",
        )
    return port, less


def _named(facts: dict[str, Any], host_name: str, domain: str) -> tuple[Port, Left | None]:
    """A name that guests cannot be told of is left out alone."""
    names: dict[str, Any] = {"host_name": host_name, "domain": domain}
    less = None
    while True:
        try:
            return Port(**facts, **names), less
        except BadPlan as error:
            wrong = error.field.rpartition(".")[2]
            if not names.get(wrong):
                raise
            names[wrong] = ""
            less = Left(f"its {wrong} {error.cause}", error.next_step)


def _fixed_ip(address: str, subnet: SubnetRecord, record: PortRecord) -> FixedIP:
    # Of IPv6 without a mode guests are told nothing: somebody else's router does it, or nobody.
    told = subnet.version != IPV6 or bool(subnet.mode)
    makes = subnet.version == IPV6 and subnet.mode in _SELF_GIVEN and address == eui_64(address, record.mac)
    return FixedIP(
        address=address,
        prefix_length=subnet.prefix_length,
        gateway=subnet.gateway,
        dns=subnet.dns,
        routes=tuple(HostRoute(destination, hop) for destination, hop in subnet.routes),
        dhcp=subnet.dhcp and told,
        dhcp_server=subnet.dhcp_server if subnet.gateway is None and subnet.dhcp_server else None,
        slaac=makes,
    )


def group_of(group_id: str, records: Records) -> tuple[Group, Left | None]:
    """One group, and what is missing of it."""
    rules, less = _rules(records.rules.get(group_id, ()))
    members = {address for some in records.members.get(group_id, {}).values() for address in some}
    return Group(id=group_id, rules=rules, members=members), less


def _rules(records: Iterable[RuleRecord]) -> tuple[tuple[Rule, ...], Left | None]:
    """What a rule that cannot be would have let through is not let through."""
    rules, less = [], None
    for record in records:
        try:
            rules.append(
                Rule(
                    direction=record.direction,
                    version=record.version,
                    protocol=None if record.protocol is None else str(record.protocol),
                    first=record.first,
                    last=record.last,
                    remote_prefix=record.remote_prefix,
                    remote_group_id=record.remote_group_id,
                )
            )
        except BadPlan as error:
            less = Left(f"a rule of it is left out: {error.cause}", error.next_step)
    return tuple(rules), less
