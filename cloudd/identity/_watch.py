# -*- test-case-name: tests.identity -*-
"""
Reading the revocation table, so that no worker trusts its caches for longer than ``TRUST_S``.

A look that began at time t has seen whatever was committed before t.  ``fresh_until`` is t plus ``TRUST_S``: a cached
access may be used before then and not after.  So a revocation is in force everywhere within that time, also when
a worker was stopped, its reactor was held up, or the database cannot be read: then nothing is served from a cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from . import _revocation
from ._errors import IdentityError
from ._shared import Shared
from ._store import Store

TRUST_S = 0.9
FORGET_ALL_AFTER_S = 60.0

log = Logger()


@define(eq=False)
class Watch:
    """
    Looks at the table every ``poll_s`` and on demand; one look at a time.

    :param forget: called with the subjects of new events
    :param forget_all: called when events may have been missed
    """

    _reactor: Any
    _store: Store
    _poll_s: float
    _forget: Callable[[frozenset[str]], None]
    _forget_all: Callable[[], None]
    fresh_since: float = 0.0  # when the last good look began; later than now: the clock was set back
    fresh_until: float = 0.0
    position: int = -1  # newest event seen; -1: none was looked for
    cause: str = ""  # why the last look failed
    _looks: Shared[None] = field(init=False, factory=Shared)
    _timer: LoopingCall | None = field(init=False, default=None)

    def start(self) -> None:
        self._timer = LoopingCall(self._tick)
        self._timer.clock = self._reactor
        self._timer.start(self._poll_s)

    def stop(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.running:
            timer.stop()

    @property
    def is_fresh(self) -> bool:
        return bool(self.fresh_since <= self._reactor.seconds() < self.fresh_until)

    async def ensure_fresh(self) -> None:
        """
        Return once the caches may be trusted.

        :raises IdentityUnavailable: the table cannot be read
        """
        while not self.is_fresh:
            await self.look()

    async def look(self) -> None:
        """
        Read new events; joins a look that is under way.

        :raises IdentityUnavailable: the table cannot be read
        """
        await self._looks.call("look", self._look)

    async def catch_up(self) -> None:
        """
        Read at least what was committed before this call.

        :raises IdentityUnavailable: the table cannot be read
        """
        if self._looks.under_way("look"):  # it may have begun too early
            await self.look()
        await self.look()

    async def _look(self) -> None:
        began = self._reactor.seconds()
        try:
            if self.position < 0 or began - self.fresh_until > FORGET_ALL_AFTER_S:
                self.position = await self._store.read(_revocation.position)
                self._forget_all()
            else:
                self.position, subjects = await self._store.read(_revocation.since, self.position)
                if subjects:
                    self._forget(subjects)
        except IdentityError as error:
            self.cause = error.cause
            raise
        self.cause = ""
        self.fresh_since, self.fresh_until = began, began + TRUST_S

    def _tick(self) -> None:
        # A failure is kept in `cause`, for `health` and for whoever asks meanwhile; the timer goes on.
        Deferred.fromCoroutine(self.look()).addErrback(self._log)

    def _log(self, failure: Failure) -> None:
        if not failure.check(IdentityError):
            log.failure("looking for revocations", failure)
