"""What the anchor makes of a move: whom it asks, what it refuses, what it writes down; its processes are scripted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from cloudd.control import Actor, Outcome, Progress, own_actor
from cloudd.daemon._audit import AuditLog
from cloudd.daemon._database_move import PAUSE_LIMIT_S, UNDER_WAY, DatabaseMoves
from cloudd.daemon._database_order import Order, Said
from cloudd.daemon._link import LinkTimeout, RemoteError
from cloudd.daemon._state_folder import StateFolder
from cloudd.daemon._workers import Decided, NobodyAsked
from cloudd.interfaces.application import OperationRefused
from tests.daemon.code_trees import ThreadsAtOnce

URL = "postgresql://cloudd@db/cloud"
ANN = Actor(uid=1, pid=2, user="ann")
FACTS = {
    "kind": "sqlite",
    "name": "",
    "version": "3",
    "size_bytes": 1,
    "revision": "4",
    "round_trip_ms": 1.0,
    "rows": {},
}
READY = {"database_place": "", "database_ready": "", "database_follow": "x"}


@define(eq=False)
class Slot:
    name: str
    is_ready: bool = True


@define(eq=False)
class Pool:
    """Workers that answer what they are told to."""

    slots: list[Slot] = field(factory=lambda: [Slot("front-1"), Slot("agent")])
    leaving: list[Slot] = field(factory=list)
    decided: Decided = field(factory=lambda: Decided(3, "ab" * 32, sys.executable))
    answers: dict[str, Any] = field(factory=lambda: dict(READY))
    facts: Any = field(factory=lambda: FACTS)
    asked: list[tuple[str, dict[str, Any]]] = field(factory=list)

    async def ask_all(self, call: str, timeout_s: float = 1.0, **body: Any) -> dict[str, Any]:
        self.asked.append((call, body))
        return {slot.name: self.answers[call] for slot in self.slots}

    async def ask_agent(self, _call: str, /, timeout_s: float, **_body: Any) -> Any:
        if isinstance(self.facts, Exception):
            raise self.facts
        return self.facts


class Transport:
    """Of a process."""

    def __init__(self) -> None:
        self.written = b""
        self.signals: list[str] = []

    def write(self, data: bytes) -> None:
        self.written += data

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)


class Spawning(Clock):
    """Keeps the protocols of processes that were to be started."""

    def __init__(self) -> None:
        super().__init__()
        self.movers: list[Any] = []
        self.environments: list[dict[str, str]] = []

    def spawnProcess(self, protocol: Any, _program: str, _words: list[str], **facts: Any) -> None:
        self.movers.append(protocol)
        self.environments.append(facts["env"])
        protocol.makeConnection(Transport())


class Changes:
    progress: Progress | None = None


class MovesTests(TestCase):
    def setUp(self) -> None:
        self.state = StateFolder(Path(self.mktemp()).absolute())
        self.state.create()
        self.reactor, self.pool, self.changes = Spawning(), Pool(), Changes()
        self.steps: list[str] = []
        self.moves = self.begun()
        self.successResultOf(Deferred.fromCoroutine(self.moves.settle()))

    def begun(self) -> DatabaseMoves:
        pool: Any = self.pool
        audit = AuditLog(self.state.log / "audit.log", ThreadsAtOnce())
        environment = {"HOME": "/h", "NOTIFY_SOCKET": "/n"}
        return DatabaseMoves(self.reactor, self.state, pool, self.changes, audit, environment, None)

    def move(self, url: str = URL, file: str = "", *, check: bool = False) -> Deferred[Outcome]:
        return self.moves.move(url, file, check, ANN, lambda progress: self.steps.append(progress.step))

    def order(self) -> Order:
        return msgspec.json.decode(self.reactor.movers[-1].transport.written, type=Order)

    def say(self, *lines: Said) -> None:
        """In pieces."""
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        for start in range(0, len(data), 7):
            self.reactor.movers[-1].outReceived(data[start : start + 7])

    def end(self, *lines: Said) -> None:
        mover = self.reactor.movers[-1]
        self.say(*lines)
        mover.processEnded(Failure(Exception("ended")))

    def audited(self) -> list[tuple[str, str, str]]:
        audit = AuditLog(self.state.log / "audit.log", ThreadsAtOnce())
        found = self.successResultOf(Deferred.fromCoroutine(audit.read(10)))
        return [(entry.who.user, entry.action, entry.result) for entry in found.entries]

    def test_moves(self) -> None:
        """Workers get ready before, follow after; the process learns all from its input, and the audit log has it."""
        done = self.move(file="/secret/file")
        self.assertEqual(self.pool.asked[-1], ("database_ready", {"url": URL, "password_file": "/secret/file"}))
        order = self.order()
        self.assertEqual((order.what, order.url, order.password_file), ("move", URL, "/secret/file"))
        self.assertTrue((self.state.path / UNDER_WAY).exists())
        (environment,) = self.reactor.environments
        self.assertEqual(environment["PYTHONPATH"], str(self.state.code / ("ab" * 32)))
        self.assertNotIn("NOTIFY_SOCKET", environment)
        self.say(Said(step="copy", text="t", done=1, total=2))
        assert self.changes.progress is not None  # so no upgrade begins
        self.assertEqual((self.changes.progress.step, self.changes.progress.done), ("copy", 1))
        busy = self.successResultOf(self.move())
        self.assertEqual(busy.result, "busy")
        self.assertIn("copy: t", busy.cause)
        self.end(Said(step="pause"), Said(server="PostgreSQL at db", rows={"a": 3}, pause_s=0.25, warnings=["w"]))
        outcome = self.successResultOf(done)
        self.assertEqual((outcome.result, outcome.rows, outcome.pause_s), ("committed", {"a": 3}, 0.25))
        self.assertIn("[database] url", outcome.cause)
        self.assertEqual(self.steps, ["check", "copy", "pause", "follow"])
        self.assertEqual(self.pool.asked[-1][0], "database_follow")
        self.assertIsNone(self.changes.progress)
        self.assertFalse((self.state.path / UNDER_WAY).exists())
        self.assertEqual(self.audited(), [("ann", "migrate", "committed")])
        self.reactor.advance(PAUSE_LIMIT_S)
        self.assertEqual(self.reactor.movers[-1].transport.signals, [])

    def test_check(self) -> None:
        """Nothing is written down, and nobody follows."""
        done = self.move(check=True)
        self.assertEqual(self.order().what, "check")
        self.assertFalse((self.state.path / UNDER_WAY).exists())
        self.end(Said(version="15.1", warnings=["w"]))
        outcome = self.successResultOf(done)
        self.assertEqual((outcome.result, outcome.warnings), ("unchanged", ["w"]))
        self.assertIn("15.1", outcome.cause)
        done = self.move(check=True)
        self.end(Said(refused=True, cause="full"))
        outcome = self.successResultOf(done)
        self.assertEqual((outcome.result, outcome.cause), ("refused", "full"))
        done = self.move(check=True)
        self.end()
        self.assertEqual(self.successResultOf(done).result, "failed")
        self.assertEqual(self.audited(), [])

    def test_refused(self) -> None:
        """What this host knows, and what each worker says, is asked before anything is started."""
        odd = RemoteError("LookupError", "no such call")
        for cause, change in (
            ("no absolute path", lambda: None),
            ("front-1 is not ready", lambda: setattr(self.pool.slots[0], "is_ready", False)),
            ("earlier hand-over", lambda: self.pool.leaving.append(Slot("front-1"))),
            ("are on PostgreSQL at x already", lambda: self.pool.answers.update(database_place="PostgreSQL at x")),
            (
                "does not say",
                lambda: self.pool.answers.update(database_place=odd),
            ),
            ("worker front-1: refused", lambda: self.pool.answers.update(database_ready="refused")),
            ("worker front-1: late", lambda: self.pool.answers.update(database_ready=LinkTimeout("late"))),
        ):
            self.pool = Pool()
            change()
            self.moves = self.begun()
            self.successResultOf(Deferred.fromCoroutine(self.moves.settle()))
            outcome = self.successResultOf(self.move(file="relative" if "path" in cause else ""))
            self.assertEqual(outcome.result, "refused")
            self.assertIn(cause, outcome.cause)
        outcome = self.successResultOf(self.move("postgresql://a:secret@b/c"))
        self.assertIn("holds a password", outcome.cause)
        self.assertNotIn("secret", outcome.cause)
        self.assertEqual(self.reactor.movers, [])
        self.assertIsNone(self.changes.progress)

    def test_killed(self) -> None:
        """Without last words another process finds out where the records are."""
        for server, result in (("", "failed"), ("PostgreSQL at db", "committed")):
            done = self.move()
            self.end(Said(step="copy"))
            self.assertEqual(self.order().what, "settle")
            self.end(Said(server=server))
            self.assertEqual(self.successResultOf(done).result, result)
        done = self.move()
        self.end()
        self.end()
        self.assertEqual(self.successResultOf(done).result, "failed")

    def test_hangs(self) -> None:
        """One that is silent in the pause is killed."""
        self.move()
        self.say(Said(step="pause"))
        self.reactor.advance(PAUSE_LIMIT_S - 1)
        self.assertEqual(self.reactor.movers[-1].transport.signals, [])
        self.reactor.advance(1)
        self.assertEqual(self.reactor.movers[-1].transport.signals, ["KILL"])

    def test_accident(self) -> None:
        """What nobody has foreseen ends the move, and the next one may begin."""

        def break_down(*_of: Any, **_more: Any) -> None:
            raise OSError("no process can be started")

        self.patch(self.reactor, "spawnProcess", break_down)
        outcome = self.successResultOf(self.move())
        self.assertEqual((outcome.result, outcome.cause), ("failed", "no process can be started"))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertIsNone(self.changes.progress)

    def test_of_an_earlier_anchor(self) -> None:
        """Before what it left is tidied up, nothing begins; who had begun it is in the audit log."""
        for content, who in ((msgspec.json.encode(ANN), "ann"), (b"", own_actor().user)):
            (self.state.path / UNDER_WAY).write_bytes(content)
            self.moves = self.begun()
            self.assertEqual(self.successResultOf(self.move()).cause, "the daemon is starting")
            settled = Deferred.fromCoroutine(self.moves.settle())
            self.assertEqual(self.order().what, "settle")
            self.end(Said())
            self.successResultOf(settled)
            self.assertFalse((self.state.path / UNDER_WAY).exists())
            self.assertEqual(self.audited()[-1], (who, "migrate", "failed"))

    def test_status(self) -> None:
        """What a worker found, and where each has it; nobody who answers is a refusal."""
        found = self.successResultOf(self.moves.status())
        self.assertEqual((found.kind, found.workers), ("sqlite", {"front-1": "sqlite", "agent": "sqlite"}))
        for error in (NobodyAsked("no worker is ready"), RemoteError("DatabaseAway", "it is away")):
            self.pool.facts = error
            failure = self.failureResultOf(self.moves.status(), OperationRefused)
            self.assertIn(str(error), failure.getErrorMessage())
