# -*- test-case-name: tests.protocols.rest.compute.test_interfaces -*-
"""Interfaces of servers.  Source: Compute API, "Port interfaces"."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, UnsetType

from cloudd import compute as service
from cloudd.compute import NewInterface, Plugged
from cloudd.interfaces.application import Transactions

from .._documents import Document
from .._faults import bad_request
from .._routes import Answer, route
from ._call import ComputeCall, invalid
from ._versions import Members

MEMBERS = Members(since={"tag": (2, 49)})
SHOWN = Members(since={"tag": (2, 70)})
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


class AddressBody(Document):
    """A fixed IP."""

    ip_address: str


class InterfaceBody(Document):
    """A port, or a network; without either the one network that there is."""

    port_id: str | UnsetType = UNSET
    net_id: str | UnsetType = UNSET
    fixed_ips: Annotated[list[AddressBody], Meta(min_length=1, max_length=1)] | UnsetType = UNSET
    tag: Annotated[str, Meta(min_length=1, max_length=60, pattern="^[^,/]*$")] | UnsetType = UNSET


def show_interface(call: ComputeCall, found: Plugged) -> dict[str, Any]:
    """One interface."""
    port = found.port
    shown = {
        "port_state": port.status,
        "fixed_ips": [{"subnet_id": each.subnet_id, "ip_address": each.ip_address} for each in port.fixed_ips],
        "port_id": port.id,
        "net_id": port.network_id,
        "mac_addr": port.mac_address,
        "tag": found.interface.tag or None,
    }
    return SHOWN.shown(call.version, shown)


class InterfaceRoutes:
    """``/v2.1/servers/{server_id}/os-interface``."""

    def __init__(self, database: Transactions, poke: Callable[[], None]) -> None:
        """
        :param poke: tasks were ordered in this worker: let them begin now
        """
        self._database = database
        self._poke = poke

    @route("GET", "/v2.1/servers/{server_id}/os-interface")
    async def list_interfaces(self, call: ComputeCall, server_id: str) -> Answer:
        """All that it has, in order; `tag` from 2.70."""
        found = await self._database.read(service.interfaces_of, call.access, server_id)
        return Answer(200, {"interfaceAttachments": [show_interface(call, each) for each in found]})

    @route("POST", "/v2.1/servers/{server_id}/os-interface")
    async def attach(self, call: ComputeCall, server_id: str) -> Answer:
        """200 with a new one, which its host plugs now: of a port, of a network, or of the one network there is."""
        wanted = _wanted(await call.read_body("interfaceAttachment", InterfaceBody, MEMBERS))
        order = call.order(server_id)
        made = await self._database.write(service.attach_interface, order, wanted)
        self._poke()
        return Answer(200, {"interfaceAttachment": show_interface(call, made)})

    @route("GET", "/v2.1/servers/{server_id}/os-interface/{port_id}")
    async def show(self, call: ComputeCall, server_id: str, port_id: str) -> Answer:
        """One interface."""
        found = await self._database.read(service.one_interface, call.access, server_id, port_id)
        return Answer(200, {"interfaceAttachment": show_interface(call, found)})

    @route("DELETE", "/v2.1/servers/{server_id}/os-interface/{port_id}")
    async def detach(self, call: ComputeCall, server_id: str, port_id: str) -> Answer:
        """202: its host unplugs it now; a port that was made for the server goes, another one is free again."""
        order = call.order(server_id)
        await self._database.write(service.detach_interface, order, port_id)
        self._poke()
        return Answer(202)


def _wanted(body: InterfaceBody) -> NewInterface:
    """
    :raises Fault: 400 with what is wrong
    """
    port_id = "" if isinstance(body.port_id, UnsetType) else _uuid("port_id", body.port_id)
    network_id = "" if isinstance(body.net_id, UnsetType) else _uuid("net_id", body.net_id)
    given = [] if isinstance(body.fixed_ips, UnsetType) else body.fixed_ips
    if port_id and network_id:
        raise bad_request("Must not input both network_id and port_id")
    if given and not network_id:
        raise bad_request("Must input network_id when request IP address")
    return NewInterface(
        port_id=port_id,
        network_id=network_id,
        addresses=tuple(_address(place, each.ip_address) for place, each in enumerate(given)),
        tag="" if isinstance(body.tag, UnsetType) else body.tag,
    )


def _uuid(path: str, given: str) -> str:
    if not _UUID.fullmatch(given):
        raise invalid(f"Value: {given[:60]}. It is no UUID.", f"interfaceAttachment.{path}")
    return given


def _address(place: int, given: str) -> str:
    try:
        return str(ipaddress.ip_address(given))
    except ValueError:
        path = f"interfaceAttachment.fixed_ips.{place}.ip_address"
        raise invalid(f"Value: {given[:60]}. It is no IP address.", path) from None
