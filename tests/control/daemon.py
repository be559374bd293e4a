"""
A daemon in memory for the control protocol and ``cloudctl``: real upgrades on real trees, told workers, no socket.
"""

from __future__ import annotations

import http.client
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from cloudd.control import (
    Actor,
    DatabaseStatus,
    GenerationStatus,
    Health,
    IControlled,
    IDatabaseMoves,
    Listener,
    Outcome,
    Progress,
    Status,
    Trace,
    WorkerStatus,
)
from cloudd.daemon._trace import Traces
from cloudd.daemon._upgrade import Upgrades
from cloudd.interfaces.application import OperationRefused
from cloudd.protocols.control import ControlFactory
from tests.daemon.code_trees import ThreadsAtOnce
from tests.daemon.test_upgrade import UpgradeCase


@implementer(IDatabaseMoves)
class FakeMoves:
    """Records on SQLite that can be moved to any server but one that is called ``full``."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bool, str]] = []
        self.found = DatabaseStatus(
            kind="sqlite", name="", version="3.40.1", size_bytes=4096, revision="0004", round_trip_ms=0.25,
            rows={"events": 7}, workers={"front-1": "sqlite"}, standbys={"second": 12, "hidden": None},
        )  # fmt: skip

    def status(self) -> Deferred[DatabaseStatus]:
        return succeed(self.found)

    def move(self, url: str, password_file: str, check: bool, actor: Actor, listener: Listener) -> Deferred[Outcome]:
        self.asked.append((url, password_file, check, actor.user))
        listener(Progress(step="check", text="it is looked at"))
        if url.endswith("/full"):
            return succeed(Outcome(action="migrate", result="refused", cause="records are there already"))
        if check:
            return succeed(Outcome(action="migrate", result="unchanged", cause="nothing is against it"))
        return succeed(Outcome(action="migrate", result="committed", rows={"events": 7}, pause_s=0.125, warnings=["w"]))


@implementer(IControlled)
class FakeHost:
    """A host with one worker; ``upgrades`` is real, or None while it starts."""

    def __init__(self, upgrades: Upgrades, state: Path) -> None:
        self.upgrades: Upgrades | None = upgrades
        self._known = upgrades
        self._state = state
        self._traces = Traces(state / "log" / "access.log", ThreadsAtOnce(), upgrades)
        self.found_health = Health(status="ok", parts={"database": {"status": "ok"}})
        self.error: Exception | None = None
        self.pid = 7
        self.database = FakeMoves()
        self.operations: dict[str, Any] = {}  # what the application answers, or raises
        self.operated: list[tuple[str, dict[str, Any]]] = []

    def status(self) -> Deferred[Status]:
        if self.error is not None:
            raise self.error
        current = self._known.current
        serving = GenerationStatus(
            number=current.generation, hash=current.tree.hash, state="serving", connections=3, requests_running=1,
            requests_total=40, modules={"cloudd.application": current.tree.modules()["cloudd.application"]},
        )  # fmt: skip
        ending = GenerationStatus(number=0, hash="0" * 64, state="ending", holders=["list of 3 -> class a.B"])
        front = WorkerStatus(
            name="front-0", role="front", pid=77, ready=True, started_at=50.0, generations=[ending, serving]
        )
        agent = WorkerStatus(name="agent-0", role="agent", pid=78, ready=False, started_at=50.0, restarts=2)
        return succeed(
            Status(
                version="0.1.0",
                pid=self.pid,
                state=str(self._state),
                started_at=40.0,
                code=self._known.code_status(),
                urls={"api": "http://127.0.0.1:5000"},
                workers=[front, agent],
                upgrade=self._known.progress,
            )
        )

    def health(self) -> Deferred[Health]:
        return succeed(self.found_health)

    def operate(self, call: str, arguments: Mapping[str, Any]) -> Deferred[dict[str, Any]]:
        self.operated.append((call, dict(arguments)))
        answer = self.operations.get(call, OperationRefused(f"the code that runs has no {call}"))
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)

    def trace(self, request_id: str) -> Deferred[Trace]:
        return Deferred.fromCoroutine(self._traces.find(request_id))


class Wire:
    """One connection to a ``ControlFactory``, without a socket."""

    def __init__(self, factory: ControlFactory) -> None:
        self.transport = StringTransport()
        self.protocol: Any = factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def hang_up(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionDone()))

    # what http.client wants of a socket

    def sendall(self, data: bytes) -> None:
        self.send(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self.transport.value()))

    def close(self) -> None:
        self.hang_up()


class WireConnection(http.client.HTTPConnection):
    """An HTTP connection over a ``Wire``."""

    def __init__(self, factory: ControlFactory) -> None:
        super().__init__("localhost")
        self._factory = factory

    def connect(self) -> None:
        self.sock = Wire(self._factory)


class DaemonCase(UpgradeCase):
    """A test with such a daemon; the caller is root, process 8."""

    def setUp(self) -> None:
        super().setUp()
        self.host = FakeHost(self.upgrades, self.state)
        self.caller = (0, 8)
        self.factory = ControlFactory(self.host, Clock(), lambda _transport: self.caller)
