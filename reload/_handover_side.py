# -*- test-case-name: tests.reload.test_handover_faults -*-
"""What the old and the new process's side of a hand-over have in common: link, clock, batches, and the end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from attrs import field, frozen
from attrs.validators import ge, gt, in_, le
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from ._handover_effects import (
    BatchOver,
    Close,
    Effects,
    Fail,
    Fence,
    Finish,
    GiveNext,
    Send,
)
from ._handover_exchange import Exchange, Progress
from ._handover_frames import Frame, close_all
from ._handover_giving import Giver
from ._handover_interfaces import HandoverError, Incompatible, ProtocolViolation, Reason
from ._handover_kinds import Agreement, Kinds
from ._handover_ledger import Ledger
from ._handover_link import LinkLike
from ._handover_messages import (
    MAX_BATCH,
    Abort,
    Commit,
    Committed,
    Discard,
    End,
    Hello,
    Message,
    Prepare,
    Prepared,
    decode,
    encode,
)
from ._handover_supply import Supply
from ._handover_taking import Taker

_log = Logger()


#: Longest time that is left to everything else between two batches.
LONGEST_REST_S = 0.01


@frozen
class HandoverLimits:
    """
    How much at once, and how long to wait (seconds).

    :param batch: connections that are frozen at the same time; each costs its clients about 50 µs of waiting
    :param hello_s: for the other side's greeting
    :param prepare_s: for a batch to be adopted; a batch's clients wait so long when the taker hangs
    :param commit_s: for a given batch to be confirmed; then the other process is fenced
    :param hold_s: for a giver that hangs, before its batch is dropped
    :param decision_s: for the owner's durable decision; then it is cancelled
    :param window_s: of supervision; the link stays for longer when something has still to follow
    :param must_return: refuse when the old process could not read the new one's state
    """

    batch: int = field(default=64, validator=[ge(1), le(MAX_BATCH)])
    hello_s: float = field(default=30.0, validator=gt(0))
    prepare_s: float = field(default=5.0, validator=gt(0))
    commit_s: float = field(default=5.0, validator=gt(0))
    hold_s: float = field(default=30.0, validator=gt(0))
    decision_s: float = field(default=30.0, validator=gt(0))
    window_s: float = field(default=60.0, validator=ge(0))
    must_return: bool = field(default=False, validator=in_([True, False]))


@frozen
class Ending:
    """
    How a session has ended.

    :ivar how: ``moved``, ``returned``, ``refused`` (the two cannot read each other), ``declined`` (the owner),
        ``failed`` (here), ``aborted`` (there) or ``lost`` (the other process is gone)
    """

    how: str
    cause: str
    progress: Progress


class HandoverFailed(HandoverError):
    """The session ended before what was waited for; see ``ending``.  What had not moved is served as before."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(f"{ending.how}: {ending.cause}")
        self.ending = ending


class Phases(Protocol):
    """What both machines of phases understand."""

    def greeted(self) -> Effects: ...
    def refused(self, cause: str) -> Effects: ...
    def batch_over(self) -> Effects: ...
    def all_given(self, now: float) -> Effects: ...
    def emptied(self) -> Effects: ...
    def ready(self) -> Effects: ...
    def timed_out(self) -> Effects: ...
    def other_ended(self) -> Effects: ...
    def fail(self, cause: str) -> Effects: ...
    def aborted(self, cause: str) -> Effects: ...
    def lost(self) -> Effects: ...


class HasDeadline(Protocol):
    """A machine's shared data."""

    deadline: float | None


