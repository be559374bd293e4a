# -*- test-case-name: tests.net.test_values -*-
"""
What a host's network is to be, as values: ports with their addresses, security groups, the metadata service.

Pure.  Each value checks itself when it is made (``BadPlan``), ``Plan`` what the values are together.  Words are those
of the Network API v2.0; texts of addresses are kept in the one form that the kernel and nftables print.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from attrs import field, frozen

from ._errors import BadPlan

INGRESS: Final = "ingress"
EGRESS: Final = "egress"
IPV4: Final = 4
IPV6: Final = 6
TAP_NAME_LENGTH: Final = 15
"""``IFNAMSIZ`` of ``linux/if.h`` without the zero byte at the end."""

PROTOCOLS: Final = {"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58, "sctp": 132}
"""Numbers of IANA; ``ipv6-icmp`` and ``icmp`` of an IPv6 rule are 58."""

WITH_PORTS: Final = frozenset({6, 17, 33, 132, 136})
ICMP: Final = frozenset({1, 58})
IPV6_MTU: Final = 1280
"""The smallest of a link with IPv6, in bytes: RFC 8200, section 5."""

_SLAAC_BITS: Final = 64
"""RFC 4862 leaves the length to the link; Ethernet has 64 (RFC 2464)."""

_ID: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")
_MAC: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_HOST_NAME: Final = re.compile(r"[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?")
_DOMAIN: Final = re.compile(rf"(?=.{{1,253}}$){_HOST_NAME.pattern}(\.{_HOST_NAME.pattern})*")


def printed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """As the kernel and nftables print it: ``ipaddress`` differs for IPv4 within IPv6."""
    return socket.inet_ntop(socket.AF_INET if address.version == IPV4 else socket.AF_INET6, address.packed)


def eui_64(prefix: str, mac: str) -> str:
    """
    The address that a station makes of a /64: RFC 4291, appendix A.

    :param prefix: an address of it
    """
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return printed(ipaddress.IPv6Address(ipaddress.IPv6Address(prefix).packed[:8] + identifier))


def _id(value: str) -> str:
    if not _ID.fullmatch(value):
        raise BadPlan("id", f"{value[:80]!r} is no id", "Give up to 64 letters, digits and hyphens")
    return value


def _mac(value: str) -> str:
    mac = value.lower()
    if not _MAC.fullmatch(mac) or int(mac[:2], 16) & 1:
        raise BadPlan(
            "mac", f"{value[:80]!r} is no MAC of one station", "Give six pairs of hex digits, as fa:16:3e:00:00:01"
        )
    return mac


def _address(value: str) -> str:
    return _address_text(value)


@lru_cache(maxsize=1 << 16)
def _address_text(value: str) -> str:
    """Members of a group are given again with each change of it: a thousand of them cost 4 ms anew."""
    try:
        return printed(ipaddress.ip_address(value))
    except ValueError:
        raise BadPlan("address", f"{value[:80]!r} is no IP address", "Give an IPv4 or IPv6 address") from None


def _prefix(value: str) -> str:
    try:
        network = ipaddress.ip_network(value, strict=False)
        return f"{printed(network.network_address)}/{network.prefixlen}"
    except ValueError:
        raise BadPlan("prefix", f"{value[:80]!r} is no prefix", "Give it as 10.0.0.0/24 or 2001:db8::/64") from None


def _optional_address(value: str | None) -> str | None:
    return None if value is None else _address(value)


def _optional_prefix(value: str | None) -> str | None:
    return None if value is None else _prefix(value)


def _optional_mac(value: str | None) -> str | None:
    return None if value is None else _mac(value)


def _without_last_dot(value: str) -> str:
    return value.removesuffix(".")


def _in_order(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(ids)))


def _id_set(values: Iterable[str]) -> frozenset[str]:
    return frozenset(map(_id, values))


def _address_set(values: Iterable[str]) -> frozenset[str]:
    return frozenset(map(_address, values))


def _prefix_set(values: Iterable[str]) -> frozenset[str]:
    return frozenset(map(_prefix, values))


def _addresses(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(_address, values))


@frozen
class HostRoute:
    """A route that guests are told of by DHCP."""

    destination: str = field(converter=_prefix)
    next_hop: str = field(converter=_address)


@frozen(kw_only=True)
class FixedIP:
    """
    An address of a port, with what its subnet says.

    :ivar prefix_length: of the subnet, in bits
    :ivar gateway: answers on the tap; without one the guest reaches nothing by this address but its subnet and what it
        has routes for
    :ivar dhcp: the guest may ask for it; of IPv6 also that it is told of its router
    :ivar dhcp_server: an address of the subnet that is nobody's, from which DHCP answers where there is no gateway
    :ivar slaac: the guest makes it itself of the prefix that it is told of, and may ask for the rest (IPv6 only); it
        has to be the EUI-64 one
    """

    address: str = field(converter=_address)
    prefix_length: int
    gateway: str | None = field(default=None, converter=_optional_address)
    dns: tuple[str, ...] = field(default=(), converter=_addresses)
    routes: tuple[HostRoute, ...] = ()
    dhcp: bool = True
    dhcp_server: str | None = field(default=None, converter=_optional_address)
    slaac: bool = False

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.prefix_length <= ipaddress.ip_address(self.address).max_prefixlen:
            raise BadPlan(
                "prefix_length", f"{self.prefix_length} is out of range", "Give the bits of the subnet's prefix"
            )
        for name, other in (("gateway", self.gateway), ("dhcp_server", self.dhcp_server)):
            if other and ipaddress.ip_address(other).version != self.version:
                raise BadPlan(name, f"{other} is not of the version of {self.address}", "Give one of the same version")
        if self.slaac and (self.version == IPV4 or self.prefix_length != _SLAAC_BITS):
            raise BadPlan("slaac", f"{self.subnet} has none", f"Leave it out, or give a /{_SLAAC_BITS} of IPv6")

    @property
    def version(self) -> int:
        return ipaddress.ip_address(self.address).version

    @property
    def on_tap(self) -> str | None:
        """The host's own address of this subnet."""
        return self.gateway or self.dhcp_server

    @property
    def subnet(self) -> str:
        return str(ipaddress.ip_network((self.address, self.prefix_length), strict=False))


