"""The anchor's ``IControlled``, over workers that are told what to say."""

from __future__ import annotations

import json
from typing import Any

from attrs import define, field
from twisted.internet.task import Clock

from cloudd.control import IControlled, plain
from cloudd.daemon._audit import AuditLog
from cloudd.daemon._controlled import Controlled
from cloudd.daemon._database_move import DatabaseMoves
from cloudd.daemon._link import LinkTimeout, RemoteError
from cloudd.daemon._rates import Rates
from cloudd.daemon._state_folder import StateFolder
from cloudd.daemon._trace import Traces
from cloudd.daemon._workers import NobodyAsked
from cloudd.interfaces.application import OperationRefused
from tests.contracts.controlled import ControlledContract

from .code_trees import ThreadsAtOnce
from .test_upgrade import UpgradeCase


@define
class TalkingSlot:
    """What ``Controlled`` reads of a ``Slot``."""

    name: str
    is_ready: bool = True
    role: str = "front"
    pid: int = 5
    started_at: float = 1.0
    restarts: int = 0


@define
class TalkingPool:
    """A pool whose workers answer what they are told to."""

    slots: list[TalkingSlot]
    answers: dict[str, Any] = field(factory=dict)
    operated: Any = field(factory=lambda: RemoteError("OperationRefused", "the code that runs has no no.such"))
    asked: list[Any] = field(factory=list)

    async def ask_all(self, call: str) -> dict[str, Any]:
        self.asked.append(call)
        return self.answers

    async def ask_agent(self, call: str, /, timeout_s: float, **body: Any) -> Any:
        self.asked.append((call, body))
        answer = self.operated
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def ask_leaving(self, _call: str) -> list[tuple[Any, Any]]:
        return [(TalkingSlot("front-1"), {"generations": []})]


class TalkingHost:
    """A host with one part that fails."""

    def __init__(self, state_folder: Any, pool: Any) -> None:
        self.state_folder = state_folder
        self.rates = Rates(Clock(), pool)

    async def health(self) -> dict[str, Any]:
        parts = {"disk": {"status": "ok", "cause": ""}, "store": {"status": "failing", "cause": "full: remove some"}}
        return {"status": "failing", "parts": parts}


class ControlledTests(ControlledContract, UpgradeCase):
    def make(self) -> IControlled:
        generation = {"number": 1, "hash": self.old.hash, "state": "serving", "connections": 2}
        pool = TalkingPool(
            [TalkingSlot("front-1"), TalkingSlot("front-2"), TalkingSlot("agent", is_ready=False)],
            {"front-1": {"generations": [generation]}, "front-2": LinkTimeout("no answer")},
        )
        self.pool = pool
        host: Any = TalkingHost(self.state, pool)
        talking: Any = pool
        traces = Traces(self.state / "log" / "access.log", ThreadsAtOnce(), self.upgrades)
        audit = AuditLog(self.state / "log" / "audit.log", ThreadsAtOnce())
        moves = DatabaseMoves(Clock(), StateFolder(self.state), talking, self.upgrades, audit, {}, None)
        controlled: IControlled = Controlled(self.upgrades, talking, host, {"api": "http://x"}, 7.0, traces, moves)
        return controlled

    async def test_silent_workers_are_listed_as_not_ready(self) -> None:
        """One that does not answer and one that starts are both there, without generations."""
        status = await self.make().status()
        self.assertEqual([(worker.name, worker.ready) for worker in status.workers],
                         [("front-1", True), ("front-2", False), ("agent", False)])  # fmt: skip
        self.assertEqual((status.started_at, status.urls), (7.0, {"api": "http://x"}))
        self.assertEqual([(worker.name, worker.ready) for worker in status.leaving], [("front-1", True)])

    async def test_operate(self) -> None:
        """One worker is asked; that it does not answer, and what it refuses, becomes a refusal in words."""
        await super().test_operate()
        controlled = self.make()
        self.pool.operated = {"tasks": []}
        self.assertEqual(await controlled.operate("tasks.list", {"limit": 3}), {"tasks": []})
        self.assertEqual(self.pool.asked, [("operate", {"call": "tasks.list", "arguments": {"limit": 3}})])
        for error, words in (
            (LinkTimeout("operate: no answer within 20 s"), "whether it was done is not known"),
            (NobodyAsked("no worker is ready"), "no worker is ready"),
        ):
            self.pool.operated = error
            failed = await self.assertFailure(controlled.operate("tasks.list", {}), OperationRefused)
            self.assertIn(words, str(failed))
        self.pool.operated = RemoteError("KeyError", "a bug")
        await self.assertFailure(controlled.operate("tasks.list", {}), RemoteError)

    async def test_callees(self) -> None:
        """What workers ask is what the control socket answers, as plain data that JSON holds."""
        controlled: Any = self.make()
        callees = controlled.callees()
        asked = {
            "host_status": (await callees["host_status"](), await controlled.status()),
            "host_audit": (await callees["host_audit"](limit=1), await self.upgrades.audit(1)),
            "host_plan": (await callees["host_plan"](), await self.upgrades.plan("")),
        }
        for name, (told, message) in asked.items():
            self.assertEqual(told, plain(message), name)
            self.assertEqual(json.loads(json.dumps(told)), told, name)
        told, status = callees["host_code"](), await controlled.status()
        self.assertEqual(told, {"version": status.version, "code": plain(status.code)})
        self.assertEqual(self.pool.asked, ["status"] * 3, "a worker was asked for what the anchor knows")
        self.assertEqual(callees["host_rates"](without="/ui"), {"every_s": 5.0, "samples": [], "routes": []})
        self.assertEqual(set(callees), {*asked, "host_code", "host_rates"})
