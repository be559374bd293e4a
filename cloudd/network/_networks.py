# -*- test-case-name: tests.protocols.rest.network.test_records -*-
"""Networks and subnets: functions with a ``sqlalchemy.Connection``, rights included."""

from __future__ import annotations

import uuid
from typing import Any

from attrs import evolve
from sqlalchemy import Connection, delete, func, select

from cloudd.database import tables
from cloudd.identity import Access
from cloudd.interfaces.tenant_ranges import Ranges

from . import _policy
from ._addresses import (
    address_of,
    check_pools,
    default_pools,
    first_gateway,
    network_of,
)
from ._allocation import in_use
from ._errors import BadNetworkValue, NetworkConflict, NetworkForbidden, NoSuchResource
from ._facts import DHCP_OWNER, Network, Subnet
from ._groups import default_of
from ._listing import Listing, page
from ._quotas import Room
from ._ranges import PRIVATE_RANGES, check_gateway, check_ranges
from ._rows import NETWORK, SUBNET, add, change, complete, get, remove

MAX_SEGMENT = (1 << 24) - 1
MIN_MTU, MIN_MTU_IPV6 = 68, 1280
MAX_NAMESERVERS, MAX_ROUTES, MAX_POOLS = 5, 20, 10
MODES = ("slaac", "dhcpv6-stateful", "dhcpv6-stateless")


# ---- networks


def create_network(connection: Connection, access: Access, wanted: Network, room: Room | None = None) -> Network:
    """
    :param room: of the transaction, where it makes several
    :raises NetworkForbidden: it is to be shared, external or without port security, and who asks is no administrator
    """
    _policy.enforce_write(access)
    if wanted.shared:
        _policy.enforce_admin(access, "create_network:shared")
    if wanted.external:
        _policy.enforce_admin(access, "create_network:router:external")
    if not wanted.port_security_enabled:
        _policy.enforce_admin(access, "create_network:port_security_enabled")
    default_of(connection, wanted.project_id)
    (room or Room()).take(connection, "network", wanted.project_id)
    highest = connection.execute(select(func.max(tables.network.c.segment))).scalar() or 0
    network = evolve(wanted, id=str(uuid.uuid4()), segment=highest + 1)
    if network.segment > MAX_SEGMENT:
        raise NetworkConflict("NoNetworkAvailable", "Unable to create the network. No tenant network is available.")
    add(connection, NETWORK, network)
    found: Network = get(connection, NETWORK, network.id)
    return found


def listed_networks(connection: Connection, access: Access, listing: Listing) -> list[Network]:
    """One page."""
    return complete(connection, NETWORK, page(connection, NETWORK.table, _policy.seen(NETWORK, access), listing))


def one_network(connection: Connection, access: Access, network_id: str) -> Network:
    """
    :raises NoSuchResource: also where who asks may not know of it
    """
    network: Network = get(connection, NETWORK, network_id)
    if not (_policy.owns(access, network.project_id) or network.shared or network.external):
        raise NoSuchResource(NETWORK.kind, network_id)
    return network


def own_network(connection: Connection, access: Access, network_id: str) -> Network:
    """
    :raises NetworkForbidden: it is another project's
    """
    _policy.enforce_write(access)
    network = one_network(connection, access, network_id)
    if not _policy.owns(access, network.project_id):
        raise NetworkForbidden(f"Network {network_id} belongs to another project: you may not change it.")
    return network


def update_network(connection: Connection, access: Access, network_id: str, values: dict[str, Any]) -> Network:
    """
    :raises NetworkConflict: others use it, and it is to be shared no longer
    """
    before = own_network(connection, access, network_id)
    after = evolve(before, **values)
    if after.shared != before.shared:
        _policy.enforce_admin(access, "update_network:shared")
    if after.external != before.external:
        _policy.enforce_admin(access, "update_network:router:external")
    if before.port_security_enabled and not after.port_security_enabled:
        _policy.enforce_admin(access, "update_network:port_security_enabled")
    if before.shared and not after.shared and _others_use(connection, before):
        raise NetworkConflict(
            "InvalidSharedSetting",
            f"Unable to reconfigure sharing settings for network {network_id}. Multiple tenants are using it.",
        )
    found: Network = change(connection, NETWORK, before, after)
    return found