@frozen
class AddressPair:
    """What a port may send from besides its own; ``mac`` ``None``: the port's.  No route of ours leads there."""

    prefix: str = field(converter=_prefix)
    mac: str | None = field(default=None, converter=_optional_mac)


@frozen(kw_only=True)
class Port:
    """
    A guest's place on this host.

    :ivar network_id: ports of different networks do not reach each other, whatever groups say
    :ivar mtu: bytes, of the network
    :ivar domain: of the network; the guest is told of it
    :ivar port_security: off: what it sends and gets is not looked at, and ``group_ids`` are empty
    """

    id: str = field(converter=_id)
    mac: str = field(converter=_mac)
    network_id: str = field(default="flat", converter=_id)
    fixed_ips: tuple[FixedIP, ...] = ()
    mtu: int = 1500
    host_name: str = ""
    domain: str = field(default="", converter=_without_last_dot)
    port_security: bool = True
    address_pairs: tuple[AddressPair, ...] = ()
    group_ids: tuple[str, ...] = field(default=(), converter=_in_order)

    def __attrs_post_init__(self) -> None:
        if not 68 <= self.mtu <= 65521:
            raise BadPlan(f"ports[{self.id}].mtu", f"{self.mtu} is out of range", "Give 68 to 65521 bytes")
        if self.host_name and not _HOST_NAME.fullmatch(self.host_name):
            raise BadPlan(
                f"ports[{self.id}].host_name", "is no host name", "Give letters, digits and hyphens, up to 63"
            )
        if self.domain and not _DOMAIN.fullmatch(self.domain):
            raise BadPlan(f"ports[{self.id}].domain", "is no domain", "Give names of hosts with dots between them")
        for fixed in self.fixed_ips:
            if fixed.version == IPV6 and self.mtu < IPV6_MTU:
                raise BadPlan(
                    f"ports[{self.id}].mtu",
                    f"{self.mtu} is too small for {fixed.address}",
                    f"Give at least {IPV6_MTU} bytes, or no address of IPv6",
                )
            if fixed.slaac and fixed.address != eui_64(fixed.address, self.mac):
                raise BadPlan(
                    f"ports[{self.id}].fixed_ips.slaac",
                    f"{fixed.address} is not what a guest makes of {self.mac}",
                    f"Give {eui_64(fixed.address, self.mac)}, or leave slaac out",
                )
        if not self.port_security and self.group_ids:
            raise BadPlan(f"ports[{self.id}].group_ids", "groups need port security", "Turn it on, or give no groups")


def _protocol(value: str | int | None) -> int | None:
    if value is None or value in {"any", ""}:
        return None
    number = {**PROTOCOLS, "ipv6-icmp": 58}.get(str(value).lower(), value)
    if not str(number).isascii() or not str(number).isdigit() or int(number) > 255:
        raise BadPlan(
            "protocol", f"{str(value)[:40]!r} is not known", f"Give 0 to 255 or one of {', '.join(PROTOCOLS)}"
        )
    return int(number)


