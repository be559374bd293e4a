# -*- test-case-name: tests.backups.test_service -*-
"""Backups as one part of a generation: ordered when the newest one is old enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from cloudd.interfaces.application import PartHealth, Resources
from cloudd.tasks import Kind, submit

from . import _folder
from ._kind import BACK_UP, backup_kind

LOOK_S = 30.0
LATE = 2.0  # times the interval

log = Logger()


@define(eq=False)
class Backups:
    """
    :param node_id_of: this machine's id, from the resources; blocks
    :ivar ordered: when the last one was ordered by itself, in seconds since the epoch; kept over swaps
    """

    _resources: Resources
    _node_id_of: Callable[[Resources], str]
    ordered: float = field(init=False, default=0.0)
    _newest: float | None = field(init=False, default=None)
    _since: float = field(init=False, default=0.0)
    _timer: LoopingCall | None = field(init=False, default=None)

    @property
    def folder(self) -> Path:
        """Where they are kept."""
        settings = self._resources.settings
        return Path(settings.backup.folder) if settings.backup.folder else settings.state / "backups"

    def task_kinds(self) -> tuple[Kind, ...]:
        """The long work of this service."""
        resources = self._resources
        return (
            backup_kind(
                resources.database, resources.threads, resources.secrets, self.folder, resources.settings.backup.keep
            ),
        )

    async def order(self, request_id: str = "") -> str:
        """
        Have one made now; fires when the order is on disk.

        :return: the task's id; that of an open one, where there is one
        """
        node_id = await self._resources.threads.run(self._node_id_of, self._resources)
        task_id: str = await self._resources.database.write(
            submit, BACK_UP, {}, resource="control state", request_id=request_id, node_id=node_id or None, once=True
        )
        return task_id

    def start(self, state: Mapping[str, Any]) -> None:
        """Go on from what the generation before has ordered."""
        self.ordered = state.get("ordered", 0.0)
        self._since = time.time()

    def lead(self) -> None:
        """In the agent's worker, when this code was decided for: have them made on time.  Safe to call again."""
        every_s = self._resources.settings.backup.every_s
        if self._resources.role not in ("agent", "all") or not every_s or self._timer is not None:
            return
        self._timer = LoopingCall(lambda: Deferred.fromCoroutine(self._look()))
        self._timer.clock = self._resources.reactor
        self._timer.start(min(LOOK_S, every_s), now=True).addErrback(
            lambda failure: log.failure("looking for old backups has ended", failure)
        )

    async def _look(self) -> None:
        try:
            self._newest = await self._resources.threads.run(_folder.newest, self.folder)
            # One that fails is not ordered again at once: its task tries again by itself.
            last = max(self._newest or 0.0, self.ordered)
            if time.time() - last >= self._resources.settings.backup.every_s:
                task_id = await self.order()
                self.ordered = time.time()
                log.info("the control state is backed up by task {task_id}", task_id=task_id)
        except Exception:
            log.failure("no backup was ordered; it is tried again")

    def snapshot(self) -> dict[str, Any]:
        """When the last one was ordered."""
        return {"ordered": self.ordered}

    def retire(self) -> None:
        """Order no more."""
        if self._timer is not None and self._timer.running:
            self._timer.stop()

    def health(self) -> list[PartHealth]:
        """Whether the newest one is as new as it should be; what serves tenants does not fail by that."""
        every_s = self._resources.settings.backup.every_s
        if self._timer is None or time.time() - max(self._newest or 0.0, self._since) < LATE * every_s:
            return [PartHealth("backups", ok=True)]
        made = f"the newest one is {(time.time() - self._newest) / 3600:.1f} h old" if self._newest else "there is none"
        cause = f"{made}: see `cloudctl task list --kind {BACK_UP.name}`, and the room in {self.folder}"
        return [PartHealth("backups", ok=True, cause=cause)]

    def self_check(self) -> Deferred[None]:
        """Nothing can be tried without writing; where it fails its task tells."""
        return succeed(None)