def _others_use(connection: Connection, network: Network) -> bool:
    columns = tables.port.c
    query = select(columns.id).where(columns.network_id == network.id, columns.project_id != network.project_id)
    return connection.execute(query.limit(1)).first() is not None


def drop_network(connection: Connection, access: Access, network_id: str) -> None:
    """
    With its subnets.

    :raises NetworkConflict: somebody has a port on it
    """
    own_network(connection, access, network_id)
    columns = tables.port.c
    query = select(columns.id).where(columns.network_id == network_id, columns.device_owner != DHCP_OWNER)
    port_id = connection.execute(query.limit(1)).scalar()
    if port_id is not None:
        raise NetworkConflict(
            "NetworkInUse",
            f"Unable to complete operation on network {network_id}. There are one or more ports still in use on the "
            f"network, id for one of them is {port_id}.",
        )
    connection.execute(delete(tables.port).where(columns.network_id == network_id))
    for subnet_id in connection.execute(
        select(tables.subnet.c.id).where(tables.subnet.c.network_id == network_id)
    ).scalars():
        remove(connection, SUBNET, subnet_id)
    remove(connection, NETWORK, network_id)


# ---- subnets


def create_subnet(
    connection: Connection,
    access: Access,
    wanted: Subnet,
    given: frozenset[str],
    room: Room | None = None,
    ranges: Ranges = PRIVATE_RANGES,
) -> Subnet:
    """
    :param given: attributes that the client has named: a gateway that was named as none is none
    :param room: of the transaction, where it makes several
    :param ranges: that projects may use; administrators may use others
    :raises BadNetworkValue: its addresses do not fit each other, are outside of the ranges, or overlap with another
        subnet's
    """
    network = own_network(connection, access, wanted.network_id)
    block = network_of(wanted.cidr)
    if block.version != wanted.ip_version:
        raise BadNetworkValue(
            f"Invalid input for operation: cidr {wanted.cidr} does not match the ip_version {wanted.ip_version}."
        )
    gateway = wanted.gateway_ip if "gateway_ip" in given else first_gateway(block)
    if gateway is not None:
        gateway = str(address_of(gateway, "gateway_ip"))
    pools = wanted.allocation_pools if "allocation_pools" in given else default_pools(block, gateway)
    owner = wanted.project_id or network.project_id
    whole = evolve(wanted, id=str(uuid.uuid4()), project_id=owner, cidr=str(block), gateway_ip=gateway)
    subnet = checked_subnet(evolve(whole, allocation_pools=pools))
    check_ranges(access, subnet, ranges)
    _refuse_overlap(connection, subnet)
    (room or Room()).take(connection, "subnet", owner)
    add(connection, SUBNET, subnet)
    change(connection, NETWORK, network, network)  # its revision counts its subnets, too
    found: Subnet = get(connection, SUBNET, subnet.id)
    return found


def checked_subnet(subnet: Subnet) -> Subnet:
    """
    What belongs together does.

    :raises BadNetworkValue:
    """
    block = network_of(subnet.cidr)
    if subnet.gateway_ip is not None and address_of(subnet.gateway_ip, "gateway_ip").version != block.version:
        raise BadNetworkValue(f"Invalid input for operation: gateway {subnet.gateway_ip} is of another IP version.")
    for name, most in (
        ("dns_nameservers", MAX_NAMESERVERS),
        ("host_routes", MAX_ROUTES),
        ("allocation_pools", MAX_POOLS),
    ):
        if len(getattr(subnet, name)) > most:
            raise BadNetworkValue(f"Invalid input for {name}. Reason: more than {most}.")
    for nameserver in subnet.dns_nameservers:
        address_of(nameserver, "dns_nameservers")
    for route in subnet.host_routes:
        if network_of(route.destination, "host_routes").version != address_of(route.nexthop, "host_routes").version:
            raise BadNetworkValue(
                "Invalid input for host_routes. Reason: destination and nexthop differ in IP version."
            )
    _check_modes(subnet)
    check_pools(subnet.allocation_pools, block, subnet.gateway_ip)
    return subnet


