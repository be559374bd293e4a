# -*- test-case-name: tests.daemon.test_upgrade -*-
"""
The copies of code under ``STATE/code``: made for plans and changes, removed when nobody needs them any more.

What did not come to run is not removed at once: a worker that drops it may still answer requests with it.  As long as
one does, it is looked at again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cloudd.interfaces.application import Threads
from reload import CodeTree, call_paced, prune_copies

from ._manifests import Proof, stage_proved

PRUNE_AFTER_S = 1.0
LONGEST_WAIT_S = 60.0

log = Logger()


@frozen
class Needed:
    """
    Hashes of copies.

    :ivar stay: as long as nothing changes
    :ivar end: may be needed no more in a moment
    """

    stay: frozenset[str]
    end: frozenset[str]


@define(eq=False)
class Copies:
    """
    :param needed: which copies are needed; None: nothing must be removed now
    :ivar planned: hash of what was looked at last, and may be asked for next
    """

    _folder: Path
    _threads: Threads
    _clock: IReactorTime
    _needed: Callable[[], Awaitable[Needed | None]]
    planned: str = ""
    _lock: DeferredLock = field(init=False, factory=DeferredLock)
    _timer: Any = field(init=False, default=None)
    _wait_s: float = field(init=False, default=PRUNE_AFTER_S)

    async def stage(self, tree: CodeTree, proof: Proof) -> CodeTree:
        """
        Copy a tree, unless it is there.

        :raises reload.TreeError: it is not what was proved
        :raises OSError: it cannot be copied
        """
        async with self._lock:
            copy: CodeTree = await self._threads.run(call_paced, stage_proved, tree, self._folder, proof)
        return copy

    async def prune(self) -> str:
        """
        Remove what is not needed.

        :return: why it could not be done; empty: it was
        """
        async with self._lock:
            needed = await self._needed()
            if needed is None:
                return ""
            try:
                await self._threads.run(prune_copies, self._folder, {*needed.stay, *needed.end, self.planned})
            except OSError as error:
                return f"old copies could not be removed: {error}"
            if needed.end - needed.stay:
                self._look_again()
        return ""

    def prune_later(self) -> None:
        """The same in a moment; what cannot be removed then is in the log."""
        self._wait_s = PRUNE_AFTER_S
        self._look_again()

    def _look_again(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._clock.callLater(self._wait_s, self._prune)
        self._wait_s = min(LONGEST_WAIT_S, self._wait_s * 2)

    def _prune(self) -> None:
        pruning = Deferred.fromCoroutine(self.prune())
        pruning.addCallback(lambda cause: log.warn("{cause}", cause=cause) if cause else None)
        pruning.addErrback(lambda failure: log.failure("removing old copies", failure))
