# -*- test-case-name: tests.network.test_servers -*-
"""
What the compute service asks of networks: which addresses servers have, and what a new one may be put on.

Functions with a ``sqlalchemy.Connection``.  What is told of a server is told of all ports that name it; who calls keeps
those that the server is known to have, since whoever makes a port names in it which device he likes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Row, and_, or_, select

from cloudd.database import tables
from cloudd.identity import Access

from . import _policy
from ._addresses import address_of, key_of, network_of, text_of
from ._errors import BadNetworkValue, NetworkConflict, NoSuchResource
from ._facts import DEFAULT_GROUP, Network, SecurityGroup
from ._groups import default_of
from ._networks import one_network
from ._rows import GROUP, NETWORK, complete

_CHUNK = 500


@frozen
class ServerAddress:
    """
    An address that a server has.

    :ivar network: the network's name
    :ivar version: 4 or 6
    """

    port_id: str
    network: str
    address: str
    version: int
    mac_address: str


@frozen
class ServerGroupName:
    """A security group of a port."""

    port_id: str
    group_id: str
    name: str


def addresses_of(connection: Connection, server_ids: Sequence[str]) -> dict[str, tuple[ServerAddress, ...]]:
    """Of each of these servers, by port; those without any are not there."""
    ports, addresses, subnets, networks = tables.port.c, tables.port_address.c, tables.subnet.c, tables.network.c
    joined = (
        tables.port.join(tables.port_address, addresses.port_id == ports.id)
        .join(tables.subnet, subnets.id == addresses.subnet_id)
        .join(tables.network, networks.id == ports.network_id)
    )
    found: dict[str, list[ServerAddress]] = {}
    columns = (ports.device_id, ports.id, networks.name, addresses.address, subnets.ip_version, ports.mac_address)
    for some in _chunks(server_ids):
        query = select(*columns).select_from(joined).where(ports.device_id.in_(some))
        rows = connection.execute(query.order_by(ports.created_us, ports.id, addresses.position))
        for server_id, port_id, name, key, version, mac in rows:
            address = ServerAddress(port_id, name, text_of(key, version), version, mac)
            found.setdefault(server_id, []).append(address)
    return {server_id: tuple(each) for server_id, each in found.items()}


def group_names_of(connection: Connection, server_ids: Sequence[str]) -> dict[str, tuple[ServerGroupName, ...]]:
    """Of each of these servers, the security groups of its ports; those without any are not there."""
    ports, members, groups = tables.port.c, tables.port_group.c, tables.security_group.c
    joined = tables.port.join(tables.port_group, members.port_id == ports.id).join(
        tables.security_group, groups.id == members.security_group_id
    )
    found: dict[str, list[ServerGroupName]] = {}
    for some in _chunks(server_ids):
        query = select(ports.device_id, ports.id, groups.id, groups.name).select_from(joined)
        for server_id, *facts in connection.execute(query.where(ports.device_id.in_(some)).order_by(groups.name)):
            found.setdefault(server_id, []).append(ServerGroupName(*facts))
    return {server_id: tuple(each) for server_id, each in found.items()}


def group_records(connection: Connection, group_ids: Sequence[str]) -> list[SecurityGroup]:
    """Those that there are, by name, with their rules; without rights."""
    columns = tables.security_group.c
    rows: list[Row[Any]] = []
    for some in _chunks(group_ids):
        rows += connection.execute(select(tables.security_group).where(columns.id.in_(some))).all()
    return sorted(complete(connection, GROUP, rows), key=lambda each: (each.name, each.id))


def groups_named(connection: Connection, project_id: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """
    Ids of a project's groups, in the order asked for; in a transaction that writes, since the default one is made.

    :param wanted: names or ids
    :raises NoSuchResource: the project has none of that name or id
    :raises NetworkConflict: it has several of that name
    """
    if DEFAULT_GROUP in wanted:
        default_of(connection, project_id)
    columns, by_word = tables.security_group.c, dict[str, list[str]]()
    for some in _chunks(list(dict.fromkeys(wanted))):
        named = or_(columns.id.in_(some), columns.name.in_(some))
        for group_id, name in connection.execute(
            select(columns.id, columns.name).where(columns.project_id == project_id, named)
        ):
            by_word[group_id] = [group_id]
            by_word.setdefault(name, []).append(group_id)
    return tuple(dict.fromkeys(_the_one(by_word.get(word, []), word) for word in wanted))


def _the_one(found: Sequence[str], word: str) -> str:
    if not found:
        raise NoSuchResource("SecurityGroup", word[:255])
    if len(found) > 1:
        raise NetworkConflict(
            "NoUniqueMatch",
            f"Multiple security_group matches found for name '{word[:255]}', use an ID to be more specific.",
        )
    return found[0]


def networks_for_servers(connection: Connection, project_id: str) -> list[Network]:
    """Where a server goes that names no network: on one of the project's own, or on a shared one."""
    columns = tables.network.c
    own = and_(columns.project_id == project_id, columns.external.is_(False))
    query = select(tables.network).where(or_(own, columns.shared.is_(True)), columns.admin_state_up.is_(True))
    return complete(connection, NETWORK, connection.execute(query.order_by(columns.created_us, columns.id)).all())


def network_for_server(connection: Connection, access: Access, network_id: str, fixed_ip: str = "") -> Network:
    """
    One that who asks may put a server on.

    :param fixed_ip: that the server is to have; empty: any
    :raises NoSuchResource: also where who asks may not know of it
    :raises NetworkError: it is external, or the address is not to be had
    """
    network = one_network(connection, access, network_id)
    if network.external and not network.shared and not access.is_admin:
        raise BadNetworkValue(f"It is not allowed to create an interface on external network {network_id}")
    if fixed_ip:
        if not _policy.owns(access, network.project_id):
            _policy.enforce_admin(access, "create_port:fixed_ips:ip_address")
        _check_free(connection, network, fixed_ip)
    return network


def _check_free(connection: Connection, network: Network, fixed_ip: str) -> None:
    address, columns, taken = address_of(fixed_ip, "fixed_ip"), tables.subnet.c, tables.port_address.c
    rows = connection.execute(select(columns.id, columns.cidr).where(columns.network_id == network.id)).all()
    within = [row.id for row in rows if (cidr := network_of(row.cidr)).version == address.version and address in cidr]
    if not within:
        raise BadNetworkValue(
            f"Fixed IP address {address} is not a valid ip address for network {network.id}.", "InvalidIpForNetwork"
        )
    held = select(taken.port_id).where(taken.subnet_id.in_(within), taken.address == key_of(str(address)))
    if connection.execute(held).first() is not None:
        raise NetworkConflict("IpAddressAlreadyAllocated", f"Fixed IP address {address} is already in use.")


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]
