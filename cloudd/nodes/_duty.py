# -*- test-case-name: tests.nodes.test_duty -*-
"""
One duty in one process: taken when nobody has it, done while it is held, given back at rest.

**Looking.**  Every third of the lease's length: a holder renews, others read whether it is free, and only then write.
**The fence.**  The holder takes a duty for lost when nothing has proven it for ``FENCE`` of the lease's length, by a
clock that only goes forward, counted from before the write was sent: earlier than the database lets somebody else
have it.  Then the work is cancelled.  A process that stood still meanwhile may be late with that; what it writes
through ``Holder.write`` is refused all the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from cloudd.interfaces.application import Transactions

from . import _leases
from ._errors import DutyLost
from ._leases import Lease

LOOKS = 3  # in the length of a lease
FENCE = 0.9
AGAIN_S = 1.0  # after work that failed

log = Logger()


@define(eq=False)
class Holder:
    """What the work of a duty gets: who holds it, and how to write."""

    _database: Transactions
    lease: Lease

    async def write(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """
        ``Transactions.write``, for whom the duty is this holder's in that transaction.

        :raises DutyLost: it is not; nothing was written
        """
        return await self._database.write(_held, self.lease, function, args, kwargs)


Work = Callable[[Holder], Awaitable[None]]


@define(eq=False)
class Duty:
    """
    :param owner: what operators read of who has it
    :param lease_s: how long nobody does it after its holder was killed
    :param work: runs while the duty is held, is cancelled when it is lost, and begun again when it has ended or failed
    :param every_s: how long to wait after work that has ended
    :param seconds: a clock that only goes forward
    :ivar willing: whether to take it; set from outside, as is ``node_id``
    """

    name: str
    _reactor: Any
    _database: Transactions
    _owner: str
    _lease_s: float
    _work: Work
    _every_s: float
    _seconds: Callable[[], float]
    willing: bool = field(init=False, default=True)
    node_id: str = field(init=False, default="")
    lease: Lease | None = field(init=False, default=None)
    _proven_at: float = field(init=False, default=0.0)
    _running: Deferred[None] | None = field(init=False, default=None)
    _cancelled: bool = field(init=False, default=False)  # what runs was
    _begin_at: float = field(init=False, default=0.0)
    _look_at: float = field(init=False, default=0.0)
    _timer: LoopingCall | None = field(init=False, default=None)
    _look: Deferred[None] | None = field(init=False, default=None)
    _resting: bool = field(init=False, default=False)

    @property
    def is_held(self) -> bool:
        """Whether it is this process's, as far as it knows."""
        return self.lease is not None

    def start(self) -> None:
        """Begin to look."""
        self._timer = LoopingCall(self._tick)
        self._timer.clock = self._reactor
        ended = self._timer.start(min(self._lease_s / LOOKS, 1.0), now=True)
        ended.addErrback(lambda failure: log.failure("looking for the duty {name} has ended", failure, name=self.name))

    def rest(self) -> Deferred[None]:
        """Cancel the work and give the duty back; fires when both is done.  Safe to call again."""
        if self._timer is not None and self._timer.running:
            self._timer.stop()
        self._resting = True
        return Deferred.fromCoroutine(self._rest())

    async def _rest(self) -> None:
        running = self._running
        self._cancel()
        if running is not None:  # it may have something to put in order before another one begins
            await _ended(running)
        if self._look is not None:
            await _ended(self._look)
        await self.give_back()

    async def give_back(self) -> None:
        """Let another one have it now."""
        self._cancel()
        lease, self.lease = self.lease, None
        if lease is None:
            return
        try:
            await self._database.write(_leases.release, lease)
        except Exception as error:
            log.warn("the duty {name} is not given back, and ends by itself: {cause}", name=self.name, cause=str(error))

    def _tick(self) -> None:
        now = self._seconds()
        if self.lease is not None and now > self._proven_at + FENCE * self._lease_s:
            self._lose("it could not be renewed in time")
        self._begin(now)
        if self._look is None and now >= self._look_at:
            self._look_at = now + self._lease_s / LOOKS
            looking = self._look = Deferred.fromCoroutine(self._look_once(now))
            looking.addErrback(self._cannot_look).addBoth(self._has_looked)

    async def _look_once(self, began: float) -> None:
        lasts_us = int(self._lease_s * 1e6)
        lease = self.lease
        if lease is not None and not self.willing:
            await self.give_back()
        elif lease is not None:
            await self._database.write(_leases.renew, lease, lasts_us)
            self._proven_at = began
        elif self.willing and not self._resting:
            left_s = await self._database.read(_leases.ends_in_s, self.name)
            if left_s is None or left_s <= 0:
                self.lease = await self._database.write(_leases.take, self.name, self._owner, self.node_id, lasts_us)
                self._proven_at, self._begin_at = began, began
                self._begin(began)

    def _cannot_look(self, failure: Failure) -> None:
        if failure.check(DutyLost):
            self._lose(failure.getErrorMessage())
        else:
            log.warn("the duty {name}: {cause}; it is tried again", name=self.name, cause=failure.getErrorMessage())

    def _has_looked(self, _: object) -> None:
        self._look = None

    # ---- the work

    def _begin(self, now: float) -> None:
        if self.lease is None or self._running is not None or self._resting or now < self._begin_at:
            return
        holder = Holder(self._database, self.lease)
        self._cancelled = False
        running = Deferred.fromCoroutine(self._run(holder))
        self._running = None if running.called else running

    async def _run(self, holder: Holder) -> None:
        wait_s = self._every_s
        try:
            await self._work(holder)
        except (CancelledError, DutyLost):
            pass
        except Exception:
            wait_s = max(AGAIN_S, self._every_s)
            log.failure("the duty {name} is not done; it is begun again", name=self.name)
        self._running = None
        self._begin_at = self._seconds() + wait_s

    def _cancel(self) -> None:
        if self._running is not None and not self._cancelled:  # a second one would cut off what it puts in order
            self._cancelled = True
            self._running.cancel()

    def _lose(self, cause: str) -> None:
        log.warn("the duty {name} is no longer done here: {cause}", name=self.name, cause=cause)
        self.lease = None
        self._cancel()


def _held(connection: Any, lease: Lease, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    _leases.hold(connection, lease)
    return function(connection, *args, **kwargs)


def _ended(waited_for: Deferred[None]) -> Deferred[None]:
    """Fires when the other one has, whatever it gave, and leaves that alone."""
    # Not by `called`: that of a coroutine is true from its cancellation on, and it may go on for a while.
    ended: Deferred[None] = Deferred()

    def pass_on(result: Any) -> Any:
        ended.callback(None)
        return result

    waited_for.addBoth(pass_on)
    return ended
