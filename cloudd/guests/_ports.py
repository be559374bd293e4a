# -*- test-case-name: tests.guests.test_steps -*-
"""The ports of a server: made or bound when its build begins, in one transaction, and let go when it fails or goes."""

from __future__ import annotations

from sqlalchemy import Connection

from cloudd.compute import Interface, Server, WantedNetwork, add_interface
from cloudd.network import Port, Room, WantedIP, bind_port, create_port, one_network

from ._means import on_behalf

OWNER = "compute:"


def give_ports(connection: Connection, server: Server, zone: str) -> list[str]:
    """
    What was asked for, on the server's host.

    :param zone: of that host
    :return: their ids, in order; those that it has already, where it has some
    :raises NetworkError: one cannot be had; nothing was written once the transaction is undone
    """
    if server.interfaces:
        for interface in server.interfaces:
            bind_port(connection, interface.port_id, server.id, OWNER + zone, server.host)
        return [each.port_id for each in server.interfaces]
    room, port_ids = Room(), []
    for position, wanted in enumerate(server.networks):
        if wanted.port_id:
            port = bind_port(connection, wanted.port_id, server.id, OWNER + zone, server.host)
        else:
            port = _made(connection, server, wanted, zone, room)
        is_ours = not wanted.port_id
        add_interface(
            connection, server.id, Interface(port_id=port.id, position=position, tag=wanted.tag, is_ours=is_ours)
        )
        port_ids.append(port.id)
    return port_ids


def _made(connection: Connection, server: Server, wanted: WantedNetwork, zone: str, room: Room) -> Port:
    access = on_behalf(server)
    network = one_network(connection, access, wanted.network_id)
    groups = server.security_groups if network.port_security_enabled else ()
    port = Port(
        id="",
        project_id=server.project_id,
        network_id=wanted.network_id,
        mac_address="",
        device_id=server.id,
        device_owner=OWNER + zone,
        host=server.host,  # not named below: the project may not choose it, and it is not the project that does
        security_group_ids=groups,
    )
    addresses = [WantedIP(ip_address=wanted.fixed_ip)] if wanted.fixed_ip else None
    given = frozenset({"security_group_ids"} if groups else ())
    return create_port(connection, access, port, addresses, given, room)
