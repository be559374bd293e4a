# -*- test-case-name: tests.compute.test_claims -*-
"""
What servers hold of hosts: functions with a ``sqlalchemy.Connection``.

Whoever writes a claim has looked in the same transaction whether there is room, and writes are one after another in the
whole cloud; so no host ever promises more than it may, however many ask at once.

While a resize can be taken back a server has two claims on its host, of which the larger counts, by each resource: it
needs no more than that, whichever way the resize ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from attrs import asdict, frozen
from sqlalchemy import ColumnElement, Connection, Select, bindparam, delete, func, insert, select, update

from cloudd.database import now_us, tables
from cloudd.interfaces.scheduling import Need

from .._errors import NoRoom
from .._facts import Flavor
from ..servers._facts import Server

SERVER: Final = "server"
RESIZE: Final = "resize"

_table, _hosts = tables.server_claim, tables.compute_host
_c = _table.c
_CHUNK = 500
NOTHING: Final = Need(vcpus=0, memory_mib=0, disk_gib=0)
_MIB_IN_GIB = 1024
_GIB = 1 << 30

_EACH = select(
    _c.node_id,
    func.max(_c.vcpus).label("vcpus"),
    func.max(_c.memory_mib).label("memory_mib"),
    func.max(_c.disk_gib).label("disk_gib"),
).group_by(_c.node_id, _c.server_id)


def _sums(each: Select[Any]) -> Select[Any]:
    held = each.subquery().c
    sums = (held.node_id, func.sum(held.vcpus), func.sum(held.memory_mib), func.sum(held.disk_gib))
    return select(*sums).group_by(held.node_id)


# To build a statement takes as long as to execute it, and these are executed for each server that is placed.
_IDS: Any = bindparam("ids", expanding=True)
_SUMS, _SUMS_OF = _sums(_EACH), _sums(_EACH.where(_c.node_id.in_(_IDS)))
_OF_SERVERS = select(_table).where(_c.server_id.in_(_IDS)).order_by(_c.server_id, _c.purpose)


@frozen
class Claim:
    """
    What a server holds of a host.

    :ivar purpose: ``SERVER`` or ``RESIZE``
    """

    server_id: str
    node_id: str
    need: Need
    purpose: str = SERVER


def need_of(flavor: Flavor, image_bytes: int = 0) -> Need:
    """
    What a server of that flavor takes of its host.

    :param image_bytes: size of the image as a disk: how large the root disk is where the flavor leaves that open
    """
    root = flavor.disk_gib or -(-image_bytes // _GIB)
    swap = -(-flavor.swap_mib // _MIB_IN_GIB)
    return Need(vcpus=flavor.vcpus, memory_mib=flavor.ram_mib, disk_gib=root + flavor.ephemeral_gib + swap)


def claimed(connection: Connection, node_ids: Sequence[str] | None = None) -> dict[str, Need]:
    """
    Id of a node -> what its servers hold of it; those that hold nothing are left out.

    :param node_ids: of these alone, at most some hundreds; None: of all
    """
    rows = connection.execute(_SUMS) if node_ids is None else connection.execute(_SUMS_OF, {"ids": list(node_ids)})
    return {node_id: Need(vcpus=int(v), memory_mib=int(m), disk_gib=int(d)) for node_id, v, m, d in rows}


def write_claims(connection: Connection, claims: Sequence[Claim]) -> None:
    """Write new ones.  The caller has looked in this transaction whether there is room."""
    if not claims:
        return
    rows = [
        {"server_id": each.server_id, "node_id": each.node_id, "purpose": each.purpose, **asdict(each.need)}
        for each in claims
    ]
    connection.execute(insert(_table).values(created_us=now_us()), rows)


def claims_of(connection: Connection, server_ids: Sequence[str]) -> list[Claim]:
    """All that these servers hold."""
    found: list[Claim] = []
    for start in range(0, len(server_ids), _CHUNK):
        rows = connection.execute(_OF_SERVERS, {"ids": list(server_ids[start : start + _CHUNK])})
        found += [_claim(row) for row in rows]
    return found


def claim_resize(connection: Connection, server: Server, flavor: Flavor) -> None:
    """
    Have the server's own host promise what it will be after a resize; safe to call again.

    :param server: it has a host, where it stays
    :raises NoRoom: its host has not enough; its cause is for the tenant
    """
    before = next((each for each in claims_of(connection, [server.id]) if each.purpose == SERVER), None)
    if before is None or before.node_id != server.node_id:
        raise NoRoom("No valid host was found. The server holds nothing of a host: delete it, or try again later.")
    held, after = before.need, need_of(flavor)
    if not flavor.disk_gib:
        after = Need(vcpus=after.vcpus, memory_mib=after.memory_mib, disk_gib=max(held.disk_gib, after.disk_gib))
    release_claims(connection, server.id, RESIZE)
    more = Need(
        vcpus=after.vcpus - held.vcpus,
        memory_mib=after.memory_mib - held.memory_mib,
        disk_gib=after.disk_gib - held.disk_gib,
    )
    lacks = _lacking(more, _free(connection, server.node_id))
    if lacks:
        raise NoRoom(f"No valid host was found. The server's host, where it stays, has not {' and '.join(lacks)}.")
    write_claims(connection, [Claim(server.id, server.node_id, after, RESIZE)])


def keep_resize(connection: Connection, server_id: str) -> None:
    """A resize is confirmed: what was claimed for the new size is what the server holds; safe to call again."""
    resized = (_c.server_id == server_id, _c.purpose == RESIZE)
    if connection.execute(select(_c.server_id).where(*resized)).first() is not None:
        release_claims(connection, server_id, SERVER)
        connection.execute(update(_table).where(*resized).values(purpose=SERVER))


def release_claims(connection: Connection, server_id: str, purpose: str | None = None) -> None:
    """
    The server holds nothing of any host any more; safe to call again.

    :param purpose: only what it holds for that: a resize that is taken back; None: all
    """
    gone: list[ColumnElement[bool]] = [_c.server_id == server_id]
    if purpose is not None:
        gone.append(_c.purpose == purpose)
    connection.execute(delete(_table).where(*gone))


def _free(connection: Connection, node_id: str) -> Need:
    """What is left of one host; nothing is left of one that there is not."""
    row = connection.execute(select(_hosts).where(_hosts.c.node_id == node_id)).first()
    if row is None:
        return NOTHING
    held = claimed(connection, [node_id]).get(node_id, NOTHING)
    return Need(
        vcpus=int(row.vcpus * row.vcpu_ratio) - held.vcpus,
        memory_mib=int(row.memory_mib * row.memory_ratio) - held.memory_mib,
        disk_gib=int(row.disk_gib * row.disk_ratio) - held.disk_gib,
    )


def _lacking(more: Need, free: Need) -> list[str]:
    """What is not there, in words."""
    parts = (
        (more.vcpus, free.vcpus, "more free vCPUs"),
        (more.memory_mib, free.memory_mib, "MiB more free memory"),
        (more.disk_gib, free.disk_gib, "GiB more free disk"),
    )
    return [f"{needed} {words}" for needed, left, words in parts if needed > max(0, left)]


def _claim(row: Any) -> Claim:
    need = Need(vcpus=row.vcpus, memory_mib=row.memory_mib, disk_gib=row.disk_gib)
    return Claim(row.server_id, row.node_id, need, row.purpose)
