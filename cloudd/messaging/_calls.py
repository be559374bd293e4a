# -*- test-case-name: tests.messaging.test_server -*-
"""Calls that wait for an answer: each ends once, by an answer, a deadline, a loss, or its caller's leaving."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from reload import NotPlainData

from . import _errors
from ._counts import Counts
from ._errors import BadMessage, DeadlinePassed, Interrupted, MessagingError, Overloaded
from ._form import Fields, Form
from ._words import Failed, read_answer

_KINDS: dict[str, type[MessagingError]] = {
    kind.__name__: kind
    for kind in (_errors.BadMessage, _errors.DeadlinePassed, _errors.NoSuchMethod, _errors.NoSuchVersion)
}


@define(eq=False)
class _Waiting:
    answer: Deferred[Fields]
    form: Form
    topic: str
    version: int
    began: float
    timer: Any = None


@define(eq=False)
class Calls:
    """
    :param most: that wait at one time
    """

    _clock: Any
    _counts: Counts
    _most: int
    _waiting: dict[str, _Waiting] = field(factory=dict)

    log = Logger()

    def __len__(self) -> int:
        return len(self._waiting)

    def check_room(self) -> None:
        """
        :raises Overloaded: there is none
        """
        if len(self._waiting) >= self._most:
            raise Overloaded(f"{len(self._waiting)} calls wait for answers already")

    def begin(self, message_id: str, form: Form, topic: str, version: int, deadline_s: float) -> Deferred[Fields]:
        """
        Wait for an answer.

        :return: fires with the answer's fields; fails with one of ``_errors``; cancelling ends the wait alone
        """
        answer: Deferred[Fields] = Deferred(lambda _: self._give_up(message_id))
        waiting = self._waiting[message_id] = _Waiting(answer, form, topic, version, self._clock.seconds())
        waiting.timer = self._clock.callLater(deadline_s, self._be_late, message_id, deadline_s)
        return answer

    def answered(self, body: bytes) -> None:
        """An answer has come, perhaps to a call that has ended."""
        try:
            answer = read_answer(body)
        except BadMessage as error:
            self.log.error("an answer cannot be read, its call will miss its deadline: {error}", error=error)
            return
        if isinstance(answer, Failed):
            self._end_failed(answer)
            return
        waiting = self._take(answer.id, "answered")
        if waiting is None:
            return
        try:
            fields = waiting.form.answer_read(answer.fields, waiting.version)
        except (MessagingError, NotPlainData) as error:
            waiting.answer.errback(error)
            return
        waiting.answer.callback(fields)

    def _end_failed(self, answer: Failed) -> None:
        waiting = self._take(answer.id, "fault" if answer.kind == "fault" else answer.kind)
        if waiting is None:
            return
        error: MessagingError
        if answer.kind == "fault":
            error = waiting.form.fault(answer.name, answer.cause, answer.detail)
        elif answer.kind in _KINDS:
            error = _KINDS[answer.kind](answer.cause)
        else:  # Interrupted, and what later code may bring
            error = Interrupted(answer.cause, begun=answer.begun)
        waiting.answer.errback(error)

    def _give_up(self, message_id: str) -> None:
        """Its caller does not wait any more; Twisted fails the Deferred."""
        self._take(message_id, "cancelled")

    def fail(self, message_id: str, why: Failure) -> None:
        """It could not be sent."""
        waiting = self._take(message_id, type(why.value).__name__)
        if waiting is not None:
            waiting.answer.errback(why)

    def fail_all(self, cause: str) -> None:
        """No answer to any of them comes any more."""
        for message_id in list(self._waiting):
            waiting = self._take(message_id, "Interrupted")
            if waiting is not None:
                waiting.answer.errback(Interrupted(cause))

    def _be_late(self, message_id: str, deadline_s: float) -> None:
        waiting = self._take(message_id, "DeadlinePassed")
        if waiting is not None:
            text = f"{waiting.topic} {waiting.form.name} was not answered within {deadline_s:g} s"
            waiting.answer.errback(DeadlinePassed(text))

    def _take(self, message_id: str, how: str) -> _Waiting | None:
        waiting = self._waiting.pop(message_id, None)
        if waiting is None:
            return None
        if waiting.timer is not None and waiting.timer.active():
            waiting.timer.cancel()
        self._counts.sent("call", how)
        self._counts.answered(waiting.topic, self._clock.seconds() - waiting.began, len(self._waiting))
        return waiting