def _check_modes(subnet: Subnet) -> None:
    modes = {subnet.ipv6_ra_mode, subnet.ipv6_address_mode} - {None}
    if not modes:
        return
    if subnet.ip_version == 4:
        raise BadNetworkValue("ipv6_ra_mode and ipv6_address_mode are not valid when ip_version is 4.")
    if not modes <= set(MODES):
        raise BadNetworkValue(f"Invalid input for ipv6_address_mode. Reason: one of {', '.join(MODES)} is meant.")
    if len(modes) > 1:
        raise BadNetworkValue("ipv6_ra_mode and ipv6_address_mode must be the same where both are set.")
    if modes & {"slaac", "dhcpv6-stateless"} and network_of(subnet.cidr).prefixlen != 64:
        raise BadNetworkValue("Invalid CIDR for the given IPv6 address mode: a prefix of /64 is meant.")


def _refuse_overlap(connection: Connection, subnet: Subnet) -> None:
    block, columns = network_of(subnet.cidr), tables.subnet.c
    for cidr in connection.execute(select(columns.cidr).where(columns.network_id == subnet.network_id)).scalars():
        other = network_of(cidr)
        if other.version == block.version and other.overlaps(block):
            raise BadNetworkValue(
                f"Invalid input for operation: Requested subnet with cidr: {subnet.cidr} for network: "
                f"{subnet.network_id} overlaps with another subnet."
            )


def listed_subnets(connection: Connection, access: Access, listing: Listing) -> list[Subnet]:
    """One page."""
    return complete(connection, SUBNET, page(connection, SUBNET.table, _policy.seen(SUBNET, access), listing))


def one_subnet(connection: Connection, access: Access, subnet_id: str) -> Subnet:
    """
    :raises NoSuchResource: also where who asks may not know of it
    """
    subnet: Subnet = get(connection, SUBNET, subnet_id)
    if not _policy.owns(access, subnet.project_id):
        try:
            one_network(connection, access, subnet.network_id)
        except NoSuchResource:
            raise NoSuchResource(SUBNET.kind, subnet_id) from None
    return subnet


def own_subnet(connection: Connection, access: Access, subnet_id: str) -> Subnet:
    """
    :raises NetworkForbidden: it is another project's
    """
    _policy.enforce_write(access)
    subnet = one_subnet(connection, access, subnet_id)
    if not _policy.owns(access, subnet.project_id):
        raise NetworkForbidden(f"Subnet {subnet_id} belongs to another project: you may not change it.")
    return subnet


def update_subnet(
    connection: Connection,
    access: Access,
    subnet_id: str,
    values: dict[str, Any],
    ranges: Ranges = PRIVATE_RANGES,
) -> Subnet:
    """
    :param ranges: that projects may use
    :raises BadNetworkValue: its addresses do not fit each other, or its new gateway is out of the ranges
    """
    before = own_subnet(connection, access, subnet_id)
    after = checked_subnet(evolve(before, **values))
    if after.gateway_ip != before.gateway_ip:
        check_gateway(access, after, ranges)
    found: Subnet = change(connection, SUBNET, before, after)
    return found


def drop_subnet(connection: Connection, access: Access, subnet_id: str) -> None:
    """
    :raises NetworkConflict: a port has an address of it
    """
    subnet = own_subnet(connection, access, subnet_id)
    if in_use(connection, subnet_id, without=DHCP_OWNER):
        raise NetworkConflict(
            "SubnetInUse",
            f"Unable to complete operation on subnet {subnet_id}: One or more ports have an IP allocation from this "
            "subnet.",
        )
    # Addresses that hosts keep for DHCP hold nothing up.
    kept = select(tables.port_address.c.port_id).where(tables.port_address.c.subnet_id == subnet_id)
    connection.execute(delete(tables.port).where(tables.port.c.id.in_(kept)))
    remove(connection, SUBNET, subnet_id)
    network = get(connection, NETWORK, subnet.network_id)
    change(connection, NETWORK, network, network)
