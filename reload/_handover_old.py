# -*- test-case-name: tests.reload.test_handover_faults -*-
"""The old process's side of a hand-over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ._handover_effects import AllMoved, AskDecision, BatchOver, CancelDecision, Effects, Fail, GoingBack, Rehearse
from ._handover_exchange import Progress
from ._handover_frames import Frame
from ._handover_kinds import Agreement, Kinds
from ._handover_ledger import Ledger
from ._handover_link import LinkLike
from ._handover_messages import Listeners, Return, Returned
from ._handover_old_phases import OldClock, OldPhases, old_phases
from ._handover_side import Ending, HandoverFailed, HandoverLimits, Side

_log = Logger()


class OldProcess(Side):
    """
    Gives this process's connections to another one.

    :param link: to the new process, whose ``NewProcess`` has the other end
    :param kinds: what is written here, and read when it comes back
    :param source: gives all ``IMovable`` that are served here now; asked until nothing new comes, so ``decide`` has to
        stop accepting
    :param decide: called once, when the new process has shown that it can adopt; nothing is frozen meanwhile.  Fires
        when the decision is durable: the point of no return.  A failure, or being cancelled in time, is a refusal, and
        everything stays as it was.
    :param adopter: takes what is handed back; ``None`` when nothing can be
    :param listeners: descriptors of listening sockets by name, for the new process
    :param fence: called with the cause when the new process must be ended, since it keeps silent about a batch that
        it was given; the batch's clients wait until it is gone
    :param going_back: called with the cause when connections begin to come back: accept again
    :param more: whether connections may come later that are to be given too, so that the session stays; ``look_again``
        when they have come, or when none come any more
    :ivar decided: whether ``decide`` has fired
    """

    phases: OldPhases

    def __init__(
        self,
        reactor: Any,
        link: LinkLike,
        kinds: Kinds,
        source: Callable[[], Iterable[Any]],
        decide: Callable[[], Deferred[Any] | None],
        *,
        adopter: Any = None,
        listeners: Mapping[str, int] | None = None,
        limits: HandoverLimits | None = None,
        fence: Callable[[str], None] | None = None,
        going_back: Callable[[str], None] | None = None,
        more: Callable[[], bool] = lambda: False,
        name: str = "",
        ledger: Ledger | None = None,
    ) -> None:
        limits = limits or HandoverLimits()
        super().__init__(reactor, link, kinds, adopter, source, limits, fence, name, ledger)
        self.phase_clock = OldClock(limits.decision_s, limits.window_s, None)
        self.phases = old_phases(self.phase_clock)
        self._decide = decide
        self._listeners = dict(listeners or {})
        self._tell_going_back = going_back
        self._more = more
        self._decision: Deferred[Any] | None = None
        self._moved: Deferred[Progress] = Deferred()
        self.decided = False

    def start(self) -> Deferred[Progress]:
        """
        Begin.

        :return: fires when all that can move now has moved and the supervision window begins; fails with
            ``HandoverFailed`` when the session ends before
        """
        self.begin()
        return self._moved

    def take_back(self, cause: str) -> Deferred[Progress]:
        """
        Have everything handed back, during or after the moving.

        :return: fires when all that can come back now has come; what cannot follows
            Fails with ``HandoverFailed`` when the session ends before that, with ``HandoverError`` when nothing has
            been decided yet (use ``abort``) or the session is over.
        """
        self.run(self.phases.ask_back(cause))
        return self.when_returned()

    def end_window(self) -> None:
        """End the supervision window now: nothing comes back any more, what could not move still follows."""
        if self._moved.called and not self._going_back:
            self.run(self.phases.timed_out())

    def finish(self) -> None:
        """End the session now, also when something could still follow; after the moving only."""
        self.run([*self.give_up("the owner ends the session"), *self.phases.finish()])

    def look_again(self) -> None:
        """Ask the source once more for what is to be given."""
        self.run(self.phases.ready())

    def more_comes(self) -> bool:
        """As the owner says."""
        return self._more()

    # ----

    def agreed(self, agreement: Agreement) -> tuple[str, ...]:
        """The new process must read what is written here."""
        causes = agreement.unsendable
        return causes + agreement.unreadable if self._limits.must_return else causes

    def received(self, message: Any, frame: Frame) -> Effects:
        """A message of phases came."""
        match message:
            case Return():
                return self.phases.return_announced(message.cause)
            case Returned():
                return self.phases.returned()
        return [Fail(f"{type(message).__name__} is not for an old process")]

    def perform(self, effect: Any) -> None:
        """Carry out an effect."""
        match effect:
            case Rehearse():
                self._rehearse()
            case AskDecision():
                self._ask_decision()
            case CancelDecision():
                if self._decision is not None:
                    self._decision.cancel()
            case GoingBack():
                self._go_back(effect.cause)
            case AllMoved():
                self._all_moved()
            case _:
                super().perform(effect)

    def _rehearse(self) -> None:
        if self._listeners:
            self._send(Listeners(tuple(self._listeners)), tuple(self._listeners.values()))
        batch = self._supply.next(self._limits.batch)
        self._effects.extend(self._exchange.offer(batch, rehearsal=True))

    def batch_over(self, effect: BatchOver) -> None:
        """After the rehearsal, the decision."""
        if effect.rehearsal:
            self._supply.forget_order()
            self._effects.extend(self.phases.rehearsed(self._reactor.seconds()))
        else:
            super().batch_over(effect)

    def _ask_decision(self) -> None:
        self._decision = maybeDeferred(self._decide)
        self._decision.addCallbacks(self._was_decided, self._was_declined)

    def _was_decided(self, _: object) -> None:
        self._decision = None
        self.decided = True
        if self._ending is not None:
            _log.error("the decision for a hand-over has come after its end: {how}", how=self._ending.how)
        self.run(self.phases.decided())

    def _was_declined(self, failure: Failure) -> None:
        self._decision = None
        self.run(self.phases.declined(f"{type(failure.value).__name__}: {failure.value}"))

    def _go_back(self, cause: str) -> None:
        self._taking = self._going_back = True
        if not self._moved.called:
            self._moved.callback(self.progress)
        if self._tell_going_back is not None:
            self._tell_going_back(cause)

    def _all_moved(self) -> None:
        if self._going_back:
            self.returned(self.progress)
        elif not self._moved.called:
            self._moved.callback(self.progress)

    def closed(self, ending: Ending) -> None:
        """The session is over."""
        if not self._moved.called:
            self._moved.errback(HandoverFailed(ending))
