"""What keeps a released generation alive is found and named."""

from __future__ import annotations

import functools
import gc
import os
import socket
import threading
import time
from collections.abc import Callable
from types import ModuleType

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from reload._fork import lines_from_fork

from .trees import TreeCase

SOURCE = {
    "shopx/sale.py": """
        import functools
        class Sale:
            def total(self):
                return 5
        def steps():
            yield 1
            yield 2
        @functools.cache
        def cached():
            return 1
        def late():
            return 3
        def wait_in_thread(begun, gate):
            begun.set()
            gate.wait(20)
        async def wait_for(waited):
            await waited
        def adder(sale):
            def add(_):
                return sale.total()
            return add
    """
}


class Till:
    """Something outside of every generation."""

    kept: object = None


KEPT: list[object] = []


class HoldersTests(TreeCase):
    def setUp(self) -> None:
        super().setUp()
        self.till = Till()

    def leak(self, keep: Callable[[ModuleType], None]) -> list[str]:
        """The holders after ``keep`` was given the module and the generation was released."""
        generation = self.generation(SOURCE)
        keep(generation.load("shopx.sale"))
        generation.release()
        gc.collect()
        self.assertNotEqual(generation.living(), 0)
        found = generation.holders()
        self.till.kept = None
        KEPT.clear()
        gc.collect()
        for _ in generation.free():
            pass
        self.assertEqual(generation.living(), 0, generation.holders())
        return found

    def keep(self, thing: object) -> None:
        self.till.kept = thing

    def assertNames(self, lines: list[str], *words: str) -> None:
        self.assertTrue(any(all(word in line for word in words) for line in lines), lines)

    def test_an_object_of_another_module(self) -> None:
        """An instance held by a foreign object: the line leads from that object to the class."""
        lines = self.leak(lambda module: self.keep(module.Sale()))
        self.assertNames(lines, "tests.reload.test_holders.Till", "shopx.sale.Sale")

    def test_a_bound_method_and_a_partial(self) -> None:
        """Callbacks are found too."""
        self.assertNames(self.leak(lambda module: self.keep(module.Sale().total)), "Till", "method total")
        self.assertNames(self.leak(lambda module: self.keep(functools.partial(module.late))), "functools.partial")

    def test_a_module_variable(self) -> None:
        """A container in another module's variables is named by that module."""
        lines = self.leak(lambda module: KEPT.append([module.late]))
        self.assertNames(lines, "variables of tests.reload.test_holders", "function", "shopx.sale.late")

    def test_a_suspended_generator(self) -> None:
        """A generator of the old code that nobody ended."""

        def begin(module: ModuleType) -> None:
            steps = module.steps()
            next(steps)
            self.keep(steps)

        self.assertNames(self.leak(begin), "Till", "generator steps")

    def test_the_module_itself(self) -> None:
        """A module that a foreign object holds."""
        self.assertNames(self.leak(self.keep), "Till", "module", "shopx.sale")

    def test_a_coroutine_and_a_deferred(self) -> None:
        """A coroutine that waits is named, also behind the Deferred that it waits for."""

        def begin(module: ModuleType) -> None:
            waited: Deferred[None] = Deferred()
            Deferred.fromCoroutine(module.wait_for(waited))
            self.keep(waited)

        self.assertNames(self.leak(begin), "Deferred", "coroutine wait_for")

    def test_a_callback_and_a_closure(self) -> None:
        """A function of the old code that was left in a Deferred, with what it closes over."""

        def begin(module: ModuleType) -> None:
            waited: Deferred[None] = Deferred()
            self.keep(waited.addCallback(module.adder(module.Sale())))

        self.assertNames(self.leak(begin), "Deferred", "function", "adder.<locals>.add")

    def test_a_timer(self) -> None:
        """A timer that nobody stopped."""

        def begin(module: ModuleType) -> None:
            clock = Clock()
            clock.callLater(1000, module.late)
            self.keep(clock)

        self.assertNames(self.leak(begin), "DelayedCall", "function", "late")

    def test_a_local_variable(self) -> None:
        """A function that runs and has the thing in a variable is named with both."""

        def keep_in_variable(module: ModuleType) -> list[str]:
            sale = module.Sale()
            del module
            generation.release()
            found = generation.holders()
            self.assertIsNotNone(sale)
            return found

        generation = self.generation(SOURCE)
        lines = keep_in_variable(generation.load("shopx.sale"))
        self.assertNames(lines, "running", "keep_in_variable", "variable 'sale'", "shopx.sale.Sale")


def slowly(seconds: float) -> list[str]:
    time.sleep(seconds)
    return []


class FindHoldersTests(TreeCase, TestCase):
    timeout = 60

    async def test_a_thread_that_hangs(self) -> None:
        """A thread in a function of the generation is named, though a fork does not have it."""
        generation = self.generation(SOURCE)
        gate, begun = threading.Event(), threading.Event()
        thread = threading.Thread(
            target=generation.load("shopx.sale").wait_in_thread, args=(begun, gate), name="hanging"
        )
        thread.start()
        begun.wait(20)
        generation.release()
        found = await generation.find_holders(reactor)
        gate.set()
        thread.join()
        self.assertIn("thread hanging runs wait_in_thread", " ".join(found))


class ForkTests(TestCase):
    timeout = 60

    async def test_an_answer(self) -> None:
        """It comes from another process, which is gone afterwards."""
        mine = str(os.getpid())
        (pid,) = await lines_from_fork(reactor, lambda: [str(os.getpid())])
        self.assertNotEqual(pid, mine)
        self.assertRaises(ProcessLookupError, os.kill, int(pid), 0)

    async def test_it_has_no_descriptor_of_ours(self) -> None:
        """A connection that ends meanwhile ends for its client."""
        ours, theirs = socket.socketpair()
        answer = lines_from_fork(reactor, lambda: slowly(30))
        ours.close()
        until = reactor.seconds() + 20
        while True:
            theirs.setblocking(False)
            try:
                self.assertEqual(theirs.recv(1), b"")
                break
            except BlockingIOError:
                self.assertLess(reactor.seconds(), until)
                await deferLater(reactor, 0.01)
        theirs.close()
        answer.cancel()
        await answer

    async def test_an_error_and_a_hang(self) -> None:
        """Both give a line that says so."""
        self.assertIn("ZeroDivisionError", (await lines_from_fork(reactor, lambda: [str(1 / 0)]))[0])
        self.assertIn("in time", (await lines_from_fork(reactor, lambda: slowly(60), 0.05))[0])

    async def test_no_fork(self) -> None:
        """When there is no more room for processes, that is the answer."""

        def fail() -> int:
            raise BlockingIOError(11, "Resource temporarily unavailable")

        self.patch(os, "fork", fail)
        self.assertIn("Resource temporarily", (await lines_from_fork(reactor, list))[0])
