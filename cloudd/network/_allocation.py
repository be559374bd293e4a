# -*- test-case-name: tests.network.test_allocation -*-
"""
Which address goes to which port: functions with a ``sqlalchemy.Connection``.

An address is a row whose key it is, written in the transaction that makes the port, so none is given twice.  One behind
the highest that is given is taken first, and when a pool has come to its end the first gap: so what was just given back
rests for a while.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, delete, func, insert, select

from cloudd.database import tables

from ._addresses import free_in, key_of, network_of, spans_of, text_of
from ._errors import BadNetworkValue, NetworkConflict
from ._facts import FixedIP, Pool, Subnet

_table = tables.port_address
_c = _table.c
_CHUNK = 1_000


def take(connection: Connection, subnet: Subnet, address: str, port_id: str, position: int) -> FixedIP:
    """
    A certain address.

    :raises BadNetworkValue: it is not of this subnet
    :raises NetworkConflict: somebody has it
    """
    network = network_of(subnet.cidr)
    key = key_of(address)
    if not int(network.network_address) <= int(key, 16) <= int(network.broadcast_address):
        raise BadNetworkValue(
            f"IP address {address} is not a valid IP for the specified subnet {subnet.id}.", "InvalidIpForSubnet"
        )
    taken = connection.execute(select(_c.port_id).where(_c.subnet_id == subnet.id, _c.address == key)).first()
    if taken is not None:
        raise NetworkConflict(
            "IpAddressAlreadyAllocated", f"IP address {address} already allocated in subnet {subnet.id}"
        )
    return _write(connection, subnet, key, port_id, position)


def take_any(connection: Connection, subnet: Subnet, port_id: str, position: int) -> FixedIP | None:
    """One out of the subnet's pools; None: all are given."""
    for first, last in spans_of(subnet.allocation_pools):
        highest = _highest(connection, subnet.id, first, last)
        if highest is None:
            return _write(connection, subnet, first, port_id, position)
        if highest < last:
            return _write(connection, subnet, f"{int(highest, 16) + 1:032x}", port_id, position)
    for pool in subnet.allocation_pools:
        if (key := _gap(connection, subnet.id, pool)) is not None:
            return _write(connection, subnet, key, port_id, position)
    return None


def give_back(connection: Connection, port_id: str) -> None:
    """All that a port has."""
    connection.execute(delete(_table).where(_c.port_id == port_id))


def addresses_of(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[FixedIP, ...]]:
    """Of each of these ports, in the order in which they were asked for."""
    found: dict[str, list[FixedIP]] = {each: [] for each in ids}
    versions = tables.subnet.c.ip_version
    for start in range(0, len(ids), _CHUNK):
        query = select(_c.port_id, _c.subnet_id, _c.address, versions).join(
            tables.subnet, tables.subnet.c.id == _c.subnet_id
        )
        query = query.where(_c.port_id.in_(ids[start : start + _CHUNK])).order_by(_c.port_id, _c.position)
        for row in connection.execute(query):
            found[row.port_id].append(FixedIP(row.subnet_id, text_of(row.address, row.ip_version)))
    return {each: tuple(addresses) for each, addresses in found.items()}


def in_use(connection: Connection, subnet_id: str, without: str = "") -> int:
    """
    How many addresses of a subnet are given.

    :param without: not to ports of this owner
    """
    query = select(func.count()).select_from(_table.join(tables.port, tables.port.c.id == _c.port_id))
    query = query.where(_c.subnet_id == subnet_id, tables.port.c.device_owner != without)
    return connection.execute(query).scalar_one()


def _highest(connection: Connection, subnet_id: str, first: str, last: str) -> str | None:
    within = (_c.subnet_id == subnet_id, _c.address >= first, _c.address <= last)
    found: str | None = connection.execute(select(func.max(_c.address)).where(*within)).scalar()
    return found


def _gap(connection: Connection, subnet_id: str, pool: Pool) -> str | None:
    return free_in(pool, _taken(connection, subnet_id, key_of(pool.first), key_of(pool.last)))


def _taken(connection: Connection, subnet_id: str, first: str, last: str) -> Iterator[str]:
    """In order; read in pieces, since the first gap is usually near."""
    behind = ""
    while True:
        query = select(_c.address).where(
            _c.subnet_id == subnet_id, _c.address >= first, _c.address <= last, _c.address > behind
        )
        keys = connection.execute(query.order_by(_c.address).limit(_CHUNK)).scalars().all()
        yield from keys
        if len(keys) < _CHUNK:
            return
        behind = keys[-1]


def _write(connection: Connection, subnet: Subnet, key: str, port_id: str, position: int) -> FixedIP:
    connection.execute(insert(_table).values(subnet_id=subnet.id, address=key, port_id=port_id, position=position))
    return FixedIP(subnet.id, text_of(key, subnet.ip_version))
