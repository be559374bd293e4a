# -*- test-case-name: tests.protocols.rest.compute.test_machines -*-
"""What is used of one host, as its servers' projects have it; and which hosts there are.  For administrators."""

from __future__ import annotations

from attrs import frozen
from sqlalchemy import Connection, func, select

from cloudd.database import now_us, tables
from cloudd.identity import Access
from cloudd.interfaces.scheduling import Need

from .. import _policy
from .._errors import NoSuchRecord
from ._claims import claimed
from ._hosts import COMPUTE, ComputeService, services

_hosts, _servers, _flavors = tables.compute_host, tables.server, tables.flavor
_NOTHING = Need(vcpus=0, memory_mib=0, disk_gib=0)


@frozen(kw_only=True)
class HostUsage:
    """
    One host.

    :ivar total: that there is
    :ivar held: that its servers were promised
    :ivar projects: id -> what its servers' flavors come to
    """

    name: str
    total: Need
    held: Need
    projects: dict[str, Need]


def host_services(connection: Connection, access: Access, zone: str = "") -> list[ComputeService]:
    """
    What nodes do, by host.

    :param zone: of this one alone; empty: of all
    :raises ComputeForbidden: it is for administrators
    """
    _policy.enforce_admin(access, "os-hosts:list")
    return [each for each in services(connection, access) if zone in ("", each.zone)]


def compute_hosts(connection: Connection, access: Access, rule: str) -> tuple[int, list[str]]:
    """
    The time, in microseconds, and the names of all hosts that run servers.

    :param rule: as in Nova's policies, without ``os_compute_api:``
    :raises ComputeForbidden: it is for administrators
    """
    _policy.enforce_admin(access, rule)
    now: int = connection.execute(select(now_us())).scalar_one()
    return now, [each.host for each in services(connection, access, binary=COMPUTE)]


def known_host(connection: Connection, access: Access, host: str, rule: str) -> str:
    """
    :param rule: as in Nova's policies, without ``os_compute_api:``
    :raises NoSuchRecord: there is no host of that name that runs servers
    """
    _policy.enforce_admin(access, rule)
    if not host or not services(connection, access, host, COMPUTE):
        raise NoSuchRecord(f"Compute host {host[:255]} could not be found.")
    return host


def host_usage(connection: Connection, access: Access, host: str) -> HostUsage:
    """
    :param host: its name
    :raises NoSuchRecord:
    """
    known_host(connection, access, host, "os-hosts:show")
    # Of nodes of one name all but one were removed; that is the one which said something last.
    query = select(_hosts).where(_hosts.c.name == host).order_by(_hosts.c.updated_us.desc())
    row = connection.execute(query.limit(1)).one()
    total = Need(vcpus=row.vcpus, memory_mib=row.memory_mib, disk_gib=row.disk_gib)
    held = claimed(connection, [row.node_id]).get(row.node_id, _NOTHING)
    return HostUsage(name=host, total=total, held=held, projects=_projects(connection, row.node_id))


def _projects(connection: Connection, node_id: str) -> dict[str, Need]:
    size = _flavors.c
    sums = (func.sum(size.vcpus), func.sum(size.ram_mib), func.sum(size.disk_gib + size.ephemeral_gib))
    query = select(_servers.c.project_id, *sums).join(_flavors, size.id == _servers.c.flavor)
    query = query.where(_servers.c.node_id == node_id, _servers.c.deleted_us.is_(None))
    rows = connection.execute(query.group_by(_servers.c.project_id).order_by(_servers.c.project_id))
    return {project: Need(vcpus=int(v), memory_mib=int(m), disk_gib=int(d)) for project, v, m, d in rows}
