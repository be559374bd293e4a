# -*- test-case-name: tests.protocols.rest.compute.test_diagnostics -*-
"""What is known of a server that runs, without asking its host; for administrators."""

from __future__ import annotations

from attrs import frozen
from sqlalchemy import Connection, select

from cloudd.database import now_us, tables
from cloudd.identity import Access
from cloudd.interfaces.servers import Power

from .. import _policy
from .._errors import ComputeConflict
from ..flavors._flavors import flavor_record
from ._access import server_to_read
from ._facts import Server

_hosts = tables.compute_host
RULE = "os-server-diagnostics"


@frozen(kw_only=True)
class Diagnostics:
    """
    One server.

    :ivar kind: of its host's hypervisor
    :ivar up_s: since it was started first
    :ivar disks: how many it has
    :ivar macs: of its interfaces, in order
    """

    power: Power
    kind: str
    up_s: int
    config_drive: bool
    vcpus: int
    memory_mib: int
    disks: int
    macs: tuple[str, ...]


def diagnostics(connection: Connection, access: Access, server_id: str) -> Diagnostics:
    """
    :raises NoSuchRecord: also where it is another project's
    :raises ComputeForbidden: it is for administrators
    :raises ComputeConflict: it is on no host yet
    """
    server = server_to_read(connection, access, server_id, RULE)
    _policy.enforce_admin(access, RULE)
    if not server.node_id or server.launched_us is None:
        raise ComputeConflict(f"Instance {server.id} is not ready")
    now: int = connection.execute(select(now_us())).scalar_one()
    kind = connection.execute(select(_hosts.c.kind).where(_hosts.c.node_id == server.node_id)).scalar()
    flavor = flavor_record(connection, server.flavor)
    return Diagnostics(
        power=server.power,
        kind=kind or "",
        up_s=max(0, now - server.launched_us) // 1_000_000,
        config_drive=server.config_drive,
        vcpus=flavor.vcpus,
        memory_mib=flavor.ram_mib,
        disks=1 + bool(flavor.ephemeral_gib) + bool(flavor.swap_mib),
        macs=_macs(connection, server),
    )


def _macs(connection: Connection, server: Server) -> tuple[str, ...]:
    ports = tables.port.c
    places = {each.port_id: each.position for each in server.interfaces}
    rows = connection.execute(select(ports.id, ports.mac_address).where(ports.id.in_(sorted(places)))).all()
    return tuple(mac for _, mac in sorted(rows, key=lambda row: places[row[0]]))
