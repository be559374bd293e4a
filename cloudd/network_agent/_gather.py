# -*- test-case-name: tests.network_agent.test_gather -*-
"""
Reading the records of one host's ports: functions with a ``sqlalchemy.Connection``, each one snapshot.

``whole`` reads all of it, ``since`` what events have told of.  Triggers book an event with each
change of a network, a subnet, a port, a group or a rule, in the same transaction and in the order of commits; so who
has read up to one misses nothing (``cloudd.events``).
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from attrs import evolve
from sqlalchemy import Connection, Select, and_, func, select

from cloudd.database import tables
from cloudd.network import protocol_number

from ._records import Known, NetworkRecord, Part, PortRecord, Records, RuleRecord, Rules, SubnetRecord, Touched, remotes

DHCP_OWNER: Final = "network:dhcp"
MOST_EVENTS: Final = 2_000
"""More are not followed one by one: everything is read again."""

_CHUNK: Final = 500
_ports, _addresses, _subnets = tables.port.c, tables.port_address.c, tables.subnet.c
_events = tables.outbox.c


class UnknownNode(Exception):
    """The node has not said yet that it is there, so nothing can be bound to it."""


def host_of(connection: Connection, node_id: str) -> str:
    """
    What ports say that are bound to a node: its name.

    :raises UnknownNode:
    """
    name = connection.execute(select(tables.node.c.name).where(tables.node.c.id == node_id)).scalar()
    if name is None:
        raise UnknownNode(f"node {node_id} is not known yet")
    return str(name)


def whole(connection: Connection, node_id: str) -> Part:
    """
    Everything of a host.

    :raises UnknownNode:
    """
    host = host_of(connection, node_id)
    query = select(_ports.id).where(_ports.host == host, _ports.device_id != "")
    ports = frozenset(connection.execute(query).scalars())
    return part(connection, node_id, Touched(ports=ports), Known(), position(connection))


def since(connection: Connection, node_id: str, records: Records, ports: frozenset[str] = frozenset()) -> Part | None:
    """
    What was changed since ``records``, which it does not change; ``None``: events do not tell all of it.

    :param ports: to be read again in any case
    :raises UnknownNode:
    """
    newest, touched = changes(connection, records.position)
    if touched is None:
        return None
    touched = records.narrowed(evolve(touched, ports=touched.ports | ports))
    return part(connection, node_id, touched, records.known, newest)


def position(connection: Connection) -> int:
    """Of the newest event."""
    return _span(connection)[1]


def _span(connection: Connection) -> tuple[int, int]:
    """Ids of the oldest and the newest event that are kept.  Each is a question of its own: both in one are a scan."""
    ends = (select(of(_events.id)).scalar_subquery() for of in (func.min, func.max))
    row = connection.execute(select(*ends)).one()
    return row[0] or 0, row[1] or 0


def changes(connection: Connection, after: int) -> tuple[int, Touched | None]:
    """
    Up to where events tell something, and of what after ``after``; ``None``: they do not tell all of it any more, or
    too much.
    """
    oldest, newest = _span(connection)
    if newest == after:
        return newest, Touched()
    if newest < after or oldest > after + 1:
        return newest, None
    query = select(_events.type, _events.data).where(_events.id > after, _events.type.like("network.%"))
    rows = connection.execute(query.order_by(_events.id).limit(MOST_EVENTS + 1)).all()
    return newest, touched_by([(kind, json.loads(data)) for kind, data in rows]) if len(rows) <= MOST_EVENTS else None


def touched_by(events: Iterable[tuple[str, Mapping[str, Any]]]) -> Touched:
    """What events tell of; each is its type and its data."""
    found: dict[str, set[str]] = {"network": set(), "subnet": set(), "port": set(), "group": set(), "subnets_of": set()}
    for kind, data in events:
        thing = kind.split(".")[1]
        if thing == "security_group_rule":
            found["group"].add(data["security_group_id"])
        elif thing == "security_group":
            found["group"].add(data["id"])
        elif thing in found:
            found[thing].add(data["id"])
            if data.get("device_owner") == DHCP_OWNER:
                found["subnets_of"].add(data["network_id"])
    return Touched(
        ports=frozenset(found["port"]),
        networks=frozenset(found["network"]),
        subnets=frozenset(found["subnet"]),
        subnets_of=frozenset(found["subnets_of"]),
        groups=frozenset(found["group"]),
    )


def part(connection: Connection, node_id: str, touched: Touched, known: Known, newest: int) -> Part:
    """
    What was touched, and what its ports need that is not known.

    :param newest: the newest event of this snapshot
    :raises UnknownNode:
    """
    host = host_of(connection, node_id)
    ports = _read_ports(connection, host, touched.ports)
    here = [port for port in ports.values() if port is not None and port.is_here]
    networks = touched.networks | ({port.network_id for port in here} - known.networks)
    subnets = touched.subnets | ({each for port in here for each, _ in port.addresses} - known.subnets)
    groups = touched.groups | ({each for port in here for each in port.group_ids} - known.groups)
    rules = _read_rules(connection, groups)
    watched = {each for some in rules.values() for each in remotes(some)} - known.watched
    return Part(
        position=newest,
        ports=ports,
        networks=_read_networks(connection, networks),
        subnets=_read_subnets(connection, subnets),
        rules=rules,
        members=_read_members(connection, watched),
    )


def _in_chunks(connection: Connection, query: Select[Any], column: Any, ids: Collection[str]) -> Iterator[Any]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), _CHUNK):
        yield from connection.execute(query.where(column.in_(ordered[start : start + _CHUNK])))


def _read_ports(connection: Connection, host: str, ids: Collection[str]) -> dict[str, PortRecord | None]:
    found: dict[str, PortRecord | None] = dict.fromkeys(ids)
    addresses: dict[str, list[tuple[str, str]]] = {}
    query = select(_addresses.port_id, _addresses.subnet_id, _addresses.address, _subnets.ip_version)
    query = query.join(tables.subnet, _subnets.id == _addresses.subnet_id).order_by(_addresses.position)
    for row in _in_chunks(connection, query, _addresses.port_id, ids):
        addresses.setdefault(row.port_id, []).append((row.subnet_id, _text(row.address, row.ip_version)))
    groups: dict[str, list[str]] = {}
    members = tables.port_group.c
    for row in _in_chunks(connection, select(members.port_id, members.security_group_id), members.port_id, ids):
        groups.setdefault(row.port_id, []).append(row.security_group_id)
    servers = tables.server
    named = select(tables.port, servers.c.host_name).outerjoin(
        servers, and_(servers.c.id == _ports.device_id, servers.c.deleted_us.is_(None))
    )
    for row in _in_chunks(connection, named, _ports.id, ids):
        found[row.id] = _port(row, host, addresses.get(row.id, []), groups.get(row.id, []))
    return found


def _port(row: Any, host: str, addresses: list[tuple[str, str]], groups: list[str]) -> PortRecord:
    pairs = [] if row.address_pairs == "[]" else json.loads(row.address_pairs)
    return PortRecord(
        id=row.id,
        network_id=row.network_id,
        mac=row.mac_address,
        is_here=bool(row.device_id) and row.host == host,
        is_up=row.admin_state_up,
        is_active=row.status == "ACTIVE",
        is_secure=row.port_security_enabled,
        host_name=(row.dns_name or row.host_name or "").partition(".")[0],
        addresses=tuple(addresses),
        pairs=tuple((address, mac) for address, mac in pairs),
        group_ids=tuple(sorted(groups)),
        created_us=row.created_us,
    )


def _text(key: str, version: int) -> str:
    number = int(key, 16)
    return str(ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number))


def _read_networks(connection: Connection, ids: Collection[str]) -> dict[str, NetworkRecord | None]:
    found: dict[str, NetworkRecord | None] = dict.fromkeys(ids)
    for row in _in_chunks(connection, select(tables.network), tables.network.c.id, ids):
        found[row.id] = NetworkRecord(id=row.id, is_up=row.admin_state_up, mtu=row.mtu, domain=row.dns_domain)
    return found


def _read_subnets(connection: Connection, ids: Collection[str]) -> dict[str, SubnetRecord | None]:
    found: dict[str, SubnetRecord | None] = dict.fromkeys(ids)
    servers: dict[str, str] = {}
    query = select(_addresses.subnet_id, _addresses.address, _subnets.ip_version)
    query = query.join(tables.subnet, _subnets.id == _addresses.subnet_id)
    query = query.join(tables.port, _ports.id == _addresses.port_id).where(_ports.device_owner == DHCP_OWNER)
    for row in _in_chunks(connection, query.order_by(_addresses.address.desc()), _addresses.subnet_id, ids):
        servers[row.subnet_id] = _text(row.address, row.ip_version)
    for row in _in_chunks(connection, select(tables.subnet), _subnets.id, ids):
        found[row.id] = _subnet(row, servers.get(row.id, ""))
    return found


def _subnet(row: Any, dhcp_server: str) -> SubnetRecord:
    return SubnetRecord(
        id=row.id,
        network_id=row.network_id,
        prefix_length=int(row.cidr.partition("/")[2]),
        version=row.ip_version,
        gateway=row.gateway_ip,
        dhcp=row.enable_dhcp,
        mode=row.ipv6_ra_mode or row.ipv6_address_mode or "",
        dhcp_server=dhcp_server,
        dns=tuple(json.loads(row.dns_nameservers)),
        routes=tuple((destination, hop) for destination, hop in json.loads(row.host_routes)),
    )


def _read_rules(connection: Connection, ids: Collection[str]) -> dict[str, Rules]:
    """Of a group that is there no more: none."""
    found: dict[str, list[RuleRecord]] = {each: [] for each in ids}
    columns = tables.security_rule.c
    query = select(tables.security_rule).order_by(columns.created_us, columns.id)
    for row in _in_chunks(connection, query, columns.security_group_id, ids):
        found[row.security_group_id].append(_rule(row))
    return {group_id: tuple(rules) for group_id, rules in found.items()}


def _rule(row: Any) -> RuleRecord:
    return RuleRecord(
        direction=row.direction,
        version=6 if row.ethertype == "IPv6" else 4,
        # Neutron's "ip" and 0 mean any.
        protocol=protocol_number(row.protocol) or None,
        first=row.port_range_min,
        last=row.port_range_max,
        remote_prefix=row.remote_ip_prefix,
        remote_group_id=row.remote_group_id,
    )


def _read_members(connection: Connection, ids: Collection[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    found: dict[str, dict[str, tuple[str, ...]]] = {each: {} for each in ids}
    members = tables.port_group.c
    query = select(members.security_group_id, _addresses.port_id, _addresses.address, _subnets.ip_version)
    query = query.join(tables.port_address, _addresses.port_id == members.port_id)
    query = query.join(tables.subnet, _subnets.id == _addresses.subnet_id).order_by(_addresses.position)
    for row in _in_chunks(connection, query, members.security_group_id, ids):
        of_group = found[row.security_group_id]
        of_group[row.port_id] = (*of_group.get(row.port_id, ()), _text(row.address, row.ip_version))
    return found
