# -*- test-case-name: tests.compute.test_progress -*-
"""Hosts of servers, and what is on them, as rows: what a host says of itself and reads of what it is to run."""

from __future__ import annotations

import json
from typing import Any

from attrs import asdict, frozen
from sqlalchemy import Connection, insert, select, update

from cloudd.database import now_us, tables
from cloudd.interfaces.servers import Power

from ..servers._facts import Doing, State, Wanted
from ._aggregate_hosts import follow_aggregates

_hosts, _c = tables.compute_host, tables.server.c
_ON_HOST = (_c.id, _c.state, _c.task_state, _c.wanted, _c.power, _c.updated_us)


@frozen(kw_only=True)
class HostReport:
    """
    What a node that runs servers says of itself, as the columns of ``compute_hosts``.

    :ivar notes: sentences for operators
    :ivar trouble: why it cannot run servers now; empty: it can
    """

    node_id: str
    name: str
    driver: str
    kind: str
    hypervisor_version: int
    vcpus: int
    memory_mib: int
    disk_gib: int
    vcpu_ratio: float
    memory_ratio: float
    disk_ratio: float
    architecture: str
    cpu_model: str
    real: bool
    zone: str = ""
    notes: tuple[str, ...] = ()
    trouble: str = ""


@frozen(kw_only=True)
class OnHost:
    """The part of a server that tells whether it is as it should be."""

    id: str
    state: State
    doing: Doing | None
    wanted: Wanted
    power: Power
    updated_us: int


def is_reported(connection: Connection, report: HostReport) -> bool:
    """Whether all of it is known."""
    before = connection.execute(select(_hosts).where(_hosts.c.node_id == report.node_id)).first()
    return before is not None and all(getattr(before, name) == value for name, value in _values(report).items())


def report_host(connection: Connection, report: HostReport) -> None:
    """Keep it; what operators have set stays."""
    values = {**_values(report), "updated_us": now_us()}
    if not connection.execute(update(_hosts).where(_hosts.c.node_id == report.node_id).values(**values)).rowcount:
        connection.execute(insert(_hosts).values(**values, is_enabled=True, created_us=now_us()))
    follow_aggregates(connection, [report.node_id])


def _values(report: HostReport) -> dict[str, Any]:
    values = asdict(report)
    own_zone = values.pop("zone")
    return {**values, "own_zone": own_zone, "notes": json.dumps(list(report.notes))}


def report_trouble(connection: Connection, node_id: str, trouble: str) -> None:
    """
    :param trouble: why it cannot run servers now; empty: it can.  A node that never ran servers has nothing to say
    """
    mine = update(_hosts).where(_hosts.c.node_id == node_id, _hosts.c.trouble != trouble)
    connection.execute(mine.values(trouble=trouble, updated_us=now_us()))


def driver_of(connection: Connection, node_id: str) -> str:
    """By which its servers run, as it said last; empty: it has none."""
    has = select(_c.id).where(_c.node_id == node_id, _c.deleted_us.is_(None)).limit(1)
    if connection.execute(has).first() is None:
        return ""
    return connection.execute(select(_hosts.c.driver).where(_hosts.c.node_id == node_id)).scalar() or ""


def servers_on(connection: Connection, node_id: str) -> list[OnHost]:
    """All that the host has."""
    query = select(*_ON_HOST)
    return [_on_host(row) for row in connection.execute(query.where(_c.node_id == node_id, _c.deleted_us.is_(None)))]


def servers_named(connection: Connection, node_id: str, server_ids: list[str]) -> list[OnHost]:
    """Those of these that the host has."""
    found: list[OnHost] = []
    for start in range(0, len(server_ids), 500):
        mine = _c.id.in_(server_ids[start : start + 500]), _c.node_id == node_id, _c.deleted_us.is_(None)
        found += [_on_host(row) for row in connection.execute(select(*_ON_HOST).where(*mine))]
    return found


def on_host(connection: Connection, server_id: str, node_id: str) -> OnHost | None:
    """One of those."""
    return next(iter(servers_named(connection, node_id, [server_id])), None)


def were_deleted(connection: Connection, server_ids: list[str]) -> set[str]:
    """Which of these were servers and are gone."""
    found: set[str] = set()
    for start in range(0, len(server_ids), 500):
        some = server_ids[start : start + 500]
        found |= set(connection.execute(select(_c.id).where(_c.id.in_(some), _c.deleted_us.is_not(None))).scalars())
    return found


def _on_host(row: Any) -> OnHost:
    return OnHost(
        id=row.id,
        state=State(row.state),
        doing=Doing(row.task_state) if row.task_state else None,
        wanted=Wanted(row.wanted),
        power=Power(row.power),
        updated_us=row.updated_us,
    )
