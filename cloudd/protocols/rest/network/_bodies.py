# -*- test-case-name: tests.protocols.rest.network.test_records -*-
"""
What clients send for networks, subnets, ports and security groups.

A member that is not named here is refused, as Neutron does ("Unrecognized attribute"); one that is there but says only
what is so anyway (``availability_zone_hints: []``) is taken.  ``UNSET`` tells what was not said from ``null``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from cloudd.network import (
    AddressPair,
    BadNetworkValue,
    HostRoute,
    Network,
    Pool,
    Port,
    Rule,
    SecurityGroup,
    Subnet,
    WantedIP,
)

from .._documents import Document

Label = Annotated[str, Meta(max_length=255)]
Id = Annotated[str, Meta(max_length=64)]
Nothing = list[Any] | None | UnsetType
"""Of what is not served: it may be there as long as it is empty."""


class NetworkBody(Document):
    """A network, new or changed."""

    name: Label | UnsetType | None = UNSET
    description: Label | UnsetType | None = UNSET
    admin_state_up: bool | UnsetType = UNSET
    shared: bool | UnsetType = UNSET
    router_external: bool | UnsetType = UNSET
    mtu: Annotated[int, Meta(ge=68, le=65_535)] | UnsetType = UNSET
    port_security_enabled: bool | UnsetType = UNSET
    dns_domain: Label | UnsetType = UNSET
    tenant_id: Id | UnsetType = UNSET
    project_id: Id | UnsetType = UNSET
    availability_zone_hints: Nothing = UNSET
    is_default: bool | UnsetType | None = UNSET
    tags: list[Label] | UnsetType = UNSET


class PoolBody(Document):
    """One allocation pool."""

    start: Id
    end: Id


class RouteBody(Document):
    """One host route."""

    destination: Id
    nexthop: Id


class SubnetBody(Document):
    """A subnet, new or changed."""

    name: Label | UnsetType | None = UNSET
    description: Label | UnsetType | None = UNSET
    network_id: Id | UnsetType = UNSET
    ip_version: Annotated[int, Meta(ge=4, le=6)] | UnsetType = UNSET
    cidr: Id | UnsetType = UNSET
    gateway_ip: Id | UnsetType | None = UNSET
    enable_dhcp: bool | UnsetType = UNSET
    ipv6_ra_mode: Id | UnsetType | None = UNSET
    ipv6_address_mode: Id | UnsetType | None = UNSET
    allocation_pools: list[PoolBody] | UnsetType = UNSET
    dns_nameservers: list[Id] | UnsetType = UNSET
    host_routes: list[RouteBody] | UnsetType = UNSET
    tenant_id: Id | UnsetType = UNSET
    project_id: Id | UnsetType = UNSET
    service_types: Nothing = UNSET
    tags: list[Label] | UnsetType = UNSET


class FixedIPBody(Document):
    """A fixed IP that is asked for."""

    subnet_id: Id = ""
    ip_address: Id = ""


class PairBody(Document):
    """An allowed address pair."""

    ip_address: Id
    mac_address: Id = ""


class PortBody(Document):
    """A port, new or changed."""

    name: Label | UnsetType | None = UNSET
    description: Label | UnsetType | None = UNSET
    network_id: Id | UnsetType = UNSET
    mac_address: Id | UnsetType = UNSET
    admin_state_up: bool | UnsetType = UNSET
    device_id: Label | UnsetType = UNSET
    device_owner: Label | UnsetType = UNSET
    fixed_ips: list[FixedIPBody] | UnsetType = UNSET
    security_groups: list[Id] | UnsetType | None = UNSET
    allowed_address_pairs: list[PairBody] | UnsetType = UNSET
    port_security_enabled: bool | UnsetType = UNSET
    dns_name: Label | UnsetType = UNSET
    binding_host_id: Label | UnsetType | None = UNSET
    binding_vnic_type: Label | UnsetType = UNSET
    binding_profile: dict[str, Any] | UnsetType | None = UNSET
    extra_dhcp_opts: Nothing = UNSET
    tenant_id: Id | UnsetType = UNSET
    project_id: Id | UnsetType = UNSET
    tags: list[Label] | UnsetType = UNSET


class GroupBody(Document):
    """A security group, new or changed."""

    name: Label | UnsetType | None = UNSET
    description: Label | UnsetType | None = UNSET
    stateful: bool | UnsetType = UNSET
    tenant_id: Id | UnsetType = UNSET
    project_id: Id | UnsetType = UNSET
    tags: list[Label] | UnsetType = UNSET


class RuleBody(Document):
    """A new rule."""

    security_group_id: Id
    direction: Id
    ethertype: Id | None = None
    protocol: str | int | None = None
    port_range_min: str | int | None = None
    port_range_max: str | int | None = None
    remote_ip_prefix: Id | None = None
    remote_group_id: Id | None = None
    remote_address_group_id: None = None
    description: Label | None = None
    tenant_id: Id | UnsetType = UNSET
    project_id: Id | UnsetType = UNSET


#: Member of the API that cannot be a name in Python -> as it is here.
RENAMED = {
    "router:external": "router_external",
    "binding:host_id": "binding_host_id",
    "binding:vnic_type": "binding_vnic_type",
    "binding:profile": "binding_profile",
}
#: Where the attribute of a value has another name than the member.
_ATTRIBUTES = {
    "router_external": "external",
    "binding_host_id": "host",
    "binding_vnic_type": "vnic_type",
    "binding_profile": "profile",
    "security_groups": "security_group_ids",
    "allowed_address_pairs": "address_pairs",
}
_UNSERVED = ("availability_zone_hints", "service_types", "extra_dhcp_opts")
_EMPTY_TEXT = frozenset({"name", "description", "binding_host_id"})


def given_in(body: Document) -> dict[str, Any]:
    """
    Attributes that were said, without those of the project; ``fixed_ips`` as it came.

    :raises BadNetworkValue: something is asked for that is not served
    """
    given: dict[str, Any] = {}
    for name in body.__struct_fields__:
        value = getattr(body, name)
        if value is UNSET or name in ("tenant_id", "project_id", "is_default"):
            continue
        if name in _UNSERVED:
            if value:
                raise BadNetworkValue(f"cloudd does not serve {name}: leave it out, or empty.")
            continue
        given[_ATTRIBUTES.get(name, name)] = _converted(name, value)
    return given


def _converted(name: str, value: Any) -> Any:
    if value is None and name in _EMPTY_TEXT:
        return ""
    return _CONVERTERS[name](value) if name in _CONVERTERS else value


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "allocation_pools": lambda pools: tuple(Pool(each.start, each.end) for each in pools),
    "host_routes": lambda routes: tuple(HostRoute(each.destination, each.nexthop) for each in routes),
    "dns_nameservers": tuple,
    "allowed_address_pairs": lambda pairs: tuple(
        AddressPair(each.ip_address, each.mac_address.lower()) for each in pairs
    ),
    "fixed_ips": lambda wanted: tuple(WantedIP(each.subnet_id, each.ip_address) for each in wanted),
    "security_groups": lambda ids: tuple(ids or ()),
    "binding_profile": lambda profile: profile or {},
    "tags": lambda tags: tuple(sorted(set(tags))),
}


def project_in(body: Any, own: str, *, admin: bool) -> str:
    """
    Whose it is to be.

    :param own: of the project that asks
    :raises BadNetworkValue: two are named
    """
    named = {value for value in (body.tenant_id, body.project_id) if value is not UNSET}
    if len(named) > 1:
        raise BadNetworkValue("'project_id' and 'tenant_id' do not match")
    wanted = str(named.pop()) if named else own
    if wanted != own and not admin:
        raise BadNetworkValue("Specifying 'project_id' or 'tenant_id' other than the authenticated project in request "
                              "requires admin privileges")  # fmt: skip
    return wanted


def new_rule(body: RuleBody) -> Rule:
    """:raises BadNetworkValue: a port is no number"""
    return Rule(
        id="",
        project_id="",
        security_group_id=body.security_group_id,
        direction=body.direction.lower(),
        ethertype={"ipv4": "IPv4", "ipv6": "IPv6"}.get((body.ethertype or "IPv4").lower(), body.ethertype or "IPv4"),
        protocol=None if body.protocol in (None, "", "any") else str(body.protocol).lower(),
        port_range_min=_port("port_range_min", body.port_range_min),
        port_range_max=_port("port_range_max", body.port_range_max),
        remote_ip_prefix=body.remote_ip_prefix or None,
        remote_group_id=body.remote_group_id or None,
        description=body.description or "",
    )


def _port(name: str, value: str | int | None) -> int | None:
    if value is None or value == "":
        return None
    try:
        return int(value)
    except ValueError:
        raise BadNetworkValue(f"Invalid value for {name}: '{value!s:.40}' is not an integer.") from None


#: Kind -> how an empty one is made, before what was said is put into it.
BLANK = {
    "network": lambda project_id: Network(id="", project_id=project_id),
    "subnet": lambda project_id: Subnet(id="", project_id=project_id, network_id="", ip_version=0, cidr=""),
    "port": lambda project_id: Port(id="", project_id=project_id, network_id="", mac_address=""),
    "security_group": lambda project_id: SecurityGroup(id="", project_id=project_id),
}
