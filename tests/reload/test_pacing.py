"""Work that nobody waits for leaves the processor to others now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from reload import Load, _pacing, call_paced
from reload._pacing import REST_S, WORK_S, rest

from .trees import TreeCase

LONG = """
import time
until = time.thread_time() + 0.003
while time.thread_time() < until:
    pass
"""


@contextmanager
def counted_rests() -> Iterator[list[float]]:
    """How long each rest was that a thread of the test took."""
    rests: list[float] = []
    clock = mock.Mock(wraps=time, sleep=rests.append)
    with mock.patch.object(_pacing, "time", clock):
        yield rests


def work(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


class PacingTests(SynchronousTestCase):
    def test_rests_after_work_alone(self) -> None:
        def both() -> None:
            rest()
            work(2 * WORK_S)
            rest()

        with counted_rests() as rests:
            call_paced(both)
        self.assertIn(rests, ([REST_S], [REST_S, REST_S]))  # the first one too where the machine was slow

    def test_waiting_is_no_work(self) -> None:
        """Where others leave it no processor, it would do nothing but rest."""

        def wait() -> None:
            time.sleep(5 * WORK_S)
            rest()

        with counted_rests() as rests:
            call_paced(wait)
        self.assertEqual(rests, [])

    def test_a_long_rest_is_made_up_for(self) -> None:
        """As on a machine where others take the processor meanwhile."""

        def both() -> None:
            for _ in range(2):
                work(2 * WORK_S)
                rest()
            work(100 * WORK_S)
            rest()

        times = mock.Mock(wraps=time)
        times.sleep.side_effect = lambda _seconds: time.sleep(20 * WORK_S)
        with mock.patch.object(_pacing, "time", times):
            call_paced(both)
        self.assertEqual(times.sleep.call_count, 2)

    def test_never_elsewhere(self) -> None:
        """Neither after paced work, nor in other threads, nor after work that failed."""

        def fail() -> None:
            raise ValueError

        with counted_rests() as rests:
            call_paced(int)
            self.assertRaises(ValueError, call_paced, fail)
            work(2 * WORK_S)
            rest()
            inside, go_on = threading.Event(), threading.Event()

            def wait() -> None:
                inside.set()
                go_on.wait(10)

            other = threading.Thread(target=call_paced, args=(wait,))
            other.start()
            inside.wait(10)
            work(2 * WORK_S)
            rest()
            go_on.set()
            other.join()
        self.assertEqual(rests, [])

    def test_what_it_gives(self) -> None:
        self.assertEqual(call_paced(divmod, 7, 2), (3, 1))


class PacedImportTests(TreeCase):
    def rests(self, text: str, load: Callable[[Callable[[], object]], object]) -> int:
        generation = self.generation({"shopx/a.py": text, "shopx/b.py": "", "shopx/c.py": ""}, str(hash(text)))
        with counted_rests() as rests:
            load(lambda: generation.load("shopx.a"))
        return len(rests)

    def test_between_imports_and_classes(self) -> None:
        """A module that imports, or makes classes, is no piece of work on its own."""
        imports = f"{LONG}\nimport shopx.b\n{LONG}\nimport shopx.c\n"
        classes = f"{LONG}\nclass A: pass\n{LONG}\nclass B: pass\n"
        for text in (imports, classes):
            self.assertGreaterEqual(self.rests(text, call_paced), 2)
        self.assertEqual(self.rests(f"# at once{imports}{classes}", lambda load: load()), 0)

    def test_a_load_rests(self) -> None:
        def load(function: Callable[[], object]) -> None:
            clock = mock.Mock(wraps=Clock())
            ended = threading.Event()

            def at_once(call: Callable[..., object], *args: object) -> None:
                call(*args)
                ended.set()

            clock.callFromThread = at_once
            result: Deferred[object] = Load(clock, function).result
            self.assertTrue(ended.wait(10))
            self.successResultOf(result)

        self.assertGreaterEqual(self.rests(f"import shopx.b\n{LONG}\nimport shopx.c\n", load), 1)

    def test_trees_are_read_and_copied_with_rests(self) -> None:
        with counted_rests() as rests, mock.patch.object(_pacing, "WORK_S", 0.0):
            call_paced(self.tree, {})
            read = len(rests)
            call_paced(self.tree({}).stage, self.folder / "code")
        self.assertGreaterEqual(read, 6)
        self.assertGreaterEqual(len(rests), read + 6)
