# -*- test-case-name: tests.network_agent.test_agent -*-
"""
The one thread in which a host's network is changed, begun when it is first needed.

Sockets of netlink are of the network namespace of the thread that opened them, and a call may take a second.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


def _nothing() -> None:
    """The thread stays where it begins."""


@define(eq=False)
class OneThread:
    """
    ``cloudd.interfaces.application.Threads`` of one thread: calls are made one after the other.

    :ivar _begin: called first in the thread
    """

    _reactor: Any
    _begin: Callable[[], None] = _nothing
    _pool: ThreadPoolExecutor | None = field(init=False, default=None)

    def run(
        self, function: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Deferred[Result]:
        """Call ``function`` there; fires in the reactor's thread.  It cannot be cancelled."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "network", self._begin)
        fires: Deferred[Result] = Deferred()

        def ended(future: Future[Result]) -> None:
            error = future.exception()
            if error is None:
                self._reactor.callFromThread(fires.callback, future.result())
            else:
                self._reactor.callFromThread(fires.errback, Failure(error))

        self._pool.submit(function, *args, **kwargs).add_done_callback(ended)
        return fires

    def end(self) -> None:
        """Let the thread end when its calls are done; a later call begins another one."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)
