# -*- test-case-name: tests.tasks.test_told -*-
"""
That a task was submitted, told to the agents of all nodes, so that it begins at once wherever there is room.

It is a hint and nothing more: who misses it finds the task when it looks next (``_runner``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from cloudd.messaging import Bus, Event, Form, MessagingError, Subscription

KEY = "tasks.submitted"
SUBMITTED = Form(name=KEY)
"""``{}``"""

GATHER_S = 0.02  # a hundred tasks are told of once

log = Logger()


@define(eq=False)
class Told:
    """
    :param bus: of the agent's worker
    :param poke: called when another node has submitted a task
    """

    _reactor: Any
    _bus: Bus
    _poke: Callable[[], object]
    _subscription: Subscription | None = field(init=False, default=None)
    _timer: Any = field(init=False, default=None)

    def start(self) -> None:
        """Hear of others.  Safe to call again."""
        if self._subscription is None:
            self._subscription = self._bus.subscribe(KEY, [SUBMITTED], self._hear)

    def tell(self) -> None:
        """A task was submitted here, and is in the database."""
        if self._timer is None:
            self._timer = self._reactor.callLater(GATHER_S, self._tell)

    def stop(self) -> Deferred[None]:
        """Neither hear nor tell any more; what was about to be told is told at once."""
        if self._timer is not None:
            self._timer.cancel()
            self._tell()
        subscription, self._subscription = self._subscription, None
        return succeed(None) if subscription is None else subscription.end()

    def _tell(self) -> None:
        self._timer = None
        self._bus.publish(KEY, SUBMITTED, {}).addErrback(_missed)

    def _hear(self, event: Event) -> None:
        if event.sender != self._bus.node:
            self._poke()


def _missed(failure: Failure) -> None:
    failure.trap(MessagingError)
    log.debug("other nodes look for the task by themselves: {cause}", cause=failure.getErrorMessage())
