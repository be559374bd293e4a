# -*- test-case-name: tests.protocols.rest.compute.test_interfaces -*-
"""
Interfaces of servers: functions with a ``sqlalchemy.Connection``, rights included.

A port is made, or bound, and noted as the server's in the transaction that orders its host to plug it.  When it is to
be unplugged its rows stay until the host has done so.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen
from sqlalchemy import Connection, select

from cloudd.database import tables
from cloudd.identity import Access
from cloudd.network import (
    Listing,
    Network,
    NetworkError,
    NoSuchResource,
    Port,
    WantedIP,
    bind_port,
    create_port,
    listed_networks,
    listed_ports,
    one_network,
    one_port,
)
from cloudd.tasks import open_payloads, submit

from .._errors import BadComputeValue, ComputeConflict, ComputeError, NoSuchRecord, QuotaExceeded
from .._forms import ATTACH, DETACH
from ..hosts._hosts import ZONE
from ._access import Order, server_to_read
from ._actions import allowed, note
from ._facts import Interface, Server
from ._rows import add_interface

RULE = "os-attach-interfaces"
MAX_INTERFACES: Final = 26
_GIVEN: Final = frozenset({"device_id", "device_owner"})


@frozen(kw_only=True)
class NewInterface:
    """
    What is asked for: a port, a network, or neither where the project has one network.

    :ivar addresses: with a network; empty: any
    """

    port_id: str = ""
    network_id: str = ""
    addresses: tuple[str, ...] = ()
    tag: str = ""


@frozen
class Plugged:
    """An interface with its port."""

    interface: Interface
    port: Port


def interfaces_of(connection: Connection, access: Access, server_id: str) -> list[Plugged]:
    """
    In order.

    :raises NoSuchRecord: there is no such server, or who asks may not know of it
    """
    server = server_to_read(connection, access, server_id, f"{RULE}:list")
    ids = [each.port_id for each in server.interfaces]
    if not ids:
        return []
    ports = {each.id: each for each in listed_ports(connection, access, Listing(filters={"id": ids}))}
    return [Plugged(each, ports[each.port_id]) for each in server.interfaces if each.port_id in ports]


def one_interface(connection: Connection, access: Access, server_id: str, port_id: str) -> Plugged:
    """
    :raises NoSuchRecord: there is no such server, or it has no such port
    """
    for each in interfaces_of(connection, access, server_id):
        if each.port.id == port_id:
            return each
    raise NoSuchRecord(f"Port {port_id[:64]} is not attached to instance {server_id}")


def attach(connection: Connection, order: Order, wanted: NewInterface) -> Plugged:
    """
    :raises NoSuchRecord: there is no such server, port or network
    :raises BadComputeValue: what is asked for cannot be had
    :raises ComputeConflict: it is locked or in another state, or a port or address is another's
    """
    server = allowed(connection, order, "attach_interface")
    if len(server.interfaces) >= MAX_INTERFACES:
        raise BadComputeValue(f"Instance {server.id} has {MAX_INTERFACES} interfaces: there can be no more.")
    port = _taken(connection, order, server, wanted) if wanted.port_id else _made(connection, order, server, wanted)
    position = max((each.position for each in server.interfaces), default=-1) + 1
    interface = Interface(port_id=port.id, position=position, tag=wanted.tag, is_ours=not wanted.port_id)
    add_interface(connection, server.id, interface)
    _have_done(connection, order, server, port.id, detach=False)
    return Plugged(interface, port)


def detach(connection: Connection, order: Order, port_id: str) -> None:
    """
    :raises NoSuchRecord: there is no such server, or it has no such port
    :raises ComputeConflict: it is locked or in another state, or the port is still being attached
    """
    server = allowed(connection, order, "detach_interface")
    if port_id not in {each.port_id for each in server.interfaces}:
        raise NoSuchRecord(f"Port {port_id[:64]} is not attached to instance {server.id}")
    if {"server_id": server.id, "port_id": port_id} in open_payloads(connection, [ATTACH]):
        raise ComputeConflict(f"Port {port_id} is being attached to instance {server.id}: try again when it is.")
    _have_done(connection, order, server, port_id, detach=True)


def leaving_ports(connection: Connection, server_id: str) -> frozenset[str]:
    """Ids of those that its host is to detach, and may be at now."""
    payloads = open_payloads(connection, [DETACH])
    return frozenset(str(each["port_id"]) for each in payloads if each["server_id"] == server_id)


def _have_done(connection: Connection, order: Order, server: Server, port_id: str, *, detach: bool) -> None:
    note(connection, order, server, "detach_interface" if detach else "attach_interface")
    submit(
        connection,
        DETACH if detach else ATTACH,
        {"server_id": server.id, "port_id": port_id},
        project_id=server.project_id,
        node_id=server.node_id,
        resource=f"{server.id}/{port_id}",
        request_id=order.request_id,
        once=True,
    )


# ---- a port that there is


def _taken(connection: Connection, order: Order, server: Server, wanted: NewInterface) -> Port:
    try:
        port = one_port(connection, order.access, wanted.port_id)
    except NetworkError:
        raise NoSuchRecord(f"Port id {wanted.port_id[:64]} could not be found.") from None
    if port.project_id != server.project_id:
        raise BadComputeValue(f"Port {port.id} not usable for instance {server.id}.")
    if port.device_id:
        raise ComputeConflict(f"Port {port.id} is still in use.")
    return bind_port(connection, port.id, server.id, _owner(connection, server), server.host)


def _owner(connection: Connection, server: Server) -> str:
    hosts = tables.compute_host.c
    zone: str | None = connection.execute(select(hosts.zone).where(hosts.node_id == server.node_id)).scalar()
    return f"compute:{zone or ZONE}"


# ---- a port that is made


def _made(connection: Connection, order: Order, server: Server, wanted: NewInterface) -> Port:
    network = _network(connection, order, server, wanted.network_id)
    if not network.subnet_ids:
        raise BadComputeValue(f"Network {network.id} requires a subnet in order to boot instances on.")
    port = Port(
        id="",
        project_id=server.project_id,
        network_id=network.id,
        mac_address="",
        device_id=server.id,
        device_owner=_owner(connection, server),
        host=server.host,
    )
    fixed_ips = [WantedIP(ip_address=each) for each in wanted.addresses] or None
    try:
        return create_port(connection, order.access, port, fixed_ips, _GIVEN)
    except NetworkError as error:
        raise _refusal(error) from None


def _refusal(error: NetworkError) -> ComputeError:
    if error.type == "OverQuota":
        return QuotaExceeded(error.cause, "ports")
    return ComputeConflict(error.cause) if error.type == "IpAddressAlreadyAllocated" else BadComputeValue(error.cause)


def _network(connection: Connection, order: Order, server: Server, network_id: str) -> Network:
    if network_id:
        try:
            return one_network(connection, order.access, network_id)
        except NoSuchResource:
            raise NoSuchRecord(f"Network {network_id[:64]} could not be found.") from None
    own = listed_networks(connection, order.access, Listing(filters={"project_id": [server.project_id]}))
    shared = listed_networks(connection, order.access, Listing(filters={"shared": [True]}))
    found = {each.id: each for each in (*own, *shared)}
    if not found:
        raise BadComputeValue(
            f"No specific network was requested and none are available for project '{server.project_id}'."
        )
    if len(found) > 1:
        raise BadComputeValue("Multiple possible networks found, use a Network ID to be more specific.")
    return next(iter(found.values()))