@frozen(kw_only=True)
class Rule:
    """
    What a group lets through.

    :ivar protocol: IANA's number, made of a name or number; ``None``: any
    :ivar first: the first port, or the type of ICMP; ``None``: any
    :ivar last: the last port, or the code of ICMP; ``None``: any
    :ivar remote_prefix: of the other side; at most one of it and ``remote_group_id`` is given
    """

    direction: str
    version: int = IPV4
    protocol: int | None = field(default=None, converter=_protocol)
    first: int | None = None
    last: int | None = None
    remote_prefix: str | None = field(default=None, converter=_optional_prefix)
    remote_group_id: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.direction not in {INGRESS, EGRESS} or self.version not in {IPV4, IPV6}:
            raise BadPlan(
                "rule", "its direction or its version of IP is not known", "Give ingress or egress, and 4 or 6"
            )
        if self.remote_prefix and self.remote_group_id:
            raise BadPlan("rule", "it has a remote prefix and a remote group", "Give one of them")
        if self.remote_prefix and ipaddress.ip_network(self.remote_prefix).version != self.version:
            raise BadPlan("rule.remote_prefix", f"{self.remote_prefix} is not IPv{self.version}", "Give one that is")
        self._check_range()

    @property
    def is_icmp(self) -> bool:
        return self.protocol in ICMP

    def _check_range(self) -> None:
        if self.first is None and self.last is None:
            return
        top = 255 if self.is_icmp else 65535
        if not self.is_icmp and self.protocol not in WITH_PORTS:
            raise BadPlan(
                "rule.first", "its protocol has no ports", "Leave them out, or give tcp, udp, sctp, dccp or udplite"
            )
        if self.first is None or (self.last is None and not self.is_icmp):
            raise BadPlan("rule.first", "half of the range is missing", "Give both ends, or for ICMP the type")
        if not 0 <= self.first <= top or not 0 <= (self.last or 0) <= top:
            raise BadPlan("rule.first", "the range is out of bounds", f"Give 0 to {top}")
        if not self.is_icmp and self.last is not None and self.first > self.last:
            raise BadPlan("rule.first", "the range ends before it begins", "Give the smaller port first")


@frozen(kw_only=True)
class Group:
    """
    A security group: its rules, and the addresses of its members on all hosts, for rules that name it as remote.

    A group that is only named by rules of others has its members here too.
    """

    id: str = field(converter=_id)
    rules: tuple[Rule, ...] = ()
    members: frozenset[str] = field(default=frozenset(), converter=_address_set)


@frozen
class Metadata:
    """
    Where guests' requests to 169.254.169.254:80 go: an IPv4 address of this host that is no loopback.

    The source stays the guest's address, which one port of the host has: that tells the port.

    :ivar own_link: the address is to be put on a link of its own, as long as there are ports; else it is somewhere
    """

    address: str = field(converter=_address)
    port: int
    own_link: bool = False

    def __attrs_post_init__(self) -> None:
        parsed = ipaddress.ip_address(self.address)
        if parsed.version != IPV4 or parsed.is_loopback or parsed.is_unspecified or not 0 < self.port < 65536:
            raise BadPlan(
                "metadata",
                f"{self.address}:{self.port} cannot be reached from guests",
                "Give an IPv4 address of this host that is no loopback, and a port from 1 to 65535",
            )


@frozen(kw_only=True)
class Plan:
    """
    All that is to be on one host.

    :ivar forwards: the host is to forward IPv6 as soon as a port has an address of it
    :ivar closed: prefixes that ports may not begin to send to, whatever their groups say; who is there may begin
    """

    ports: tuple[Port, ...] = ()
    groups: tuple[Group, ...] = ()
    metadata: Metadata | None = None
    forwards: bool = False
    closed: frozenset[str] = field(default=frozenset(), converter=_prefix_set)

    def __attrs_post_init__(self) -> None:
        _once("ports.id", (port.id for port in self.ports))
        _once("groups.id", (group.id for group in self.groups))
        _once("ports.fixed_ips.address", (ip.address for port in self.ports for ip in port.fixed_ips))
        known = {group.id for group in self.groups}
        named = {group_id for port in self.ports for group_id in port.group_ids}
        named |= {rule.remote_group_id for group in self.groups for rule in group.rules if rule.remote_group_id}
        if missing := sorted(named - known):
            raise BadPlan("groups", f"{missing[0]} is named and not there", "Give each group that ports and rules name")


@frozen(kw_only=True)
class Update:
    """
    A small difference of plans: what comes or is another than before, whole, and what goes.

    :ivar gone_ports: ids; one that is not there is nothing to do
    :ivar gone_groups: likewise
    """

    ports: tuple[Port, ...] = ()
    groups: tuple[Group, ...] = ()
    gone_ports: frozenset[str] = field(default=frozenset(), converter=_id_set)
    gone_groups: frozenset[str] = field(default=frozenset(), converter=_id_set)

    def __attrs_post_init__(self) -> None:
        _once("ports.id", (*(port.id for port in self.ports), *self.gone_ports))
        _once("groups.id", (*(group.id for group in self.groups), *self.gone_groups))
        _once("ports.fixed_ips.address", (ip.address for port in self.ports for ip in port.fixed_ips))


def _once(where: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise BadPlan(where, f"{value} is there twice", "Give it once: one host has one table of routes")
        seen.add(value)
