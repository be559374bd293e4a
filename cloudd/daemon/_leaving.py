# -*- test-case-name: tests.daemon.test_workers -*-
"""
How processes of workers end: when their requests have, within a time, or by force; then the loader that forked them.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from ._loader_process import LoaderProcess
from ._slot import Slot

KILL_DELAY_S = 3.0


@define(eq=False)
class Leaving:
    """
    The workers that leave, and what ends those that do not.

    :param stop_timeout_s: how long requests in flight have when a worker is told to end
    :param longest_wait_s: how long a worker that leaves may take
    :ivar slots: those that leave and have not ended
    :ivar loaders: of these workers
    :ivar hashes: slot that leaves -> the tree that it was decided for
    """

    _reactor: Any
    _stop_timeout_s: float
    _longest_wait_s: float
    slots: list[Slot] = field(factory=list)
    loaders: list[LoaderProcess] = field(factory=list)
    hashes: dict[Slot, str] = field(factory=dict)
    log = Logger()

    def let_leave(self, slots: Iterable[Slot], loader: LoaderProcess | None, tree_hash: str) -> None:
        """These processes end by themselves, at last after the longest wait; then their loader does."""
        running = [slot for slot in slots if slot.runs]
        self.slots.extend(running)
        for slot in running:
            slot.keep_running(restart=False)
            self.hashes[slot] = tree_hash
            quiet(slot.ended).addCallback(self._has_left, slot)
        timer = self._reactor.callLater(self._longest_wait_s, self._have_waited, running)
        if loader is not None:
            self.loaders.append(loader)

        def ended(_: object) -> None:
            if timer.active():
                timer.cancel()
            if loader is not None:
                self.loaders.remove(loader)
                if not loader.is_lost:
                    loader.end()

        DeferredList([quiet(slot.ended) for slot in running]).addCallback(ended)

    def end(self, slot: Slot, timeout_s: float) -> None:
        """Ask one process to end within ``timeout_s``; one that hangs is killed."""
        self.kill_later(slot, timeout_s)
        slot.stop(timeout_s)

    def kill_later(self, slot: Slot, timeout_s: float) -> None:
        """If the process that was told to end has not done so by then: one that hangs hears neither call nor signal."""
        process = slot.ended

        def kill() -> None:
            if slot.ended is process:
                self._kill([slot])

        timer = self._reactor.callLater(timeout_s + KILL_DELAY_S, kill)
        quiet(process).addCallback(lambda _: timer.cancel() if timer.active() else None)

    def kill_all_later(self, slots: list[Slot], timeout_s: float) -> Any:
        """The same of several; gives the timer."""
        return self._reactor.callLater(timeout_s + KILL_DELAY_S, self._kill, slots)

    async def ended(self, slots: list[Slot], timeout_s: float) -> None:
        """Wait for the end of processes that were told to end within ``timeout_s``; those that hang are killed."""
        killer = self.kill_all_later(slots, timeout_s)
        if slots:
            await DeferredList([quiet(slot.ended) for slot in slots])
        if killer.active():
            killer.cancel()

    def _has_left(self, _: None, slot: Slot) -> None:
        self.slots.remove(slot)
        self.hashes.pop(slot, None)

    def _have_waited(self, slots: list[Slot]) -> None:
        for slot in slots:
            if slot.runs:
                self.log.warn("old worker {worker} has waited long enough: it ends now", worker=slot.name, pid=slot.pid)
                self.end(slot, self._stop_timeout_s)

    def _kill(self, slots: list[Slot]) -> None:
        for slot in slots:
            if slot.runs:
                self.log.error("killing worker {worker}: it does not end", worker=slot.name)
                slot.signal(signal.SIGKILL)


def kill_all(slots: Iterable[Slot]) -> None:
    """End processes at once."""
    for slot in slots:
        if slot.runs:
            slot.signal(signal.SIGKILL)


def quiet(deferred: Deferred[int]) -> Deferred[None]:
    """Fires with it, and leaves its result to the others who wait."""
    done: Deferred[None] = Deferred()

    def passed(result: int) -> int:
        done.callback(None)
        return result

    deferred.addBoth(passed)
    return done
