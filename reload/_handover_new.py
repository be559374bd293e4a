# -*- test-case-name: tests.reload.test_handover_faults -*-
"""The new process's side of a hand-over."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred

from ._handover_effects import Accept, AllMoved, Effects, Fail, GoingBack
from ._handover_exchange import Progress
from ._handover_frames import Frame, close_all
from ._handover_kinds import Agreement, Kinds
from ._handover_ledger import Ledger
from ._handover_link import LinkLike
from ._handover_messages import Decided, Listeners, Moved, Return
from ._handover_new_phases import NewClock, NewPhases, new_phases
from ._handover_side import Ending, HandoverFailed, HandoverLimits, Side


class NewProcess(Side):
    """
    Takes another process's connections, and may hand them back.

    Start it when this process is ready to serve.  When the old process dies, what it had offered is served here, also
    before its decision (``progress.orphans``): nobody else can.

    :param link: to the old process, whose ``OldProcess`` has the other end
    :param kinds: what is read here, and written when it goes back
    :param adopter: an ``IAdopter``
    :param accept: called at the decision with the listening sockets by name, which are the callee's from then on
    :param source: gives all ``IMovable`` that are served here, when they go back
    :param going_back: called with the cause when connections begin to go back: stop accepting
    """

    phases: NewPhases

    def __init__(
        self,
        reactor: Any,
        link: LinkLike,
        kinds: Kinds,
        adopter: Any,
        *,
        accept: Callable[[dict[str, int]], None] | None = None,
        source: Callable[[], Iterable[Any]] = tuple,
        limits: HandoverLimits | None = None,
        fence: Callable[[str], None] | None = None,
        going_back: Callable[[str], None] | None = None,
        name: str = "",
        ledger: Ledger | None = None,
    ) -> None:
        limits = limits or HandoverLimits()
        super().__init__(reactor, link, kinds, adopter, source, limits, fence, name, ledger)
        self.phase_clock = NewClock(None)
        self.phases = new_phases(self.phase_clock)
        self._accept = accept
        self._tell_going_back = going_back
        self._listeners: dict[str, int] = {}
        self._moved: Deferred[Progress] = Deferred()
        self._taking = True

    def start(self) -> Deferred[Progress]:
        """
        Begin.

        :return: fires when all that can come now has come; fails with ``HandoverFailed`` when the session ends before
        """
        self.begin()
        return self._moved

    def give_back(self, cause: str) -> Deferred[Progress]:
        """
        Hand everything back to the old process; between the decision and the session's end.

        :return: fires when all that can go back now has gone; fails with ``HandoverFailed`` when the session ends
            before that, with ``HandoverError`` when nothing can go back in this phase
        """
        self.run(self.phases.give_back(cause))
        return self.when_returned()

    # ----

    def agreed(self, agreement: Agreement) -> tuple[str, ...]:
        """What the old process writes must be readable here."""
        return agreement.unreadable

    def keeps_descriptors(self, message: Any) -> bool:
        """Listening sockets come, once."""
        return isinstance(message, Listeners)

    def received(self, message: Any, frame: Frame) -> Effects:
        """A message of phases came."""
        match message:
            case Listeners():
                return self._got_listeners(message, frame)
            case Decided():
                return self.phases.decided()
            case Moved():
                return self.phases.moved()
            case Return():
                return self.phases.return_asked(message.cause)
        return [Fail(f"{type(message).__name__} is not for a new process")]

    def _got_listeners(self, message: Listeners, frame: Frame) -> Effects:
        names = message.names
        if self._listeners or len(frame.descriptors) != len(names) or len(set(names)) != len(names):
            close_all(frame.descriptors)
            return [Fail(f"{len(frame.descriptors)} of {len(names)} listening sockets arrived")]
        self._listeners = dict(zip(names, frame.descriptors, strict=True))
        return []

    def perform(self, effect: Any) -> None:
        """Carry out an effect."""
        match effect:
            case Accept():
                self._begin_to_accept()
            case AllMoved():
                self._all_moved()
            case GoingBack():
                self._go_back(effect.cause)
            case _:
                super().perform(effect)

    def _begin_to_accept(self) -> None:
        listeners, self._listeners = self._listeners, {}
        if self._accept is not None:
            self._accept(listeners)
        else:
            close_all(listeners.values())

    def _all_moved(self) -> None:
        if self._going_back:
            self.returned(self.progress)
        elif not self._moved.called:
            self._moved.callback(self.progress)

    def _go_back(self, cause: str) -> None:
        self._going_back = True
        if not self._moved.called:
            self._moved.callback(self.progress)
        if self._tell_going_back is not None:
            self._tell_going_back(cause)

    def closed(self, ending: Ending) -> None:
        """The session is over."""
        close_all(self._listeners.values())
        self._listeners = {}
        if not self._moved.called:
            self._moved.errback(HandoverFailed(ending))
