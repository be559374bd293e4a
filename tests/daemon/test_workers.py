"""All workers together: planned, asked, swapped; with workers that answer, refuse and are silent."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, cast

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.daemon._leaving import KILL_DELAY_S
from cloudd.daemon._link import LinkTimeout, RemoteError
from cloudd.daemon._loader_process import LoaderLost
from cloudd.daemon._slot import BOOT_TIMEOUT_S, LONGEST_DELAY_S, LOOP_FAILURES, STEADY_S, Slot, restart_delay_s
from cloudd.daemon._swap import PREPARE_TIMEOUT_S
from cloudd.daemon._workers import SWAP_TIMEOUT_S, Decided, SwapFailed, WorkerPool, planned_workers
from cloudd.interfaces.settings import Settings, WorkerSettings
from reload import CodeTree


def settings(front: int, agent: bool) -> Settings:
    return Settings(state=Path("/s"), workers=WorkerSettings(front=front, agent=agent))


class PlanTests(SynchronousTestCase):
    def test_roles(self) -> None:
        """Fronts and an agent; without one the first front does its work."""
        self.assertEqual(planned_workers(settings(1, True)), [("front-1", "front"), ("agent", "agent")])
        self.assertEqual(planned_workers(settings(2, False)), [("front-1", "all"), ("front-2", "front")])
        self.assertGreaterEqual(len(planned_workers(settings(0, True))), 2)

    def test_back_off(self) -> None:
        """At once after the first crash, then doubling up to a limit."""
        delays = [restart_delay_s(failures) for failures in range(1, 15)]
        self.assertEqual(delays[:4], [0.0, 0.1, 0.2, 0.4])
        self.assertEqual(delays[-1], LONGEST_DELAY_S)

    def test_a_crash_loop_ends(self) -> None:
        """A worker that served for a minute is no longer one that crashes again and again."""
        clock, unused = Clock(), cast(Any, None)
        slot = Slot("front-1", "front", clock, unused, [], unused, {}, Path("/run"))
        slot.failures = LOOP_FAILURES
        slot.link, slot.state = cast(Any, FakeLink({})), "ready"
        clock.advance(STEADY_S - 1)
        self.assertTrue(slot.loops)
        clock.advance(1)
        self.assertFalse(slot.loops)
        slot.state = "waiting"
        self.assertTrue(slot.loops)


@define
class FakeLink:
    """Answers what it is told to: a value, a Deferred's result, or an exception to raise."""

    answers: dict[str, Any]
    is_lost: bool = False
    calls: list[tuple[str, dict[str, Any]]] = Factory(list)

    async def call(self, name: str, *, timeout_s: float, **body: Any) -> Any:
        self.calls.append((name, body))
        answer = self.answers.get(name)
        if isinstance(answer, Exception):
            raise answer
        return await answer if isinstance(answer, Deferred) else answer

    def cast(self, name: str, **body: Any) -> None:
        self.calls.append((name, body))


@define(eq=False)
class FakeSlot:
    """A worker as the pool sees it."""

    name: str
    link: FakeLink
    is_ready: bool = True
    role: str = "front"
    generation: int = 1
    pid: int = 7
    runs: bool = True
    signals: list[signal.Signals] = Factory(list)
    ended: Deferred[int] = Factory(Deferred)

    def signal(self, number: signal.Signals) -> None:
        self.signals.append(number)


class FakeLoader:
    """A loader that hangs: it forks nothing."""

    is_lost = killed = False

    def __init__(self) -> None:
        self.forking: Deferred[Any] | None = None

    def fork(self, _spec: object, _descriptors: object) -> tuple[int, Deferred[Any]]:
        self.forking = Deferred()
        return 1, self.forking

    def kill(self) -> None:
        self.is_lost = self.killed = True
        if self.forking is not None:
            self.forking.errback(LoaderLost("the loader ended before it forked the worker"))


TREE = CodeTree(Path("/t"), {"cloudd/a.py": "0" * 64})
OLD = "1" * 64