class Side:
    """
    One process's side.  ``OldProcess`` and ``NewProcess`` say what is different.

    :ivar ended: fires with the ``Ending``
    """

    phases: Phases
    phase_clock: HasDeadline

    def __init__(
        self,
        reactor: Any,
        link: LinkLike,
        kinds: Kinds,
        adopter: Any,
        source: Callable[[], Iterable[Any]],
        limits: HandoverLimits,
        fence: Callable[[str], None] | None,
        name: str,
        ledger: Ledger | None,
    ) -> None:
        self._reactor, self._link = reactor, link
        self._kinds, self._limits, self._name = kinds, limits, name
        self._fence_call = fence
        self._supply = Supply(source)
        self._exchange = Exchange(
            self._send,
            reactor.seconds,
            kinds,
            adopter,
            self._supply,
            Ledger() if ledger is None else ledger,
            Giver(limits.prepare_s, limits.commit_s),
            Taker(limits.hold_s),
        )
        self.ended: Deferred[Ending] = Deferred()
        self._effects: deque[Any] = deque()
        self._running = False
        self._batch_began = 0.0
        self._timer: Any = None
        self._ending: Ending | None = None
        self._closed = False
        self._taking = False
        self._going_back = False
        self._return_waiters: list[Deferred[Progress]] = []

    # ---- for the owner

    @property
    def progress(self) -> Progress:
        """What has happened so far."""
        return self._exchange.progress

    @property
    def later(self) -> dict[Any, tuple[Reason, str]]:
        """What stays here for now, and why."""
        return dict(self._supply.later)

    def ready(self, movable: Any) -> None:
        """``movable``, which may be in ``later``, can be tried again, or has ended.  Cheap for one that is not."""
        if self._supply.ready(movable):
            self.run(self.phases.ready())

    def abort(self, cause: str) -> None:
        """End the session now: all that has not moved is served as before."""
        self.run(self.failing(cause))

    def give_up(self, cause: str) -> Effects:
        """Take back and drop what is under way.  Before the other side is told, so that the ledger is never behind."""
        return [*self._exchange.giver.machine.give_up(cause), *self._exchange.taker.machine.give_up()]

    def failing(self, cause: str) -> Effects:
        """It cannot go on."""
        return [*self.give_up(cause), *self.phases.fail(cause)]

    def when_returned(self) -> Deferred[Progress]:
        """
        Wait for the end of the way back.

        :return: fires when all that can go back now has gone; fails with ``HandoverFailed`` when the session ends
            before that, with ``HandoverError`` when nothing goes back in this phase
        """
        if not self._going_back or self._ending is not None:
            return fail(HandoverError("nothing goes back in this phase"))
        waiter: Deferred[Progress] = Deferred()
        self._return_waiters.append(waiter)
        return waiter

    def returned(self, result: Any) -> None:
        """Tell those who wait for the way back; ``result`` is a failure or ours to tell."""
        waiters, self._return_waiters = self._return_waiters, []
        for waiter in waiters:
            waiter.callback(result)

    # ---- the beginning

    def begin(self) -> None:
        """Greet the other side."""
        self.phase_clock.deadline = self._reactor.seconds() + self._limits.hello_s
        self._link.start(self)
        self._send(self._kinds.hello(self._name), (self._exchange.ledger.descriptor,))
        self._arm()

    def agreed(self, agreement: Agreement) -> tuple[str, ...]:
        """Causes why the two cannot work together."""
        raise NotImplementedError

    def _hello(self, message: Hello, frame: Frame) -> Effects:
        if self._exchange.their_ledger is not None or len(frame.descriptors) != 1:
            close_all(frame.descriptors)
            return [Fail("a greeting came twice, or without its ledger")]
        try:
            self._exchange.their_ledger = self.open_ledger(frame.descriptors[0])
            agreement = self._kinds.agree(message)
        except ProtocolViolation as error:
            return [Fail(str(error))]
        except Incompatible as error:
            return self.phases.refused(str(error))
        self._exchange.agreement = agreement
        causes = self.agreed(agreement)
        return self.phases.refused("; ".join(causes)) if causes else self.phases.greeted()

    def open_ledger(self, descriptor: int) -> Ledger:
        """The other side's ledger."""
        return Ledger(descriptor)

    # ---- from the link

    def frame_received(self, frame: Frame) -> None:
        """A frame came."""
        try:
            message = decode(frame.payload)
        except ProtocolViolation as error:
            close_all(frame.descriptors)
            self.run(self.failing(str(error)))
            return
        if self._ending is not None:
            close_all(frame.descriptors)
            if isinstance(message, Committed) and self._exchange.giver.in_doubt:
                self.run([*self._exchange.giver.committed(message), Close()])
            return
        self.run(self._received(message, frame))

    def _received(self, message: Any, frame: Frame) -> Effects:
        if isinstance(message, Hello):
            return self._hello(message, frame)
        if isinstance(message, Prepare) and self._taking and self._exchange.their_ledger is not None:
            return self._exchange.prepare(message, frame.descriptors, frame.announced)
        wrong = self._wrong(message, frame)
        if wrong is not None:
            close_all(frame.descriptors)
            return [Fail(wrong)]
        if isinstance(message, End):
            return self.phases.other_ended()
        if isinstance(message, Abort):
            return self.phases.aborted(message.cause)
        effects = self._batch_message(message)
        return self.received(message, frame) if effects is None else effects

    def _wrong(self, message: Any, frame: Frame) -> str | None:
        name = type(message).__name__
        if self._exchange.their_ledger is None and not isinstance(message, Abort):
            return f"{name} came before the greeting"
        if frame.announced and not self.keeps_descriptors(message):
            return f"descriptors came with {name}"
        return None

    def _batch_message(self, message: Any) -> Effects | None:
        exchange = self._exchange
        match message:
            case Prepared():
                return exchange.giver.prepared(message, exchange.changed(), self._reactor.seconds())
            case Committed():
                exchange.progress.lost += len(message.failed)
                return exchange.giver.committed(message)
            case Commit():
                return exchange.taker.commit(message)
            case Discard():
                return exchange.taker.discard(message)
        return None

    def keeps_descriptors(self, message: Any) -> bool:
        """Whether ``message`` may have descriptors."""
        return False

    def received(self, message: Any, frame: Frame) -> Effects:
        """A message of phases came."""
        raise NotImplementedError

    def link_broken(self, cause: str) -> None:
        """What came are no frames."""
        self.run(self.failing(cause))

    def link_ended(self, cause: str) -> None:
        """The other side is dead, or has dropped all that it does not serve."""
        exchange = self._exchange
        _log.debug("the hand-over's link has ended: {cause}", cause=cause)
        self.run(
            [
                *exchange.giver.machine.lost(),
                *exchange.taker.machine.lost(),
                *self.phases.lost(),
                Close(),
            ]
        )

    # ---- doing

    def run(self, effects: Effects) -> None:
        """Carry out effects in order; those that arise meanwhile follow."""
        self._effects.extend(effects)
        if self._running:
            return
        self._running = True
        try:
            while self._effects:
                self._perform(self._effects.popleft())
        finally:
            self._running = False
        self._arm()

    def _perform(self, effect: Any) -> None:
        try:
            if not self._exchange.perform(effect):
                self.perform(effect)
        except Exception as error:
            _log.failure("the hand-over could not do {effect}", effect=effect)
            self._effects.extend(self.failing(f"{type(error).__name__}: {error}"))

    def perform(self, effect: Any) -> None:
        """Carry out an effect that is none of a batch's."""
        match effect:
            case Send():
                self._send(effect.message)
            case Fail():
                self._effects.extend(self.failing(effect.cause))
            case Fence():
                self._fence(effect.cause)
            case GiveNext():
                self._give_next()
            case BatchOver():
                self.batch_over(effect)
            case Finish():
                self._finish(effect)
            case Close():
                self._close()

    def _send(self, message: Message, descriptors: tuple[int, ...] = ()) -> None:
        self._link.send(encode(message), descriptors)

    def batch_over(self, _: BatchOver) -> None:
        """Let the reactor see to everything else before the next batch, for as long as this one has taken."""
        lasted = self._reactor.seconds() - self._batch_began
        self._reactor.callLater(min(lasted, LONGEST_REST_S), self._next_batch)

    def _next_batch(self) -> None:
        if self._ending is None:
            self.run(self.phases.batch_over())

    def _give_next(self) -> None:
        exchange, supply = self._exchange, self._supply
        if exchange.giving:
            return
        batch = supply.next(self._limits.batch)
        if batch:
            self._batch_began = self._reactor.seconds()
            # When none of it can move now, the reactor has its turn all the same: there may be thousands of those.
            self._effects.extend(exchange.offer(batch, rehearsal=False) or [BatchOver(0, rehearsal=False)])
            return
        self._effects.extend(self.phases.all_given(self._reactor.seconds()))
        if supply.empty and not self.more_comes():
            self._effects.extend(self.phases.emptied())

    def more_comes(self) -> bool:
        """Whether there may be something to give later that is not here yet."""
        return False

    def _fence(self, cause: str) -> None:
        _log.critical("the other process of a hand-over has to be ended: {cause}", cause=cause)
        if self._fence_call is not None:
            self._fence_call(cause)

    # ---- time

    def _arm(self) -> None:
        """Have one timer, for whichever deadline is next."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        clocks = (self.phase_clock, self._exchange.giver, self._exchange.taker)
        deadlines = [clock.deadline for clock in clocks if clock.deadline is not None]
        if deadlines and not self._closed:
            self._timer = self._reactor.callLater(max(0.0, min(deadlines) - self._reactor.seconds()), self._tick)

    def _tick(self) -> None:
        now = self._reactor.seconds()
        effects = [*self._exchange.giver.tick(now), *self._exchange.taker.tick(now)]
        deadline = self.phase_clock.deadline
        if deadline is not None and now >= deadline:
            effects += self.phases.timed_out()
        self.run(effects)

    # ---- the end

    def _finish(self, effect: Finish) -> None:
        self._ending = Ending(effect.ending, effect.cause, self.progress)
        self._effects.extend([*self.give_up(effect.cause or effect.ending), Close()])

    def _close(self) -> None:
        """Close the link: from now on the other side takes us for dead, so nothing may be in doubt."""
        ending = self._ending
        if self._closed or ending is None or self._exchange.giver.in_doubt:
            return
        self._closed = True
        self._link.close()
        self._exchange.close()
        self.closed(ending)
        self.returned(self.progress if ending.how == "returned" else Failure(HandoverFailed(ending)))
        self.ended.callback(ending)

    def closed(self, ending: Ending) -> None:
        """The session is over."""
