"""The worker's bounded thread pool, behind ``cloudd.interfaces.application.Threads``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


class WorkerThreads:
    """
    At most ``count`` threads, started as they are needed.

    :param reactor: results arrive in its thread
    """

    def __init__(self, reactor: Any, count: int) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, count, "disk")

    def start(self) -> None:
        """Take work; ``stop`` ends it."""
        self._pool.start()

    def stop(self) -> None:
        """Wait for the calls that run and end the threads."""
        self._pool.stop()

    def run(
        self, function: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Deferred[Result]:
        """Call ``function`` in a thread; fires in the reactor thread with its result or failure."""
        done: Deferred[Result] = deferToThreadPool(self._reactor, self._pool, function, *args, **kwargs)
        return done

    def backlog(self) -> int:
        """Calls that no thread has taken yet."""
        return int(self._pool._team.statistics().backloggedWorkCount)
