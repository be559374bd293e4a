# -*- test-case-name: tests.image_cache.test_sharing -*-
"""One piece of work that several wait for: it is begun once, and cancelled when nobody waits any more."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure


class Shared:
    """
    :param work: what is waited for
    :param ended: called once when it has ended, before anybody hears of it
    :ivar has_ended: whether it has
    """

    def __init__(self, work: Deferred[None], ended: Callable[[], None]) -> None:
        self._waiting: list[Deferred[None]] = []
        self.has_ended = False
        self._failure: Failure | None = None
        self._ended = ended
        self._work = work
        work.addBoth(self._end)

    def wait(self) -> Deferred[None]:
        """Fires when the work has ended, or fails as it has.  The last one that is cancelled cancels the work."""
        waiting: Deferred[None] = Deferred(self._leave)
        self._waiting.append(waiting)
        if self.has_ended:
            self._tell()
        return waiting

    def _leave(self, waiting: Deferred[None]) -> None:
        self._waiting.remove(waiting)
        waiting.errback(CancelledError())
        if not self._waiting:
            self._work.cancel()

    def _end(self, result: Failure | None) -> None:
        self.has_ended = True
        self._failure = result
        self._ended()
        self._tell()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if self._failure is None:
                each.callback(None)
            else:
                each.errback(self._failure)
