# -*- test-case-name: tests.protocols.rest.compute.test_server_list -*-
"""What is shown of servers beyond their own rows: a few statements, however many servers there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import field, frozen
from sqlalchemy import Connection

from cloudd.identity import Access
from cloudd.network import SecurityGroup, ServerAddress, addresses_of, group_names_of, group_records
from cloudd.nodes import node_rows

from .._facts import Flavor
from ..flavors._flavors import flavor_records
from ..hosts._places import zones_of
from ._access import server_to_read
from ._facts import Server
from ._groups import groups_of


@frozen(kw_only=True)
class Details:
    """
    :ivar servers: that are shown, in order
    :ivar flavors: ``Server.flavor`` -> the record
    :ivar addresses: id of a server -> its addresses, in the order of its interfaces; not there: none
    :ivar security_groups: id of a server -> names
    :ivar groups: id of a server -> id of its server group; not there: it has none
    :ivar zones: id of a node -> its zone
    :ivar hosts: id of a node -> ``UP`` and the like
    """

    servers: Sequence[Server]
    flavors: Mapping[str, Flavor] = field(factory=dict)
    addresses: Mapping[str, Sequence[ServerAddress]] = field(factory=dict)
    security_groups: Mapping[str, Sequence[str]] = field(factory=dict)
    groups: Mapping[str, str] = field(factory=dict)
    zones: Mapping[str, str] = field(factory=dict)
    hosts: Mapping[str, str] = field(factory=dict)


def details_of(
    connection: Connection, servers: Sequence[Server], *, of_hosts: bool = False, groups: bool = True
) -> Details:
    """
    :param of_hosts: how hosts are, too, for administrators
    :param groups: which server groups they are of, too
    """
    ids = [each.id for each in servers]
    nodes = sorted({each.node_id for each in servers if each.node_id})
    return Details(
        servers=servers,
        flavors=flavor_records(connection, sorted({each.flavor for each in servers})),
        addresses=server_addresses(connection, servers),
        security_groups=_security_groups(connection, servers),
        groups=groups_of(connection, ids) if groups else {},
        zones=zones_of(connection, nodes),
        hosts=_hosts(connection) if of_hosts and nodes else {},
    )


def server_addresses(connection: Connection, servers: Sequence[Server]) -> dict[str, list[ServerAddress]]:
    """Of those ports alone that are the servers': others may name a server that they do not belong to."""
    found = addresses_of(connection, [each.id for each in servers if each.interfaces])
    shown: dict[str, list[ServerAddress]] = {}
    for server in servers:
        if addresses := found.get(server.id):
            places = {each.port_id: each.position for each in server.interfaces}
            mine = [each for each in addresses if each.port_id in places]
            shown[server.id] = sorted(mine, key=lambda each: places[each.port_id])
    return shown


def _security_groups(connection: Connection, servers: Sequence[Server]) -> dict[str, list[str]]:
    """Those of its ports; as long as it has none, those that are asked for."""
    found = group_names_of(connection, [each.id for each in servers if each.interfaces])
    waiting = {group_id for each in servers if not each.interfaces for group_id in each.security_groups}
    names = {each.id: each.name for each in group_records(connection, sorted(waiting))} if waiting else {}
    shown: dict[str, list[str]] = {}
    for server in servers:
        if server.interfaces:
            ports = {each.port_id for each in server.interfaces}
            mine = [each.name for each in found.get(server.id, ()) if each.port_id in ports]
        else:
            mine = [names[each] for each in server.security_groups if each in names]
        shown[server.id] = list(dict.fromkeys(mine))
    return shown


def security_groups_of(
    connection: Connection, access: Access, server_id: str
) -> tuple[frozenset[str], list[SecurityGroup]]:
    """
    Ids of those of its ports; and by name, with their rules, these and others that their rules name.

    :raises NoSuchRecord:
    """
    server = server_to_read(connection, access, server_id, "os-security-groups:list")
    ports = {each.port_id for each in server.interfaces}
    found = group_names_of(connection, [server_id]).get(server_id, ())
    own = frozenset(each.group_id for each in found if each.port_id in ports)
    groups = group_records(connection, sorted(own))
    others = {rule.remote_group_id for each in groups for rule in each.rules if rule.remote_group_id} - own
    return own, [*groups, *group_records(connection, sorted(others))]


def _hosts(connection: Connection) -> dict[str, str]:
    return {node.id: _word(node.state, node.is_silent) for node in node_rows(connection, removed=False)}


def _word(state: str, is_silent: bool) -> str:
    if state not in ("joining", "ready"):
        return "MAINTENANCE"
    return "DOWN" if is_silent else "UP"
