# -*- test-case-name: tests.drivers.test_libvirt_looks -*-
"""
What guests do: asked again whenever something may have happened, and told where it is new.

One look at a guest at a time, and everything that is told comes from such a look: an answer that was under way while
the guest changed is never told after a younger one.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cloudd.hypervisor import HypervisorAway
from cloudd.interfaces.servers import Power, Seen

_AT_REST: Final = {Power.OFF, Power.CRASHED, Power.SUSPENDED}


class Looks:
    """
    :param one: reads the state of the guest with this id; ``None``: it is gone
    :param every: reads all
    :ivar observe: who is told; ``None``: nobody
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        one: Callable[[str], Coroutine[Any, Any, Seen | None]],
        every: Callable[[], Coroutine[Any, Any, list[Seen]]],
    ) -> None:
        self.observe: Callable[[Seen], None] | None = None
        self._reactor = reactor
        self._one = one
        self._every = every
        self._told: dict[str, Seen] = {}  # by id of the server
        self._looking: dict[str, list[Deferred[None]]] = {}  # by id, who waits for the look after this one
        self._resting: dict[str, list[Deferred[None]]] = {}  # who waits for a guest to end
        self._background: set[Deferred[None]] = set()  # looks that nobody asked for

    def look_at(self, uuid: str) -> Deferred[None]:
        """Fires when a state that was read from now on has been told."""
        told: Deferred[None] = Deferred()
        if uuid in self._looking:
            self._looking[uuid].append(told)
        else:
            self._looking[uuid] = [told]
            self._by_itself(self._look(uuid))
        return told

    def look_at_all(self) -> None:
        """Anything may have happened."""
        self._by_itself(self._look_at_all())

    def forget(self, uuid: str) -> None:
        """It is gone: one with this id that comes later is a new one."""
        self._told.pop(uuid, None)

    def at_rest(self, uuid: str, patience_s: float) -> Deferred[bool]:
        """Whether it ended within that time.  Cancelled: it did not."""
        rest: Deferred[None] = Deferred(lambda _: None)
        self._resting.setdefault(uuid, []).append(rest)
        answer: Deferred[bool] = Deferred(lambda _: over(False))

        def over(ended: bool) -> None:
            if late.active():
                late.cancel()
            self._no_longer(uuid, rest)
            if not answer.called:
                answer.callback(ended)

        late = self._reactor.callLater(patience_s, over, False)
        rest.addCallback(lambda _: over(True))
        return answer

    async def end(self) -> None:
        """Wait for the looks that run; whoever observes is to be told nothing more before."""
        while self._background:
            await self._background.pop()

    async def _look_at_all(self) -> None:
        there = {seen.id for seen in await self._every() if seen.id}
        for uuid in sorted(there | set(self._told)):
            await self.look_at(uuid)  # what was read above may be older by now than what a call has told

    async def _look(self, uuid: str) -> None:
        try:
            while waiting := self._looking[uuid]:
                self._looking[uuid] = []
                try:
                    self._tell(uuid, await self._one(uuid))
                finally:
                    for told in waiting:
                        told.callback(None)
        finally:
            for told in self._looking.pop(uuid):
                told.callback(None)

    def _tell(self, uuid: str, seen: Seen | None) -> None:
        if seen is None or seen.power in _AT_REST:
            for waiting in self._resting.pop(uuid, []):
                waiting.callback(None)
        if seen is None:
            self.forget(uuid)
        elif seen.id and self._told.get(uuid) != seen:
            self._told[uuid] = seen
            if self.observe is not None:
                self.observe(seen)

    def _no_longer(self, uuid: str, rest: Deferred[None]) -> None:
        waiting = self._resting.get(uuid, [])
        if rest in waiting:
            waiting.remove(rest)
        if not waiting:
            self._resting.pop(uuid, None)

    def _by_itself(self, work: Coroutine[Any, Any, None]) -> None:
        def failed(failure: Any) -> None:
            if not failure.check(HypervisorAway):  # the next connection brings a look at everything
                self._log.failure("guests of libvirt could not be looked at", failure)

        done = Deferred.fromCoroutine(work)
        self._background.add(done)

        def over(result: Any) -> Any:
            self._background.discard(done)
            return result

        done.addErrback(failed).addBoth(over)
