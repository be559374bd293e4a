# -*- test-case-name: tests.compute.test_making -*-
"""
New keys, made in a thread, a few at a time.

One takes some tenths of a second of a core, now and then seconds; so a flood of requests must neither fill the thread
pool, which disks need too, nor take all cores: ``CONCURRENT`` are made, ``WAITING_LIMIT`` wait, the rest is refused.
"""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import DeferredSemaphore

from cloudd.interfaces.application import Threads

from .._errors import ComputeBusy
from ._keys import NewKey, generated

CONCURRENT = 2
WAITING_LIMIT = 50


@define(eq=False)
class KeyMaker:
    """``generated`` from the reactor; one for a worker."""

    _threads: Threads
    _turns: DeferredSemaphore = field(init=False, factory=lambda: DeferredSemaphore(CONCURRENT))

    async def make(self, kind: str, user_id: str) -> NewKey:
        """
        A new pair of that kind.

        :raises ComputeBusy: too many wait already; nothing was made
        """
        if len(self._turns.waiting) >= WAITING_LIMIT:
            raise ComputeBusy("Too many key pairs are being generated: try again in a moment, or give a public key.")
        await self._turns.acquire()
        try:
            return await self._threads.run(generated, kind, user_id)
        finally:
            self._turns.release()
