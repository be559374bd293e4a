# -*- test-case-name: tests.network_agent.test_gather -*-
"""
The address from which DHCP answers in a subnet without a gateway: a port of its own, as in Neutron.

It is the same on all hosts, like a gateway, since each answers on its own taps alone.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection, select

from cloudd.database import tables
from cloudd.identity import Access, RoleRef
from cloudd.network import NetworkError, Port, WantedIP, create_port

from ._gather import DHCP_OWNER

_ADMIN: Final = Access(
    user_id="", user_name="", user_domain_id="", user_domain_name="", roles=(RoleRef("admin", "admin"),)
)
_GIVEN: Final = frozenset({"device_owner", "device_id", "port_security_enabled", "security_group_ids", "fixed_ips"})


def keep_addresses(connection: Connection, subnet_ids: Collection[str]) -> list[str]:
    """
    Make such ports where they are missing.

    :return: subnets that have none, since no address or no quota is left
    """
    return [subnet_id for subnet_id in sorted(subnet_ids) if not _keep(connection, subnet_id)]


def _keep(connection: Connection, subnet_id: str) -> bool:
    addresses, ports = tables.port_address.c, tables.port.c
    query = select(addresses.port_id).join(tables.port, ports.id == addresses.port_id)
    query = query.where(addresses.subnet_id == subnet_id, ports.device_owner == DHCP_OWNER)
    if connection.execute(query.limit(1)).first() is not None:
        return True
    networks, subnets = tables.network.c, tables.subnet.c
    query = select(networks.id, networks.project_id).join(tables.subnet, subnets.network_id == networks.id)
    row = connection.execute(query.where(subnets.id == subnet_id)).first()
    if row is None:
        return True
    port = Port(
        id="", project_id=row.project_id, network_id=row.id, mac_address="", device_owner=DHCP_OWNER,
        device_id=f"dhcp-{subnet_id}", port_security_enabled=False, status="ACTIVE",
    )  # fmt: skip
    try:
        with connection.begin_nested():
            create_port(connection, _ADMIN, port, [WantedIP(subnet_id=subnet_id)], _GIVEN)
    except NetworkError:
        return False
    return True
