"""The worker's bounded thread pool, behind ``cloudd.interfaces.application.Threads``."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


class _DeafThread(threading.Thread):
    """
    Signals that ask the process to stop are left to the reactor's thread.

    The kernel gives a signal to whichever thread does not hold it back.  When the anchor holds them back to become
    other code, one that a thread here took would be lost with this interpreter.
    """

    def run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
        super().run()


class WorkerThreads:
    """
    At most ``count`` threads, started as they are needed.

    :param reactor: results arrive in its thread
    """

    def __init__(self, reactor: Any, count: int) -> None:
        self._reactor = reactor
        self._count = count
        self._pool = self._make_pool()

    def _make_pool(self) -> ThreadPool:
        pool = ThreadPool(0, self._count, "disk")
        pool.threadFactory = _DeafThread
        return pool

    def start(self) -> None:
        """Take work; ``stop`` ends it.  It may be started again after that."""
        if self._pool.joined:  # Twisted's own cannot be
            self._pool = self._make_pool()
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
