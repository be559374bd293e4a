"""Networks, subnets, ports and security groups as values: what is kept of each."""

from __future__ import annotations

from typing import Any, Final

from attrs import field, frozen

ACTIVE: Final = "ACTIVE"
DOWN: Final = "DOWN"
INGRESS: Final = "ingress"
EGRESS: Final = "egress"
IPV4: Final = "IPv4"
IPV6: Final = "IPv6"
DEFAULT_GROUP: Final = "default"
DHCP_OWNER: Final = "network:dhcp"


@frozen(kw_only=True)
class Record:
    """
    What all of them have.

    :ivar revision: counts its changes, from 0
    """

    id: str
    project_id: str
    name: str = ""
    description: str = ""
    revision: int = 0
    created_us: int = 0
    updated_us: int = 0
    tags: tuple[str, ...] = ()


@frozen(kw_only=True)
class Network(Record):
    """
    One that ports are on.

    :ivar segment: its number among all networks of the cloud, for good
    :ivar subnet_ids: in the order in which they were made
    """

    admin_state_up: bool = True
    shared: bool = False
    external: bool = False
    mtu: int = 1500
    port_security_enabled: bool = True
    dns_domain: str = ""
    segment: int = 0
    subnet_ids: tuple[str, ...] = ()


@frozen
class Pool:
    """Addresses that are given by themselves, from the first to the last."""

    first: str
    last: str


@frozen
class HostRoute:
    """What guests are told by DHCP."""

    destination: str
    nexthop: str


@frozen(kw_only=True)
class Subnet(Record):
    """Addresses on a network."""

    network_id: str
    ip_version: int
    cidr: str
    gateway_ip: str | None = None
    enable_dhcp: bool = True
    ipv6_ra_mode: str | None = None
    ipv6_address_mode: str | None = None
    allocation_pools: tuple[Pool, ...] = ()
    dns_nameservers: tuple[str, ...] = ()
    host_routes: tuple[HostRoute, ...] = ()


@frozen
class FixedIP:
    """An address that a port has."""

    subnet_id: str
    ip_address: str


@frozen
class AddressPair:
    """What a port may send from besides its own addresses; ``mac_address`` empty: the port's."""

    ip_address: str
    mac_address: str = ""


@frozen(kw_only=True)
class Port(Record):
    """
    A place on a network.

    :ivar host: name of the node that has plugged it, or is to; empty: none
    """

    network_id: str
    mac_address: str
    admin_state_up: bool = True
    status: str = DOWN
    device_id: str = ""
    device_owner: str = ""
    host: str = ""
    vnic_type: str = "normal"
    profile: dict[str, Any] = field(factory=dict)
    port_security_enabled: bool = True
    fixed_ips: tuple[FixedIP, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    address_pairs: tuple[AddressPair, ...] = ()
    dns_name: str = ""


@frozen(kw_only=True)
class Rule:
    """
    What a security group lets through.

    :ivar remote_group_id: whose members are the other side; at most one of it and ``remote_ip_prefix`` is given
    """

    id: str
    project_id: str
    security_group_id: str
    direction: str
    ethertype: str = IPV4
    protocol: str | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None
    description: str = ""
    revision: int = 0
    created_us: int = 0
    updated_us: int = 0


@frozen(kw_only=True)
class SecurityGroup(Record):
    """Rules that ports have together; ``is_default`` for the one that ports get by themselves."""

    stateful: bool = True
    is_default: bool = False
    rules: tuple[Rule, ...] = ()
