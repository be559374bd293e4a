# -*- test-case-name: tests.scheduling.test_picture -*-
"""
The picture of all hosts that decisions are made of, and how it stays true.

**Reading** it is three statements, whatever there is: hosts, what servers hold of them, nodes.  That takes a tenth of
a second at ten thousand hosts, in a thread, so it is not done for each decision: ``Picture`` keeps what was read, and
adds what is placed here.  It is read anew when it is older than ``FRESH_S`` and than twenty times what reading takes,
and only when somebody asks.

**What it misses meanwhile** does no harm: the transaction that writes claims looks at the hosts again that it has
chosen, and nobody is refused before all of them were read again (``_placing``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from attrs import define, field
from sqlalchemy import Connection, bindparam, select
from twisted.internet.defer import Deferred

from cloudd.compute import ZONE, claimed
from cloudd.database import tables
from cloudd.interfaces.application import Transactions
from cloudd.interfaces.scheduling import HostPicture, Need
from cloudd.nodes import node_standings

FRESH_S = 1.0
SHARE_OF_READING = 20.0
_CHUNK = 500

_c = tables.compute_host.c
_READ = (
    _c.node_id, _c.name, _c.zone, _c.is_enabled, _c.disabled_reason, _c.trouble, _c.projects, _c.kind, _c.architecture,
    _c.real, _c.vcpus, _c.vcpu_ratio, _c.memory_mib, _c.memory_ratio, _c.disk_gib, _c.disk_ratio,
)  # fmt: skip
_ALL = select(*_READ).order_by(_c.name)
_SOME = _ALL.where(_c.node_id.in_(bindparam("ids", expanding=True)))
_NOTHING = Need(vcpus=0, memory_mib=0, disk_gib=0)
_NO_PROJECTS: frozenset[str] = frozenset()


def read_hosts(connection: Connection, node_ids: Sequence[str] | None = None) -> list[HostPicture]:
    """
    By name.

    :param node_ids: these alone; None: all
    """
    if node_ids is None:
        return _read(connection, None)
    ids = sorted(set(node_ids))
    return [each for start in range(0, len(ids), _CHUNK) for each in _read(connection, ids[start : start + _CHUNK])]


def _read(connection: Connection, node_ids: Sequence[str] | None) -> list[HostPicture]:
    rows: Sequence[Any] = connection.execute(_ALL).all() if node_ids is None else _some(connection, node_ids)
    held, standings = claimed(connection, node_ids), node_standings(connection, node_ids)
    return [_picture(row, held.get(row[0], _NOTHING), standings.get(row[0], "its node was removed")) for row in rows]


def _some(connection: Connection, node_ids: Sequence[str]) -> Sequence[Any]:
    return connection.execute(_SOME, {"ids": list(node_ids)}).all()


def _picture(row: Any, held: Need, standing: str) -> HostPicture:
    (node_id, name, zone, is_enabled, disabled_reason, trouble, projects, kind, architecture, real,
     vcpus, vcpu_ratio, memory, memory_ratio, disk, disk_ratio) = row  # fmt: skip
    vcpus, memory, disk = int(vcpus * vcpu_ratio), int(memory * memory_ratio), int(disk * disk_ratio)
    return HostPicture(
        node_id=node_id,
        name=name,
        zone=zone or ZONE,
        is_enabled=is_enabled,
        disabled_reason=disabled_reason,
        trouble=standing or trouble,
        projects=_NO_PROJECTS if projects == "[]" else frozenset(json.loads(projects)),
        kind=kind,
        architecture=architecture,
        real=real,
        vcpus=vcpus,
        memory_mib=memory,
        disk_gib=disk,
        free_vcpus=vcpus - held.vcpus,
        free_memory_mib=memory - held.memory_mib,
        free_disk_gib=disk - held.disk_gib,
    )


@define(eq=False)
class Picture:
    """
    All hosts, in one worker.

    :param seconds: a clock that only goes forward
    """

    _database: Transactions
    _seconds: Callable[[], float]
    _hosts: dict[str, HostPicture] = field(init=False, factory=dict)
    _read_at: float | None = field(init=False, default=None)
    _took_s: float = field(init=False, default=0.0)
    _waiting: list[Deferred[None]] = field(init=False, factory=list)  # for the reading that goes on
    _next: list[Deferred[None]] = field(init=False, factory=list)  # for the one after it

    async def hosts(self) -> tuple[HostPicture, ...]:
        """
        As they were a moment ago, by name.

        :raises Exception: whatever the database raises
        """
        if self._is_old():
            await self._read_by(self._waiting)
        return tuple(self._hosts.values())

    async def read_anew(self) -> tuple[HostPicture, ...]:
        """
        As they are: nothing is told that was read before this was called.

        :raises Exception: whatever the database raises
        """
        await self._read_by(self._next if self._waiting else self._waiting)
        return tuple(self._hosts.values())

    def note(self, hosts: Iterable[HostPicture]) -> None:
        """So these are now: they were read, or servers were placed on them."""
        for host in hosts:
            if host.node_id in self._hosts:
                self._hosts[host.node_id] = host

    def _is_old(self) -> bool:
        most_s = max(FRESH_S, SHARE_OF_READING * self._took_s)
        return self._read_at is None or self._seconds() - self._read_at > most_s

    def _read_by(self, several: list[Deferred[None]]) -> Deferred[None]:
        """Wait with these for the reading that they wait for."""
        waiting: Deferred[None] = Deferred()
        several.append(waiting)
        if several is self._waiting and len(several) == 1:
            self._begin()
        return waiting

    def _begin(self) -> None:
        Deferred.fromCoroutine(self._read()).addBoth(self._has_read)

    async def _read(self) -> None:
        began = self._seconds()
        hosts = await self._database.read(read_hosts)
        self._hosts = {host.node_id: host for host in hosts}
        self._read_at = self._seconds()
        self._took_s = self._read_at - began

    def _has_read(self, result: Any) -> None:
        waiting, self._waiting, self._next = self._waiting, self._next, []
        if self._waiting:
            self._begin()
        for each in waiting:
            each.callback(result)  # a failure is one to each
