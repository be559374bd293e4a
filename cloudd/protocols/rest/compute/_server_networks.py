# -*- test-case-name: tests.protocols.rest.compute.test_server_networks -*-
"""Addresses and security groups of servers.  Source: Compute API, "Servers IPs", "Servers security groups"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from cloudd import compute as service
from cloudd.identity import Access
from cloudd.interfaces.application import Transactions
from cloudd.network import Rule, SecurityGroup, ServerAddress

from .._faults import Fault
from .._routes import Answer, route
from ._call import ComputeCall
from ._server_view import addresses_by_network


def show_rule(rule: Rule, names: Mapping[str, str]) -> dict[str, Any]:
    """
    One rule, as Nova has it.

    :param names: of groups on the other side, by id
    """
    shown: dict[str, Any] = {
        "id": rule.id,
        "parent_group_id": rule.security_group_id,
        "ip_protocol": rule.protocol,
        "from_port": rule.port_range_min if rule.protocol else None,
        "to_port": rule.port_range_max if rule.protocol else None,
        "group": {},
        "ip_range": {},
    }
    if rule.remote_group_id is not None:
        return shown | {"group": {"name": names.get(rule.remote_group_id, ""), "tenant_id": rule.project_id}}
    anywhere = "0.0.0.0/0" if rule.ethertype == "IPv4" else "::/0"
    return shown | {"ip_range": {"cidr": rule.remote_ip_prefix or anywhere}}


def show_group(group: SecurityGroup, names: Mapping[str, str]) -> dict[str, Any]:
    """One security group with what it lets in."""
    return {
        "id": group.id,
        "name": group.name,
        "description": group.description,
        "tenant_id": group.project_id,
        "rules": [show_rule(each, names) for each in group.rules if each.direction == "ingress"],
    }


class ServerNetworkRoutes:
    """``/v2.1/servers/{server_id}/ips`` and ``/os-security-groups``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2.1/servers/{server_id}/ips")
    async def addresses(self, call: ComputeCall, server_id: str) -> Answer:
        """By name of the network."""
        found = await self._database.read(_addresses, call.access, server_id)
        return Answer(200, {"addresses": addresses_by_network(found, extended=False)})

    @route("GET", "/v2.1/servers/{server_id}/ips/{network}")
    async def addresses_on(self, call: ComputeCall, server_id: str, network: str) -> Answer:
        """Of one network; 404 where it has none on it."""
        found = addresses_by_network(await self._database.read(_addresses, call.access, server_id), extended=False)
        if network not in found:
            raise Fault(404, "Network name was not found")
        return Answer(200, {network: found[network]})

    @route("GET", "/v2.1/servers/{server_id}/os-security-groups")
    async def groups(self, call: ComputeCall, server_id: str) -> Answer:
        """Those of its ports, by name."""
        ids, found = await self._database.read(service.security_groups_of, call.access, server_id)
        names = {each.id: each.name for each in found}
        shown = [show_group(each, names) for each in found if each.id in ids]
        return Answer(200, {"security_groups": shown})


def _addresses(connection: Connection, access: Access, server_id: str) -> Sequence[ServerAddress]:
    server = service.one_server(connection, access, server_id)
    return service.server_addresses(connection, [server]).get(server_id, [])
