# -*- test-case-name: tests.drivers.test_turns -*-
"""
Calls for one guest, one after the other, which go no further when nobody wants them any more.

A call is a coroutine of steps, each of them in a thread, which cannot be stopped.  So a call that is cut off ends after
the step that runs, and only then may the next call for the guest begin; where it waits for something to happen, it
ends at once.  That matters for patience: a guest that is to shut down in an hour may be started by a successor before.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredLock, gatherResults
from twisted.python.failure import Failure

from cloudd.interfaces.servers import DriverStopped

Result = TypeVar("Result")


class Turn:
    """
    One call.

    :ivar server_id: in its one way of writing
    """

    def __init__(self, server_id: str) -> None:
        self.server_id = server_id
        self._is_cut_off = False
        self._waits: set[Deferred[Any]] = set()

    def check(self) -> None:
        """
        To be called before each step.

        :raises DriverStopped: no other may begin
        """
        if self._is_cut_off:
            raise DriverStopped("the call was cut off", "Make it again; it goes on where this one has ended")

    async def wait(self, event: Deferred[Result]) -> Result:
        """
        Wait for something that is no step; it is cancelled when the call is cut off.

        :raises DriverStopped: it was
        """
        if self._is_cut_off:
            event.addErrback(lambda failure: failure.trap(CancelledError))
            event.cancel()
            self.check()
        self._waits.add(event)
        try:
            return await event
        except CancelledError:
            self.check()
            raise
        finally:
            self._waits.discard(event)

    def cut_off(self) -> None:
        """Begin no further step.  Twice is no error."""
        self._is_cut_off = True
        for event in tuple(self._waits):
            event.cancel()


class Turns:
    """
    The calls of one driver.

    :param canonical: the one way of writing a server's id; raises a ``DriverError`` for what is none
    :param afterwards: called with the server's id at the end of each call; the next one waits for it
    """

    def __init__(
        self, canonical: Callable[[str], str], afterwards: Callable[[str], Deferred[None]] | None = None
    ) -> None:
        self._canonical = canonical
        self._afterwards = afterwards
        self._locks: dict[str, DeferredLock] = {}
        self._running: dict[Turn, Deferred[None]] = {}
        self._is_open = True

    def open(self) -> None:
        """Take calls, as one that is new does."""
        self._is_open = True

    def close(self) -> Deferred[None]:
        """Cut off what runs and take nothing more; fires when the steps that run have ended."""
        self._is_open = False
        for turn in tuple(self._running):
            turn.cut_off()
        return gatherResults([_follow(each) for each in self._running.values()]).addCallback(lambda _: None)

    def busy(self, server_id: str) -> bool:
        """Whether a call for it runs or waits."""
        return server_id in self._locks

    def take(self, server_id: str, work: Callable[[Turn], Coroutine[Any, Any, None]]) -> Deferred[None]:
        """
        Call ``work`` when those before it have ended.

        Cancelled, the Deferred fails at once, and the call is cut off.  It fails with ``DriverStopped`` when ``close``
        has cut it off, or was called before.
        """
        if not self._is_open:
            return _failed(DriverStopped("the driver was stopped", "Make the call again by its successor"))
        try:
            turn = Turn(self._canonical(server_id))
        except Exception as error:
            return _failed(error)

        def cancelled(answer: Deferred[None]) -> None:
            answer.errback(CancelledError())
            turn.cut_off()

        answer: Deferred[None] = Deferred(cancelled)
        done = Deferred.fromCoroutine(self._run(turn, work))
        self._running[turn] = done

        def over(result: Any) -> None:
            self._running.pop(turn, None)
            if not answer.called:
                answer.callback(result) if not isinstance(result, Failure) else answer.errback(result)

        done.addBoth(over)
        return answer

    async def _run(self, turn: Turn, work: Callable[[Turn], Coroutine[Any, Any, None]]) -> None:
        lock = self._locks.setdefault(turn.server_id, DeferredLock())
        try:
            await turn.wait(lock.acquire())
        except BaseException:
            self._forget(turn.server_id, lock)
            raise
        try:
            turn.check()
            await work(turn)
        finally:
            if self._is_open and self._afterwards is not None:
                await self._afterwards(turn.server_id)
            lock.release()
            self._forget(turn.server_id, lock)

    def _forget(self, server_id: str, lock: DeferredLock) -> None:
        if not lock.locked and not lock.waiting and self._locks.get(server_id) is lock:
            del self._locks[server_id]


def _failed(error: Exception) -> Deferred[Any]:
    failed: Deferred[Any] = Deferred()
    failed.errback(error)
    return failed


def _follow(done: Deferred[Any]) -> Deferred[None]:
    followed: Deferred[None] = Deferred()

    def pass_on(result: Any) -> Any:
        followed.callback(None)
        return result

    done.addBoth(pass_on)
    return followed
