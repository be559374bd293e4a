# -*- test-case-name: tests.metadata.test_reading -*-
"""
What the documents are made of, out of the records; and who has an address.

Functions with a ``sqlalchemy.Connection``, asked by cloudd itself: no rights are looked at.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from sqlalchemy import Connection

from cloudd.compute import NoSuchRecord, Server, flavor_record, read_server, zone_of
from cloudd.network import Port, attachments, ports_at

from ._facts import GuestFacts


class NoSuchGuest(Exception):
    """Nobody here has that address, or who has it is told nothing (404)."""


class NotReady(Exception):
    """It is not clear yet whose address that is: ask again (503)."""


def read_facts(connection: Connection, server_id: str) -> GuestFacts:
    """
    Of one server, also of one that is being built.

    :raises cloudd.compute.NoSuchRecord:
    """
    return _facts(connection, read_server(connection, server_id))


def facts_at(connection: Connection, node_id: str, host: str, address: str) -> GuestFacts:
    """
    Of the server of this node which sends from an address.

    A port that another address pair lets send from there does not count.

    :param host: the node's name
    :raises NoSuchGuest: no port of the host has it, or its server is gone or elsewhere
    :raises NotReady: its server is not written yet, or several ports have it and none of them alone is plugged
    """
    if "%" in address:
        raise NoSuchGuest  # of a link only: no port has one
    try:
        shown = str(ipaddress.ip_address(address))
    except ValueError:
        raise NoSuchGuest from None
    port = _the_one(ports_at(connection, host, shown))
    if not port.device_id:
        raise NoSuchGuest
    try:
        server = read_server(connection, port.device_id)
    except NoSuchRecord:
        raise NotReady from None
    if server.deleted_us is not None:
        raise NoSuchGuest
    if not server.node_id or all(each.port_id != port.id for each in server.interfaces):
        raise NotReady
    if server.node_id != node_id:
        raise NoSuchGuest
    return _facts(connection, server)


def _the_one(ports: Sequence[Port]) -> Port:
    """Networks of two projects may have the same addresses; a host plugs one port of each address."""
    if not ports:
        raise NoSuchGuest
    if len(ports) == 1:
        return ports[0]
    plugged = [each for each in ports if each.status == "ACTIVE"]
    if len(plugged) != 1:
        raise NotReady
    return plugged[0]


def _facts(connection: Connection, server: Server) -> GuestFacts:
    return GuestFacts(
        server=server,
        attachments=tuple(attachments(connection, [each.port_id for each in server.interfaces])),
        flavor_name=flavor_record(connection, server.flavor).name,
        zone=zone_of(connection, server),
    )
