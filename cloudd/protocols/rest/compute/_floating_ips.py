# -*- test-case-name: tests.protocols.rest.compute.test_floating_ips -*-
"""
Floating IPs by the Compute API, up to 2.35, and their actions of servers, up to 2.43.

cloudd has no floating IPs yet, so this is what Nova answers where no network has any: lists are empty, there is no pool
to take one from, and no address is known.  Source: Compute API, "Floating IPs (deprecated)".
"""

from __future__ import annotations

import ipaddress
from typing import Any

from msgspec import UNSET, UnsetType
from sqlalchemy import Connection

from cloudd import compute as service
from cloudd.compute import Order

from .._documents import Document, Name
from .._faults import Fault, bad_request
from .._routes import Answer, route
from ._call import ComputeCall
from ._proxies import as_proxy
from ._server_values import any_address


class PoolBody(Document):
    """From which pool; none: any."""

    pool: Name | None = None


class AddBody(Document):
    """``addFloatingIp``."""

    address: str
    fixed_address: str | UnsetType = UNSET


class RemoveBody(Document):
    """``removeFloatingIp``."""

    address: str


class FloatingIPRoutes:
    """``/v2.1/os-floating-ips`` and ``/v2.1/os-floating-ip-pools``."""

    @route("GET", "/v2.1/os-floating-ips")
    @as_proxy
    async def list_addresses(self, call: ComputeCall) -> Answer:
        """Always empty: there are no floating IPs yet; up to 2.35."""
        service.enforce_read(call.access, "os-floating-ips:list")
        return Answer(200, {"floating_ips": []})

    @route("POST", "/v2.1/os-floating-ips")
    @as_proxy
    async def allocate(self, call: ComputeCall) -> Answer:
        """404: there is no pool."""
        service.enforce_write(call.access, "os-floating-ips:create")
        pool = call.converted("", await call.read_object(), PoolBody).pool
        raise Fault(404, f"Floating IP pool not found: {pool}." if pool else "Floating IP pool not found.")

    @route("GET", "/v2.1/os-floating-ips/{address_id}")
    @as_proxy
    async def show(self, call: ComputeCall, address_id: str) -> Answer:
        """404: there is none."""
        service.enforce_read(call.access, "os-floating-ips:show")
        raise _no_address(address_id)

    @route("DELETE", "/v2.1/os-floating-ips/{address_id}")
    @as_proxy
    async def release(self, call: ComputeCall, address_id: str) -> Answer:
        """404: there is none."""
        service.enforce_write(call.access, "os-floating-ips:delete")
        raise _no_address(address_id)

    @route("GET", "/v2.1/os-floating-ip-pools")
    @as_proxy
    async def pools(self, call: ComputeCall) -> Answer:
        """Always empty, up to 2.35."""
        service.enforce_read(call.access, "os-floating-ip-pools")
        return Answer(200, {"floating_ip_pools": []})


def _no_address(address_id: str) -> Fault:
    return Fault(404, f"Floating IP not found for ID {address_id[:64]}")


def read_add(call: ComputeCall, name: str, given: Any) -> tuple[str, str]:
    """
    Address, and the server's own that it is to stand for; empty: any.

    :raises Fault: 400: one is none
    """
    body = call.converted(name, given, AddBody)
    fixed = body.fixed_address
    address = any_address(f"{name}.address", body.address)
    return address, "" if isinstance(fixed, UnsetType) else any_address(f"{name}.fixed_address", fixed)


def read_remove(call: ComputeCall, name: str, given: Any) -> str:
    """
    :raises Fault: 400: it is no address
    """
    return any_address(f"{name}.address", call.converted(name, given, RemoveBody).address)


def refuse_add(connection: Connection, order: Order, address: str, fixed: str) -> None:
    """
    Refuse an address that a server is to get, for what is wrong first.

    :raises Fault: 400: the server has no address that it could stand for; 404: nobody has a floating IP
    """
    server = service.server_to_change(connection, order, "os-floating-ips:add", locked=True)
    own = [
        ipaddress.ip_address(each.address) for each in service.server_addresses(connection, [server]).get(server.id, [])
    ]
    if not own:
        raise bad_request("No fixed IPs associated to instance")
    if fixed and ipaddress.ip_address(fixed) not in own:
        raise bad_request("Specified fixed address not assigned to instance")
    if not any(each.version == 4 for each in own):
        raise bad_request(
            f"Unable to associate floating IP {address} to any fixed IPs for instance {server.id}. "
            "Instance has no fixed IPv4 addresses to associate."
        )
    raise Fault(404, "floating IP not found")


def refuse_remove(connection: Connection, order: Order, address: str) -> None:
    """
    :raises Fault: 404: nobody has that address
    """
    service.server_to_change(connection, order, "os-floating-ips:remove", locked=True)
    raise Fault(404, f"Floating IP not found for address {address}.")
