# -*- test-case-name: tests.metadata.test_reading -*-
"""
Ports with what they are on, for what a host does for its guests.

Functions with a ``sqlalchemy.Connection``, asked by cloudd itself: no rights are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, select

from cloudd.database import tables

from ._addresses import key_of
from ._facts import Network, Port, SecurityGroup, Subnet
from ._rows import GROUP, NETWORK, PORT, SUBNET, Form, complete

_CHUNK = 500


@frozen(kw_only=True)
class Attachment:
    """
    A port with what it is on.

    :ivar subnets: of its addresses, by id
    :ivar groups: its security groups
    """

    port: Port
    network: Network
    subnets: Mapping[str, Subnet]
    groups: tuple[SecurityGroup, ...] = ()


def attachments(connection: Connection, port_ids: Sequence[str]) -> list[Attachment]:
    """Of those ports that there are, in the order of the ids."""
    ports: dict[str, Port] = _by_id(connection, PORT, port_ids)
    networks: dict[str, Network] = _by_id(connection, NETWORK, [each.network_id for each in ports.values()])
    on = [ip.subnet_id for each in ports.values() for ip in each.fixed_ips]
    subnets: dict[str, Subnet] = _by_id(connection, SUBNET, on)
    groups: dict[str, SecurityGroup] = _by_id(
        connection, GROUP, [group_id for each in ports.values() for group_id in each.security_group_ids]
    )
    return [
        Attachment(
            port=port,
            network=networks[port.network_id],
            subnets={ip.subnet_id: subnets[ip.subnet_id] for ip in port.fixed_ips},
            groups=tuple(groups[each] for each in port.security_group_ids),
        )
        for port in (ports[each] for each in port_ids if each in ports)
    ]


def ports_at(connection: Connection, host: str, address: str) -> list[Port]:
    """
    Those of a host that have an address; on a host that could plug all of its ports there is one at most.

    :param host: name of the node
    :param address: IPv4 or IPv6
    :raises ValueError: it is no address
    """
    given = tables.port_address.c
    table = tables.port
    query = select(table).join(tables.port_address, given.port_id == table.c.id)
    rows = connection.execute(query.where(table.c.host == host, given.address == key_of(address))).all()
    found: list[Port] = complete(connection, PORT, rows)
    return [each for each in found if any(ip.ip_address == address for ip in each.fixed_ips)]


def _by_id(connection: Connection, form: Form, ids: Sequence[str]) -> dict[str, Any]:
    wanted, table = sorted(set(ids)), form.table
    found: dict[str, Any] = {}
    for start in range(0, len(wanted), _CHUNK):
        rows = connection.execute(select(table).where(table.c.id.in_(wanted[start : start + _CHUNK]))).all()
        found.update({each.id: each for each in complete(connection, form, rows)})
    return found
