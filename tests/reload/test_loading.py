"""Loads in threads of their own: what they give, and giving them up."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from reload import Load, LoadGivenUp
from reload._loading import LOOKS_S, NICER

WAIT_S = 20.0


class LoadTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.addCleanup(gc.unfreeze)
        self.usual = sys.getswitchinterval()

    def load(self, function: Callable[[], Any]) -> Load[Any]:
        return Load(reactor, function, "load-of-a-test")

    def assertUsual(self) -> None:
        self.assertEqual((gc.isenabled(), sys.getswitchinterval()), (True, self.usual))

    async def ended(self) -> None:
        """Wait until no load's thread is left."""
        until = time.monotonic() + WAIT_S
        while any(thread.name == "load-of-a-test" for thread in threading.enumerate()):
            self.assertLess(time.monotonic(), until, "the thread did not end")
            await self.turn()

    def turn(self) -> Deferred[None]:
        return deferLater(reactor, 0.005)

    async def test_a_result(self) -> None:
        """It comes in the reactor's thread, from another one that was quiet."""
        here = threading.get_ident()
        found, quiet = await self.load(lambda: (threading.get_ident(), not gc.isenabled())).result
        self.assertEqual((found == here, quiet, threading.get_ident()), (False, True, here))
        self.assertUsual()

    async def test_others_go_first(self) -> None:
        """A load gets less of the processor than the thread that serves, whose priority stays."""
        usual = os.getpriority(os.PRIO_PROCESS, 0)
        found = await self.load(lambda: os.getpriority(os.PRIO_PROCESS, 0)).result
        self.assertEqual((found, os.getpriority(os.PRIO_PROCESS, 0)), (usual + NICER, usual))

    async def test_an_error(self) -> None:
        """What was raised comes out, ``SystemExit`` too."""
        for error in (ValueError("bad"), SystemExit(3)):

            def fail(error: BaseException = error) -> None:
                raise error

            try:
                await self.load(fail).result
            except BaseException as found:
                self.assertIs(found, error)
            else:
                self.fail("nothing was raised")
        self.assertUsual()

    async def test_one_that_loops_for_ever(self) -> None:
        """It is given up at once, the process is as before, and the thread ends soon."""
        begun = threading.Event()

        def loop() -> None:
            begun.set()
            while True:
                try:
                    time.sleep(0.001)
                except Exception:
                    continue

        load = self.load(loop)
        while not begun.is_set():
            await self.turn()
        load.give_up()
        error = await self.assertFailure(load.result, LoadGivenUp)
        self.assertIn(f"{__name__} line ", str(error))
        self.assertUsual()
        await self.ended()

    async def test_one_that_waits_for_ever(self) -> None:
        """A thread that waits in a call is left alone, and is in nobody's way: the next load goes on as ever."""
        gate = threading.Event()
        self.addCleanup(gate.set)
        load = self.load(gate.wait)
        load.result.cancel()
        await self.assertFailure(load.result, LoadGivenUp)
        self.assertUsual()
        self.assertEqual(await self.load(lambda: 5).result, 5)
        await deferLater(reactor, sum(LOOKS_S[:3]) + 0.1)
        self.assertTrue(load._thread.is_alive())
        gate.set()
        await self.ended()

    async def test_one_that_comes_to_its_wait(self) -> None:
        """It ran when it was given up, and waits since: it is left alone, too."""
        gate, begun = threading.Event(), threading.Event()
        self.addCleanup(gate.set)

        def run_and_wait() -> None:
            begun.set()
            until = time.monotonic() + LOOKS_S[0] / 2
            while time.monotonic() < until:
                pass
            gate.wait()

        load = self.load(run_and_wait)
        while not begun.is_set():
            await self.turn()
        load.give_up()
        await self.assertFailure(load.result, LoadGivenUp)
        await deferLater(reactor, sum(LOOKS_S[:3]) + 0.1)
        self.assertTrue(load._thread.is_alive())
        gate.set()
        await self.ended()

    async def test_giving_up_too_late(self) -> None:
        """What has ended has ended."""
        load = self.load(lambda: 5)
        self.assertEqual(await load.result, 5)
        load.give_up()
        self.assertUsual()

    async def test_a_result_that_comes_too_late(self) -> None:
        """What a load gives after it was given up is dropped."""
        gate = threading.Event()
        load = self.load(lambda: gate.wait(WAIT_S))
        load.give_up()
        gate.set()
        await self.assertFailure(load.result, LoadGivenUp)
        await self.ended()
        await self.turn()
        self.assertUsual()
