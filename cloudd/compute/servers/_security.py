# -*- test-case-name: tests.protocols.rest.compute.test_interfaces -*-
"""
Security groups of a server, which are those of its ports: functions with a ``sqlalchemy.Connection``.

As long as it has no ports, they are those that its ports will be made with; none noted means the default one alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from sqlalchemy import Connection

from cloudd.network import (
    Listing,
    NetworkError,
    Port,
    SecurityGroup,
    default_of,
    listed_groups,
    one_group,
    one_port,
    update_port,
)

from .._errors import BadComputeValue, ComputeConflict, NoSuchRecord
from ._access import Order, server_to_change
from ._facts import Server
from ._rows import change_server


def add_security_group(connection: Connection, order: Order, name: str) -> None:
    """
    All its ports get the group; one that they have stays.

    :param name: or id
    :raises NoSuchRecord: there is no such group
    :raises ComputeConflict: there are several of that name
    :raises BadComputeValue: none of its ports can have one
    """
    server = server_to_change(connection, order, "os-security-groups:add", locked=True)
    group = _group(connection, order, server, name)
    if not server.interfaces:
        _note(connection, server, dict.fromkeys((*_noted(connection, server), group.id)))
        return
    fit = [port for port in _ports(connection, order, server) if port.port_security_enabled]
    if not fit:
        raise BadComputeValue(
            "Network requires port_security_enabled and subnet associated in order to apply security groups. "
            f"No port of instance {server.id} has both."
        )
    for port in fit:
        if group.id not in port.security_group_ids:
            _set(connection, order, port, (*port.security_group_ids, group.id))


def remove_security_group(connection: Connection, order: Order, name: str) -> None:
    """
    None of its ports has the group any more.

    :param name: or id
    :raises NoSuchRecord: there is no such group, or none of its ports has it
    :raises ComputeConflict: there are several of that name, or it has no ports yet and would have no group
    """
    server = server_to_change(connection, order, "os-security-groups:remove", locked=True)
    group = _group(connection, order, server, name)
    if not server.interfaces:
        _remove_noted(connection, server, group, name)
        return
    having = [port for port in _ports(connection, order, server) if group.id in port.security_group_ids]
    if not having:
        raise _not_associated(server, name)
    for port in having:
        _set(connection, order, port, tuple(each for each in port.security_group_ids if each != group.id))


def _remove_noted(connection: Connection, server: Server, group: SecurityGroup, name: str) -> None:
    noted = _noted(connection, server)
    if group.id not in noted:
        raise _not_associated(server, name)
    left = [each for each in noted if each != group.id]
    if not left:
        raise ComputeConflict(
            f"Instance {server.id} has no ports yet, which are made with one security group at least: try again later."
        )
    _note(connection, server, left)


def _not_associated(server: Server, name: str) -> NoSuchRecord:
    return NoSuchRecord(f"Security group {name[:255]} not associated with the instance {server.id}")


def _noted(connection: Connection, server: Server) -> tuple[str, ...]:
    """Ids."""
    return server.security_groups or (default_of(connection, server.project_id),)


def _note(connection: Connection, server: Server, groups: Iterable[str]) -> None:
    ids = list(groups)
    alone = ids == [default_of(connection, server.project_id)]
    change_server(connection, server.id, security_groups=json.dumps([] if alone else ids))


def _group(connection: Connection, order: Order, server: Server, name: str) -> SecurityGroup:
    try:
        return one_group(connection, order.access, name)
    except NetworkError:
        pass
    default_of(connection, server.project_id)
    filters = {"name": [name], "project_id": [server.project_id]}
    found = listed_groups(connection, order.access, Listing(filters=filters))
    if len(found) > 1:
        raise ComputeConflict(f"Multiple security groups found matching '{name[:255]}'. Use an ID to be more specific.")
    if not found:
        raise NoSuchRecord(f"Security group {name[:255]} not found for project {server.project_id}.")
    return found[0]


def _ports(connection: Connection, order: Order, server: Server) -> list[Port]:
    found = []
    for interface in server.interfaces:
        try:
            found.append(one_port(connection, order.access, interface.port_id))
        except NetworkError:  # it was deleted behind the server's back
            continue
    return found


def _set(connection: Connection, order: Order, port: Port, groups: tuple[str, ...]) -> None:
    try:
        update_port(connection, order.access, port.id, {"security_group_ids": groups}, None)
    except NetworkError as error:
        raise BadComputeValue(error.cause) from None
