# -*- test-case-name: tests.daemon.test_controlled -*-
"""The daemon as the control socket sees it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
from attrs import frozen
from twisted.internet.defer import Deferred
from zope.interface import implementer

from cloudd.control import GenerationStatus, Health, IControlled, Status, Trace, WorkerStatus, plain
from cloudd.interfaces.application import OperationRefused

from ._database_move import DatabaseMoves
from ._host import HostView
from ._link import Callee, LinkError, LinkLost, LinkTimeout, RemoteError
from ._slot import Slot
from ._trace import Traces
from ._upgrade import Upgrades
from ._workers import NobodyAsked, WorkerPool

OPERATE_TIMEOUT_S = 20.0
SLOW_TIMEOUT_S = 90.0
SLOW_CALLS = {"rolling.plan", "rolling.finalize"}  # all nodes read a code tree, tables are changed


@implementer(IControlled)
@frozen
class Controlled:
    """
    :param began: seconds since the epoch
    """

    upgrades: Upgrades
    _pool: WorkerPool
    _host: HostView
    _urls: Mapping[str, str]
    _began: float
    _traces: Traces
    database: DatabaseMoves

    def status(self) -> Deferred[Status]:
        """The host with all its workers; a worker that does not answer is listed as not ready."""
        return Deferred.fromCoroutine(self._status())

    def health(self) -> Deferred[Health]:
        """Health summed over all workers."""
        return Deferred.fromCoroutine(self._health())

    def trace(self, request_id: str) -> Deferred[Trace]:
        """What the access logs of this host say of one request."""
        return Deferred.fromCoroutine(self._traces.find(request_id))

    def operate(self, call: str, arguments: Mapping[str, Any]) -> Deferred[dict[str, Any]]:
        """Ask the application of one worker."""
        return Deferred.fromCoroutine(self._operate(call, arguments))

    def callees(self) -> dict[str, Callee]:
        """What workers ask: rates, and the answers of the control socket as plain data; nothing is changed."""
        return {
            "host_status": self._plain_status,
            "host_code": self._plain_code,
            "host_rates": self._host.rates.told,
            "host_audit": self._plain_audit,
            "host_plan": self._plain_plan,
        }

    async def _operate(self, call: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        body = {"call": call, "arguments": dict(arguments)}
        timeout_s = SLOW_TIMEOUT_S if call in SLOW_CALLS else OPERATE_TIMEOUT_S
        try:
            answer: dict[str, Any] = await self._pool.ask_agent("operate", timeout_s, **body)
        except NobodyAsked as error:
            raise OperationRefused(str(error)) from None
        except (LinkLost, LinkTimeout) as error:
            raise OperationRefused(f"{error}: whether it was done is not known, so look before you try again") from None
        except RemoteError as error:
            if error.kind == OperationRefused.__name__:
                raise OperationRefused(error.cause) from None
            raise
        return answer

    async def _plain_status(self) -> Any:
        return plain(await self._status())

    def _plain_code(self) -> Any:
        return {"version": own_version(), "code": plain(self.upgrades.code_status())}

    async def _plain_audit(self, limit: int) -> Any:
        return plain(await self.upgrades.audit(limit))

    async def _plain_plan(self) -> Any:
        return plain(await self.upgrades.plan(""))

    async def _status(self) -> Status:
        answers = await self._pool.ask_all("status")
        return Status(
            version=own_version(),
            pid=os.getpid(),
            state=str(self._host.state_folder),
            started_at=self._began,
            code=self.upgrades.code_status(),
            urls=dict(self._urls),
            workers=[worker_status(slot, answers.get(slot.name)) for slot in self._pool.slots],
            leaving=[worker_status(slot, answer) for slot, answer in await self._pool.ask_leaving("status")],
            upgrade=self.upgrades.progress,
        )

    async def _health(self) -> Health:
        return msgspec.convert(await self._host.health(), Health)


def worker_status(slot: Slot, answer: Any) -> WorkerStatus:
    """
    One worker.

    :param answer: what it said, None when it was not asked, or the ``LinkError`` why it said nothing
    """
    silent = answer is None or isinstance(answer, LinkError)
    return WorkerStatus(
        name=slot.name,
        role=slot.role,
        pid=slot.pid,
        ready=slot.is_ready and not silent,
        started_at=slot.started_at,
        restarts=slot.restarts,
        generations=[] if silent else msgspec.convert(answer["generations"], list[GenerationStatus]),
    )


def own_version() -> str:
    """The installed version; of a plain checkout ``0``."""
    try:
        return version("cloudd")
    except PackageNotFoundError:
        return "0"
