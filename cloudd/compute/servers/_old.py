# -*- test-case-name: tests.compute.test_old_servers -*-
"""
Servers that are gone are forgotten after a time, with their history: nobody else would ever remove their rows.

Until then ``changes-since`` tells that they went.  What they have used is told by their shares, which stay longer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from attrs import define, field
from sqlalchemy import ColumnElement, Connection, Select, delete, exists, select
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from cloudd.database import now_us, tables
from cloudd.interfaces.application import PartHealth, Resources

SERVERS: Final = 100
ACTIONS: Final = 1_000
BATCHES: Final = 50  # in one turn: many rows that became old at once are gone after some turns
EVERY_S: Final = 600.0

_servers, _actions, _events = tables.server, tables.server_action, tables.server_event
_OF_SERVERS: Final = (tables.server_tag, tables.server_interface, tables.server_claim)
log = Logger()


def has_old_servers(connection: Connection, keep_s: float) -> bool:
    """Whether ``forget_old_servers`` would delete any: asked first, since a write waits for its turn."""
    return connection.execute(_old(keep_s).limit(1)).first() is not None


def forget_old_servers(connection: Connection, keep_s: float) -> bool:
    """
    Delete some of those that were deleted longer than ``keep_s`` seconds ago, the oldest first: at most ``SERVERS``,
    and ``ACTIONS`` of their history, which goes before them.

    :return: whether there may be more
    """
    ids = list(connection.execute(_old(keep_s).order_by(_servers.c.deleted_us).limit(SERVERS)).scalars())
    if not ids:
        return False
    history = select(_actions.c.id).where(_actions.c.server_id.in_(ids)).limit(ACTIONS)
    action_ids = list(connection.execute(history).scalars())
    _delete(connection, _events, _events.c.action_id, action_ids)
    _delete(connection, _actions, _actions.c.id, action_ids)
    if len(action_ids) == ACTIONS:
        return True
    for table in _OF_SERVERS:
        _delete(connection, table, table.c.server_id, ids)
    _delete(connection, _servers, _servers.c.id, ids)
    return len(ids) == SERVERS


def _old(keep_s: float) -> Select[Any]:
    """Whoever still works on one, on a host that was away for so long, needs its row."""
    gone, tasks = _servers.c.deleted_us, tables.task.c
    worked_on = exists().where(tasks.resource == _servers.c.id, tasks.state.in_(("queued", "running")))
    return select(_servers.c.id).where(gone.is_not(None), gone < now_us() - int(keep_s * 1e6), ~worked_on)


def _delete(connection: Connection, table: Any, column: ColumnElement[str], values: Collection[str]) -> None:
    if values:
        connection.execute(delete(table).where(column.in_(values)))


@define(eq=False)
class OldServers:
    """
    A part of an application: looks for them now and then in each agent's worker, which do not harm each other.
    """

    _resources: Resources
    _timer: LoopingCall | None = field(init=False, default=None)
    _rests: bool = field(init=False, default=False)

    async def self_check(self) -> None:
        """There is nothing to try."""

    def start(self, state: Mapping[str, Any]) -> None:
        """Nothing yet."""

    def lead(self) -> None:
        """In the agent's worker: from now on.  Safe to call again."""
        if self._resources.role not in ("agent", "all") or self._timer is not None or not self._keep_s:
            return
        self._timer = LoopingCall(lambda: Deferred.fromCoroutine(self.look()))
        self._timer.clock = self._resources.reactor
        self._timer.start(EVERY_S, now=True).addErrback(
            lambda failure: log.failure("looking for old servers has ended", failure)
        )

    async def look(self) -> None:
        """Forget those that are old enough, in batches."""
        database = self._resources.database
        try:
            for _ in range(BATCHES):
                if self._rests or not await database.read(has_old_servers, self._keep_s):
                    return
                await database.write(forget_old_servers, self._keep_s)
        except Exception as error:
            log.warn("old servers could not be forgotten; it is tried again: {cause}", cause=str(error))

    @property
    def _keep_s(self) -> float:
        return self._resources.settings.compute.keep_deleted_days * 86_400

    def snapshot(self) -> dict[str, Any]:
        """Nothing: all is in the database."""
        return {}

    def health(self) -> list[PartHealth]:
        """It serves nobody."""
        return []

    def retire(self) -> None:
        """Forget no more."""
        self._rests = True
        if self._timer is not None and self._timer.running:
            self._timer.stop()
