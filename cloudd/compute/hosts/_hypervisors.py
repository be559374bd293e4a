# -*- test-case-name: tests.protocols.rest.compute.test_hypervisors -*-
"""Hosts that run servers, with what is used of them: functions with a ``sqlalchemy.Connection``, rights included."""

from __future__ import annotations

import ipaddress
import zlib
from collections.abc import Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Row, func, select

from cloudd.database import tables
from cloudd.identity import Access
from cloudd.interfaces.scheduling import Need
from cloudd.nodes import Node, node_rows

from .. import _policy
from .._errors import NoSuchRecord
from ._claims import NOTHING, claimed

_hosts, _servers = tables.compute_host, tables.server
LOOPBACK = "127.0.0.1"


@frozen(kw_only=True)
class HypervisorServer:
    """A server on a host."""

    id: str
    name: str


@frozen(kw_only=True)
class Hypervisor:
    """
    A host that runs servers.

    :ivar id: the node's; ``number``: the same as a whole number, for clients of old versions
    :ivar address: IP address, as far as it is known
    :ivar vcpus: that there are; ``vcpus_used``: that servers were promised, likewise for memory and disk
    :ivar count: how many servers are on it; ``busy``: to how many of them something is being done
    :ivar up_s: since the machine was started, as it said last, with its load; None: it did not say
    :ivar servers: all that are on it, where they were asked for
    """

    id: str
    number: int
    name: str
    address: str
    kind: str
    version: int
    architecture: str
    cpu_model: str
    vcpus: int
    vcpus_used: int
    memory_mib: int
    memory_mib_used: int
    disk_gib: int
    disk_gib_used: int
    count: int
    busy: int
    is_up: bool
    is_enabled: bool
    disabled_reason: str
    up_s: int | None = None
    load: float = 0.0
    servers: tuple[HypervisorServer, ...] = ()


def hypervisors(
    connection: Connection, access: Access, rule: str = "list-detail", *, with_servers: bool = False
) -> list[Hypervisor]:
    """
    By number, which is the order of pages.

    :param rule: of Nova's policies for hypervisors
    :raises ComputeForbidden: it is for administrators
    """
    _policy.enforce_admin(access, f"os-hypervisors:{rule}")
    nodes = {node.id: node for node in node_rows(connection, removed=False)}
    rows = [row for row in connection.execute(select(_hosts)) if row.node_id in nodes]
    used, counts = claimed(connection), _counts(connection)
    servers = _servers_on(connection) if with_servers else {}
    found = [
        _hypervisor(
            row,
            nodes[row.node_id],
            used.get(row.node_id, NOTHING),
            counts.get(row.node_id, (0, 0)),
            tuple(servers.get(row.node_id, ())),
        )
        for row in rows
    ]
    return sorted(found, key=lambda each: (each.number, each.id))


def one_hypervisor(
    connection: Connection, access: Access, hypervisor_id: str, rule: str = "show", *, with_servers: bool = False
) -> Hypervisor:
    """
    :param hypervisor_id: its number, or the node's id
    :raises NoSuchRecord:
    """
    for each in hypervisors(connection, access, rule, with_servers=with_servers):
        if hypervisor_id in (each.id, str(each.number)):
            return each
    raise NoSuchRecord(f"Hypervisor with ID '{hypervisor_id[:64]}' could not be found.")


def matching(found: Sequence[Hypervisor], pattern: str) -> list[Hypervisor]:
    """
    Those whose names have this in them.

    :raises NoSuchRecord: there is none
    """
    some = [each for each in found if pattern in each.name]
    if not some:
        raise NoSuchRecord(f"No hypervisor matching '{pattern[:60]}' could be found.")
    return some


def number_of(words: str) -> int:
    """A whole number for clients of versions that had no UUIDs."""
    return zlib.crc32(words.encode("utf-8")) & 0x7FFFFFFF


def _counts(connection: Connection) -> dict[str, tuple[int, int]]:
    """Node -> how many servers are on it, and how many of them are busy."""
    columns = _servers.c
    query = select(columns.node_id, func.count(), func.count(columns.task_state))
    query = query.where(columns.deleted_us.is_(None), columns.node_id.is_not(None)).group_by(columns.node_id)
    return {node: (count, busy) for node, count, busy in connection.execute(query)}


def _servers_on(connection: Connection) -> dict[str, list[HypervisorServer]]:
    columns = _servers.c
    query = select(columns.id, columns.name, columns.node_id)
    query = query.where(columns.deleted_us.is_(None), columns.node_id.is_not(None)).order_by(columns.id)
    found: dict[str, list[HypervisorServer]] = {}
    for row in connection.execute(query):
        found.setdefault(row.node_id, []).append(HypervisorServer(id=row.id, name=row.name))
    return found


def _hypervisor(
    row: Row[Any],
    node: Node,
    used: Need,
    counts: tuple[int, int],
    servers: tuple[HypervisorServer, ...],
) -> Hypervisor:
    count, busy = counts
    return Hypervisor(
        id=row.node_id,
        number=number_of(row.node_id),
        name=row.name,
        address=_ip(node.address),
        kind=row.kind,
        version=row.hypervisor_version,
        architecture=row.architecture,
        cpu_model=row.cpu_model,
        vcpus=row.vcpus,
        vcpus_used=used.vcpus,
        memory_mib=row.memory_mib,
        memory_mib_used=used.memory_mib,
        disk_gib=row.disk_gib,
        disk_gib_used=used.disk_gib,
        count=count,
        busy=busy,
        is_up=not node.is_silent and not row.trouble,
        is_enabled=row.is_enabled,
        disabled_reason=row.disabled_reason,
        up_s=node.load.get("up_s"),
        load=float(node.load.get("load1", 0.0)),
        servers=servers,
    )


def _ip(address: str) -> str:
    """Of ``HOST:PORT``; the loopback where the host is a name, or a single machine that no other one reaches."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return LOOPBACK
