# -*- test-case-name: tests.protocols.rest.compute.test_hosts -*-
"""
What is told of machines: the registry of nodes and the hosts that run servers, as Nova's services.  Rights included.

Each node has a service ``cloudd-agent``, which ``cloudctl node`` rules; one that runs servers has a ``nova-compute``,
too, which takes no new ones while it is disabled.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Row, select, update

from cloudd.database import now_us, tables
from cloudd.identity import Access
from cloudd.nodes import Node, node_rows

from .. import _policy
from .._errors import BadComputeValue, NoSuchRecord
from ._hypervisors import number_of

ZONE = "nova"
INTERNAL_ZONE = "internal"
BINARY = "cloudd-agent"
COMPUTE = "nova-compute"
_hosts = tables.compute_host


@frozen(kw_only=True)
class ComputeService:
    """
    What a node does for servers.

    :ivar id: a UUID, with or without dashes
    :ivar number: the same as a whole number, for clients of old versions
    :ivar is_up: it has said something of late, and can do its work
    :ivar is_enabled: it takes new work
    """

    id: str
    number: int
    host: str
    binary: str
    zone: str
    is_up: bool
    is_enabled: bool
    disabled_reason: str | None
    updated_us: int | None


def services(connection: Connection, access: Access, host: str = "", binary: str = "") -> list[ComputeService]:
    """
    By host.

    :param host: only of this one; ``binary`` likewise
    :raises ComputeForbidden: it is for administrators
    """
    _policy.enforce_admin(access, "os-services:list")
    found = _all(connection)
    return [each for each in found if host in ("", each.host) and binary in ("", each.binary)]


def one_service(connection: Connection, access: Access, service_id: str) -> ComputeService:
    """
    :param service_id: a UUID
    :raises NoSuchRecord:
    """
    for each in services(connection, access):
        if service_id in (each.id, str(uuid.UUID(each.id))):
            return each
    raise NoSuchRecord(f"Service {service_id[:64]} could not be found.")


def set_service(
    connection: Connection, access: Access, host: str, binary: str, enabled: bool, reason: str = ""
) -> ComputeService:
    """
    Let a host have new servers, or none.

    :param reason: why not
    :raises NoSuchRecord: there is no such service
    :raises BadComputeValue: it is one that nodes have, whatever they do
    """
    _policy.enforce_admin(access, "os-services:update")
    found = services(connection, access, host, binary)
    if not host or not binary or not found:
        raise NoSuchRecord(f"Could not find binary {binary[:60]} on host {host[:60]}.")
    if binary != COMPUTE:
        raise BadComputeValue(
            f"Updating a {binary[:60]} service is not supported. Only {COMPUTE} services can be updated; "
            "use `cloudctl node drain` and `cloudctl node remove`."
        )
    values = {"is_enabled": enabled, "disabled_reason": "" if enabled else reason, "updated_us": now_us()}
    connection.execute(update(_hosts).where(_hosts.c.name == host).values(**values))
    return services(connection, access, host, binary)[0]


def zones(connection: Connection) -> dict[str, bool]:
    """Name -> whether a host in it takes servers now; the default one is there without hosts, too.  For everybody."""
    found: dict[str, bool] = {}
    for each in _all(connection):
        if each.binary == COMPUTE:
            found[each.zone] = found.get(each.zone, False) or (each.is_enabled and each.is_up)
    return dict(sorted({ZONE: True, **found}.items()))


def _all(connection: Connection) -> list[ComputeService]:
    now: int = connection.execute(select(now_us())).scalar_one()
    hosts = {row.node_id: row for row in connection.execute(select(_hosts))}
    return [each for node in node_rows(connection, removed=False) for each in _services(node, hosts, now)]


def _services(node: Node, hosts: Mapping[str, Row[Any]], now: int) -> list[ComputeService]:
    updated = None if node.age_s is None else now - int(node.age_s * 1_000_000)
    takes_work = node.state in ("joining", "ready")
    agent = ComputeService(
        id=node.id,
        number=number_of(node.id),
        host=node.name,
        binary=BINARY,
        zone=INTERNAL_ZONE,
        is_up=not node.is_silent,
        is_enabled=takes_work,
        disabled_reason=None if takes_work else "the node takes no new work",
        updated_us=updated,
    )
    row = hosts.get(node.id)
    return [agent] if row is None else [agent, _compute(node, row, updated)]


def compute_service_id(node_id: str) -> tuple[str, int]:
    """Of a host's ``nova-compute``: a UUID without dashes, and the same as a number."""
    service_id = uuid.uuid5(uuid.UUID(node_id), COMPUTE).hex
    return service_id, number_of(service_id)


def _compute(node: Node, row: Row[Any], updated: int | None) -> ComputeService:
    service_id, number = compute_service_id(node.id)
    return ComputeService(
        id=service_id,
        number=number,
        host=row.name,
        binary=COMPUTE,
        zone=row.zone or ZONE,
        is_up=not node.is_silent and not row.trouble,
        is_enabled=row.is_enabled,
        disabled_reason=None if row.is_enabled else row.disabled_reason or None,
        updated_us=max(row.updated_us, updated or 0),
    )
