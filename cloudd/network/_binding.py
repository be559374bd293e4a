# -*- test-case-name: tests.guests.test_steps -*-
"""
Ports and the devices that have them: for the service of a device, without rights, in its own transactions.

Whoever may give a port to a server was asked when the server was made.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve
from sqlalchemy import Connection, select, update

from cloudd.database import now_us, tables

from ._allocation import give_back
from ._errors import NetworkConflict, NoSuchResource
from ._facts import DOWN, Port
from ._rows import PORT, change, get, remove

_c = tables.port.c


def port_record(connection: Connection, port_id: str) -> Port:
    """
    :raises NoSuchResource:
    """
    found: Port = get(connection, PORT, port_id)
    return found


def bind_port(connection: Connection, port_id: str, device_id: str, device_owner: str, host: str) -> Port:
    """
    A device has it on that host; safe to call again.

    :raises NoSuchResource:
    :raises NetworkConflict: another device has it
    """
    before = port_record(connection, port_id)
    if before.device_id not in ("", device_id):
        raise NetworkConflict("PortInUse", f"Port {port_id} is still in use.")
    after = evolve(before, device_id=device_id, device_owner=device_owner, host=host)
    if after == before:
        return before
    bound: Port = change(connection, PORT, before, after)
    return bound


def unbind_port(connection: Connection, port_id: str, device_id: str, *, is_last: bool = False) -> None:
    """
    That device has it no more; of one that is gone or another device's nothing is changed.

    :param is_last: no other device has it, whatever its project has written there since: no host has it either
    """
    try:
        before = port_record(connection, port_id)
    except NoSuchResource:
        return
    if before.device_id == device_id:
        change(connection, PORT, before, evolve(before, device_id="", device_owner="", host="", status=DOWN))
    elif is_last and before.host:
        change(connection, PORT, before, evolve(before, host="", status=DOWN))


def forget_port(connection: Connection, port_id: str) -> None:
    """Delete one that was made for a device; none there is no error."""
    give_back(connection, port_id)
    remove(connection, PORT, port_id)


def set_port_status(connection: Connection, port_ids: list[str], status: str) -> None:
    """``ACTIVE`` or ``DOWN``, of those that there are."""
    changed: dict[str, Any] = {"status": status, "revision": _c.revision + 1, "updated_us": now_us()}
    connection.execute(update(tables.port).where(_c.id.in_(port_ids), _c.status != status).values(**changed))


def mtus_of(connection: Connection, port_ids: list[str]) -> dict[str, int]:
    """Port -> what its network carries in one packet."""
    networks = tables.network
    query = select(_c.id, networks.c.mtu).join(networks, networks.c.id == _c.network_id)
    return {row[0]: row[1] for row in connection.execute(query.where(_c.id.in_(port_ids)))}