class PoolTests(TestCase):
    def setUp(self) -> None:
        unused: Any = None
        self.pool = WorkerPool(Clock(), settings(2, True), Decided(1, OLD, sys.executable), unused, {}, unused, {})
        self.slots = [
            FakeSlot(name, FakeLink({"commit": [OLD, TREE.hash]})) for name in ("front-1", "front-2", "agent")
        ]
        self.slots[2].role = "agent"
        self.pool.slots = cast("list[Slot]", self.slots)

    def swap(self) -> list[str]:
        self.successResultOf(Deferred.fromCoroutine(self.pool.prepare(2, TREE)))
        silent: list[str] = self.successResultOf(Deferred.fromCoroutine(self.pool.commit(2)))
        return silent

    def test_ask_all(self) -> None:
        """Those that are ready are asked; errors are answers too."""
        self.slots[0].link.answers["health"] = []
        self.slots[1].link.answers["health"] = LinkTimeout("late")
        self.slots[2].is_ready = False
        answers = self.successResultOf(Deferred.fromCoroutine(self.pool.ask_all("health")))
        self.assertEqual(answers["front-1"], [])
        self.assertIsInstance(answers["front-2"], LinkTimeout)
        self.assertNotIn("agent", answers)

    def test_tell_one(self) -> None:
        """One front worker is told, the agent when there is no other, and nobody when nobody is ready."""
        for ready, told in (((0, 1, 2), 0), ((1, 2), 1), ((2,), 2), ((), None)):
            for at, slot in enumerate(self.slots):
                slot.is_ready = at in ready
                slot.link.calls.clear()
            self.pool.tell_one("note", kind="upgrade.ended", data={})
            calls = [slot.link.calls for slot in self.slots]
            expected = [[("note", {"kind": "upgrade.ended", "data": {}})] if at == told else [] for at in range(3)]
            self.assertEqual(calls, expected)

    def test_swap(self) -> None:
        """Every worker prepares before any commits; afterwards new workers boot the new code."""
        self.assertEqual(self.swap(), [])
        for slot in self.slots:
            self.assertEqual([name for name, _ in slot.link.calls], ["prepare", "commit"])
            self.assertEqual(slot.link.calls[0][1], {"number": 2, "tree_hash": TREE.hash})
            self.assertEqual(slot.generation, 2)
        self.assertEqual(self.pool.decided, Decided(2, TREE.hash, sys.executable))

    def trees(self) -> set[str]:
        return set(self.successResultOf(Deferred.fromCoroutine(self.pool.trees_in_use())))

    def test_trees_in_use(self) -> None:
        """What workers tell now; of one that does not answer what it told last; nothing of one that has ended."""
        for number, slot in enumerate(self.slots):
            slot.pid = 100 + number
        self.swap()
        for slot in self.slots[:2]:
            slot.link.answers["trees"] = [TREE.hash]
        self.slots[2].link.answers["trees"] = LinkTimeout("no answer")
        self.assertEqual(self.trees(), {OLD, TREE.hash})
        self.slots[2].pid = 200  # another process in its place
        self.assertEqual(self.trees(), {TREE.hash})
        leaving = FakeSlot("front-1", FakeLink({"trees": ["2" * 64]}), pid=99)
        self.pool.leaving.append(cast(Any, leaving))
        self.assertEqual(self.trees(), {TREE.hash, "2" * 64})

    def test_one_cannot(self) -> None:
        """One worker that cannot prepare is enough, and it is named; nothing is decided."""
        self.slots[1].link.answers["prepare"] = RemoteError("PrepareFailed", "cloudd.x line 3: no")
        failed = self.failureResultOf(Deferred.fromCoroutine(self.pool.prepare(2, TREE)), SwapFailed)
        self.assertEqual(str(failed.value), "worker front-2: cloudd.x line 3: no")
        self.successResultOf(Deferred.fromCoroutine(self.pool.abort(2)))
        self.assertEqual([slot.link.calls[-1][0] for slot in self.slots], ["abort"] * 3)
        self.assertEqual(self.pool.decided, Decided(1, OLD, sys.executable))

    def loading(self, cores: int) -> tuple[Deferred[None], list[Deferred[None]]]:
        """Preparation on a machine of ``cores``, and what ends each worker's."""
        loads: list[Deferred[None]] = [Deferred() for _ in self.slots]
        for slot, load in zip(self.slots, loads, strict=True):
            slot.link.answers["prepare"] = load
        self.patch(os, "sched_getaffinity", lambda _: set(range(cores)))
        return Deferred.fromCoroutine(self.pool.prepare(2, TREE)), loads

    def asked(self) -> list[str]:
        return [slot.name for slot in self.slots if slot.link.calls]

    def test_a_core_is_left_to_those_who_serve(self) -> None:
        """So many load at once as there are cores but one; the next begins when one has ended."""
        for cores, at_once in ((1, 1), (2, 1), (3, 2), (8, 3)):
            for slot in self.slots:
                slot.link.calls.clear()
            done, loads = self.loading(cores)
            self.assertEqual(len(self.asked()), at_once)
            for ended, load in enumerate(loads, 1):
                load.callback(None)
                self.assertEqual(len(self.asked()), min(3, at_once + ended))
            self.successResultOf(done)

    def test_nobody_loads_what_one_could_not(self) -> None:
        """After the first failure no further worker begins."""
        done, loads = self.loading(2)
        loads[0].errback(RemoteError("PrepareFailed", "no"))
        self.failureResultOf(done, SwapFailed)
        self.assertEqual(self.asked(), ["front-1"])

    def test_one_that_ends_before_its_turn(self) -> None:
        """It does not hold the others up; it is started anew, and loads late."""
        done, loads = self.loading(2)
        self.slots[1].is_ready = False
        loads[0].callback(None)
        loads[2].callback(None)
        self.successResultOf(done)
        self.assertEqual(self.asked(), ["front-1", "agent"])
        self.slots[1].is_ready, self.slots[1].pid = True, 8
        loads[1].callback(None)
        self.successResultOf(Deferred.fromCoroutine(self.pool.prepare_late(2, TREE)))
        self.assertEqual([len(slot.link.calls) for slot in self.slots], [1, 1, 1])

    def test_patience(self) -> None:
        """A worker that hangs is named before the upgrade gives up by itself."""
        self.assertLess(SWAP_TIMEOUT_S, PREPARE_TIMEOUT_S)

    def test_preparation_that_hangs(self) -> None:
        """After its time the preparing process is killed, and where it was not forked yet, the loader; all is told."""
        clock, loaders = self.with_loaders()
        preparing = Deferred.fromCoroutine(self.pool.prepare_host(30.0))
        clock.advance(29.9)
        self.assertEqual([loader.killed for loader in loaders], [False])
        clock.advance(0.1)
        failed = self.failureResultOf(preparing, SwapFailed)
        self.assertIn("the host cannot be prepared: ended: it did not end within 30 s", str(failed.value))
        self.assertEqual([loader.killed for loader in loaders], [True])

    def test_loader_that_hangs(self) -> None:
        """A worker that it does not fork in time gets another loader."""
        clock, loaders = self.with_loaders()
        self.pool.slots = [slot] = [self.pool._slot("front-1", "front", [])]
        slot.start()
        clock.advance(BOOT_TIMEOUT_S - 0.1)
        self.assertEqual([loader.killed for loader in loaders], [False])
        clock.advance(0.1)
        self.assertEqual([loader.killed for loader in loaders], [True, False])
        self.assertEqual((slot.state, slot.restarts, slot.failures), ("starting", 1, 1))
        self.assertIn("it was not ready within 60 s", slot.cause)

    def with_loaders(self) -> tuple[Clock, list[FakeLoader]]:
        """The pool's clock, and the loaders that it starts, none of which forks anybody."""
        loaders: list[FakeLoader] = []

        def start(*_: object) -> Any:
            loaders.append(FakeLoader())
            return loaders[-1]

        self.pool._start_loader = start
        self.pool._make_spec = lambda *_: cast(Any, None)
        clock = cast(Clock, self.pool._reactor)
        cast(Any, clock).adoptStreamConnection = lambda *_: None
        return clock, loaders

    def test_boot_instead(self) -> None:
        """The loader of the code that failed is ended; the next worker gets one for the other code."""
        started: list[Decided] = []

        def start(decided: Decided, *_: object) -> Any:
            started.append(decided)
            return FakeLoader()

        self.pool._start_loader = start
        self.pool.boot_loader()
        first = cast(FakeLoader, self.pool._loader)
        self.pool.boot_instead(Decided(1, TREE.hash, sys.executable))
        self.assertTrue(first.killed)
        self.pool.boot_loader()
        self.assertEqual(started, [Decided(1, OLD, sys.executable), Decided(1, TREE.hash, sys.executable)])

    def test_nobody_is_ready(self) -> None:
        """Without a worker that could try the code it is not taken."""
        for slot in self.slots:
            slot.is_ready = False
        self.failureResultOf(Deferred.fromCoroutine(self.pool.prepare(2, TREE)), SwapFailed)

    def test_nothing_is_loaded_at_the_end(self) -> None:
        """A daemon that was told to stop takes no new code."""
        self.pool.slots = []
        self.successResultOf(Deferred.fromCoroutine(self.pool.stop(1)))
        self.pool.slots = cast("list[Slot]", self.slots)
        self.failureResultOf(Deferred.fromCoroutine(self.pool.prepare(2, TREE)), SwapFailed)
        self.assertEqual(self.slots[0].link.calls, [])

    def test_silent_at_commit(self) -> None:
        """After the decision a worker that does not confirm is ended: its successor boots the new code."""
        self.slots[2].link.answers["commit"] = LinkTimeout("late")
        self.assertEqual(self.swap(), ["agent"])
        self.assertEqual(self.slots[2].signals, [signal.SIGTERM])
        self.assertEqual(self.slots[0].signals, [])
        self.assertEqual(self.pool.decided, Decided(2, TREE.hash, sys.executable))

    def test_one_that_hangs_at_commit(self) -> None:
        """It hears no SIGTERM: it is killed after the time that requests in flight have; its successor is not."""
        clock, patience_s = cast(Clock, self.pool._reactor), self.pool.stop_timeout_s + KILL_DELAY_S
        for slot in self.slots[1:]:
            slot.link.answers["commit"] = LinkTimeout("late")
        self.assertEqual(self.swap(), ["front-2", "agent"])
        clock.advance(patience_s - 0.1)
        self.assertEqual(self.slots[2].signals, [signal.SIGTERM])
        ended, self.slots[1].ended = self.slots[1].ended, Deferred()
        ended.callback(0)
        clock.advance(0.1)
        self.assertEqual([slot.signals[1:] for slot in self.slots], [[], [], [signal.SIGKILL]])

    def test_ready_with_replaced_code(self) -> None:
        """A worker that was forked before a swap and is ready after it is started again."""
        self.swap()
        late = self.slots[0]
        self.pool._became_ready(cast(Slot, late), 1)
        self.assertEqual(late.signals, [signal.SIGTERM])
        self.pool._became_ready(cast(Slot, late), 2)
        self.assertEqual(late.signals, [signal.SIGTERM])
