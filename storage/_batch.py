"""Work that is cheaper together: what comes while a batch runs waits for the next one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ._borrowed import Threads

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batch(Generic[Item, Result]):
    """
    One thread job at a time, each with all items that have come by then.

    :param work: called in a thread; gives one result or ``Failure`` per item, or raises for all
    """

    def __init__(self, threads: Threads, work: Callable[[Sequence[Item]], Sequence[Result | Failure]]) -> None:
        self._threads = threads
        self._work = work
        self._waiting: list[tuple[Item, Deferred[Result]]] = []
        self._running = False

    def submit(self, item: Item) -> Deferred[Result]:
        """Have it done; fires with its own result."""
        done: Deferred[Result] = Deferred()
        self._waiting.append((item, done))
        if not self._running:
            self._run()
        return done

    def _run(self) -> None:
        batch, self._waiting = self._waiting, []
        self._running = True
        ended = self._threads.run(self._work, [item for item, _ in batch])
        ended.addErrback(lambda failure: [failure] * len(batch))
        ended.addCallback(self._ended, [done for _, done in batch])

    def _ended(self, results: Sequence[Result | Failure], batch: Sequence[Deferred[Result]]) -> None:
        self._running = False
        if self._waiting:
            self._run()
        for done, result in zip(batch, results, strict=True):
            if isinstance(result, Failure):
                done.errback(result)
            else:
                done.callback(result)
