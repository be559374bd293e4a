# -*- test-case-name: tests.protocols.rest.compute.test_server_networks -*-
"""Addresses and security groups of servers.  Source: Compute API, "Servers IPs", "Servers security groups"."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from cloudd import compute as service
from cloudd.identity import Access
from cloudd.interfaces.application import Transactions
from cloudd.network import ServerAddress

from .._faults import Fault
from .._routes import Answer, route
from ._call import ComputeCall
from ._security_view import show_group
from ._server_view import addresses_by_network


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
        others = {each.id: each for each in found}
        shown = [show_group(each, others) for each in found if each.id in ids]
        return Answer(200, {"security_groups": shown})


def _addresses(connection: Connection, access: Access, server_id: str) -> Sequence[ServerAddress]:
    server = service.server_to_read(connection, access, server_id, "ips:show")
    return service.server_addresses(connection, [server]).get(server_id, [])
