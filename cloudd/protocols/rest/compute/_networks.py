# -*- test-case-name: tests.protocols.rest.compute.test_networks -*-
"""
Networks by the Compute API, up to 2.35.  Source: Compute API, "Networks (deprecated)", "Project networks (deprecated)".

As in a Nova that asks Neutron a network has its id and name here, and its other members nothing; networks are made and
deleted by the Network API alone.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection

from cloudd import compute, network
from cloudd.identity import Access
from cloudd.interfaces.application import Transactions
from cloudd.network import Listing, Network

from .._faults import Fault, not_implemented
from .._routes import Answer, route
from ._call import ComputeCall
from ._proxies import as_proxy, network_words

_EMPTY: Final = (
    "cidr", "netmask", "gateway", "broadcast", "dns1", "dns2", "cidr_v6", "gateway_v6", "netmask_v6",
)  # fmt: skip
_EMPTY_ADMIN: Final = (
    "created_at", "updated_at", "deleted_at", "deleted", "injected", "bridge", "vlan", "vpn_public_address",
    "vpn_public_port", "vpn_private_address", "dhcp_start", "project_id", "host", "bridge_interface", "multi_host",
    "priority", "rxtx_base", "mtu", "dhcp_server", "enable_dhcp", "share_address",
)  # fmt: skip
_ABSENT: Final = "changing networks by the Compute API: use the Network API"


def _show(call: ComputeCall, found: Network) -> dict[str, Any]:
    empty = (*_EMPTY, *(_EMPTY_ADMIN if call.access.is_admin else ()))
    return {"id": found.id, "label": found.name, **dict.fromkeys(empty)}


def _show_to_tenant(found: Network) -> dict[str, str]:
    return {"id": found.id, "cidr": "None", "label": found.name}  # a word, not null, as Nova has it


class NetworkRoutes:
    """``/v2.1/os-networks`` and ``/v2.1/os-tenant-networks``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2.1/os-networks")
    @as_proxy
    async def list_networks(self, call: ComputeCall) -> Answer:
        """Ids and names of those that who asks may see, up to 2.35."""
        found = await self._database.read(_listed, call.access, "os-networks:list")
        return Answer(200, {"networks": [_show(call, each) for each in found]})

    @route("GET", "/v2.1/os-networks/{network_id}")
    @as_proxy
    async def show(self, call: ComputeCall, network_id: str) -> Answer:
        """One of them."""
        found = await self._database.read(_one, call.access, "os-networks:show", network_id)
        return Answer(200, {"network": _show(call, found)})

    @route("POST", "/v2.1/os-networks")
    @route("POST", "/v2.1/os-networks/add")
    @as_proxy
    async def create(self, call: ComputeCall) -> Answer:
        """501: use the Network API."""
        raise not_implemented(_ABSENT)

    @route("DELETE", "/v2.1/os-networks/{network_id}")
    @route("POST", "/v2.1/os-networks/{network_id}/action")
    @as_proxy
    async def change(self, call: ComputeCall, network_id: str) -> Answer:
        """501: use the Network API."""
        raise not_implemented(_ABSENT)

    @route("GET", "/v2.1/os-tenant-networks")
    @as_proxy
    async def list_tenant_networks(self, call: ComputeCall) -> Answer:
        """The same networks, with other members."""
        found = await self._database.read(_listed, call.access, "os-tenant-networks:list")
        return Answer(200, {"networks": [_show_to_tenant(each) for each in found]})

    @route("GET", "/v2.1/os-tenant-networks/{network_id}")
    @as_proxy
    async def show_tenant_network(self, call: ComputeCall, network_id: str) -> Answer:
        """One of them."""
        found = await self._database.read(_one, call.access, "os-tenant-networks:show", network_id)
        return Answer(200, {"network": _show_to_tenant(found)})

    @route("POST", "/v2.1/os-tenant-networks")
    @as_proxy
    async def create_tenant_network(self, call: ComputeCall) -> Answer:
        """503, as in Nova: use the Network API."""
        raise Fault(503, "Create networks failed: use the Network API.")

    @route("DELETE", "/v2.1/os-tenant-networks/{network_id}")
    @as_proxy
    async def delete_tenant_network(self, call: ComputeCall, network_id: str) -> Answer:
        """501: use the Network API."""
        raise not_implemented(_ABSENT)


def _listed(connection: Connection, access: Access, rule: str) -> list[Network]:
    compute.enforce_read(access, rule)
    return network.listed_networks(connection, access, Listing(order=(("created_us", False),)))


def _one(connection: Connection, access: Access, rule: str, network_id: str) -> Network:
    compute.enforce_read(access, rule)
    with network_words():
        return network.one_network(connection, access, network_id)
