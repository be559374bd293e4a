# -*- test-case-name: tests.messaging.test_server -*-
"""
Who serves a topic: takes messages, runs methods, answers.

**Calls are done at most once, casts at least once.**  A call is settled with the transport before its method begins,
so that nobody else gets it when this process dies over it; a cast is settled when its method has ended.  Both are
known again by their id while this process lives.  A call that may have begun elsewhere is not begun here unless its
method is ``repeatable``: the caller hears so, and decides.

A server leaves in this order, while another one already gets messages: no further ones come, casts that have not begun
are handed back, the rest is finished or, after ``Limits.rest_s``, cut off: calls are answered with ``Interrupted``,
casts handed back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from reload import NotPlainData

from ._counts import Counts
from ._delays import Delays
from ._errors import (
    BadMessage,
    DeadlinePassed,
    Fault,
    Interrupted,
    MessagingError,
    NoSuchMethod,
    NoSuchVersion,
    RemoteFailure,
)
from ._form import Fields, Method
from ._limits import Limits
from ._seen import Entry, Seen
from ._transport import IListening, ITransport
from ._words import Answer, Failed, Question, packed, read_question

ANSWER_S = 30.0  # for an answer whose call has no deadline


@define(eq=False)
class World:
    """What all servers of a process share."""

    clock: Any
    transport: ITransport
    limits: Limits
    counts: Counts
    seen: Seen
    delays: Delays
    chance: Callable[[], float]


@define(eq=False)
class Call:
    """
    What a method gets.

    :ivar fields: as the method's form knows them
    :ivar sender: node of who asks
    :ivar attempt: from 1 on
    """

    fields: Fields
    sender: str
    request_id: str
    attempt: int
    _left_s: Callable[[], float | None]

    def left_s(self) -> float | None:
        """Seconds until the deadline, at which the method is cancelled; None: there is none."""
        return self._left_s()


@define(eq=False)
class _Work:
    question: Question
    method: Method
    fields: Fields
    entry: Entry
    attempt: int
    ends_at: float | None  # by our clock
    running: Deferred[Any] | None = None
    late: bool = False
    timer: Any = None

    @property
    def is_call(self) -> bool:
        return bool(self.question.reply_to)


@define(eq=False)
class Server:
    """
    Made by ``Bus.serve``.

    :ivar ready: fires when messages come for the first time
    """

    _world: World
    topic: str
    _methods: Mapping[str, Method]
    _parallel: int
    _waiting: deque[_Work] = field(init=False, factory=deque)
    _running: dict[str, _Work] = field(init=False, factory=dict)
    _later: dict[Any, _Work] = field(init=False, factory=dict)  # casts that have failed, by timer
    _listening: IListening = field(init=False)
    _resting: Deferred[None] | None = field(init=False, default=None)
    _idle: list[Deferred[None]] = field(init=False, factory=list)

    log = Logger()

    def __attrs_post_init__(self) -> None:
        self._listening = self._world.transport.listen(self.topic, self._take, self._parallel)

    @property
    def ready(self) -> Deferred[None]:
        """See the class."""
        ready: Deferred[None] = self._listening.ready
        return ready

    @property
    def is_open(self) -> bool:
        """Whether it is not leaving."""
        return self._resting is None

    @property
    def running(self) -> int:
        """Methods that run."""
        return len(self._running)

    # ---- what comes

    def _take(self, delivery: Any) -> None:
        try:
            question = read_question(delivery.body)
        except BadMessage as error:
            self._put_aside(delivery, str(error))
            return
        known = self._world.seen.find(question.id)
        if known is not None and not known.handed_back:
            self._world.counts.served(self.topic, "twice")
            known.once_more(delivery)
            return
        try:
            work = self._accepted(question, delivery)
        except MessagingError as error:
            self._refuse(question, delivery, error)
            return
        self._waiting.append(work)
        self._go_on()

    def _accepted(self, question: Question, delivery: Any) -> _Work:
        method = self._methods.get(question.method)
        if method is None:
            raise NoSuchMethod(f"{self.topic} has no method {question.method!r} on {self._world.transport.node}")
        try:
            fields = method.form.read(question.version, question.fields)
        except NotPlainData as error:
            raise BadMessage(f"{question.method}: {error}") from None
        if question.reply_to and delivery.redelivered and not method.repeatable:
            raise Interrupted(f"{question.method} may have begun in a process that has gone")
        now, ends_at = self._world.clock.seconds(), None
        if question.left_s is not None:
            waited_s = self._world.delays.waited_s(question.sender, question.sent_at, question.left_s, now)
            ends_at = now + question.left_s - waited_s
        entry = self._world.seen.add(question.id, delivery, now)
        return _Work(question, method, fields, entry, entry.attempts + 1, ends_at)

    def _refuse(self, question: Question, delivery: Any, error: MessagingError) -> None:
        if question.reply_to:
            self._world.counts.served(self.topic, "unknown" if not isinstance(error, Interrupted) else "interrupted")
            delivery.done()
            self._answer(question, error)
        else:
            self._put_aside(delivery, f"{question.method}: {error}")

    def _put_aside(self, delivery: Any, cause: str) -> None:
        self._note_aside(cause := f"{self.topic} {cause}")
        delivery.set_aside(cause)

    def _note_aside(self, cause: str) -> None:
        self._world.counts.served(self.topic, "apart")
        self.log.error("a message was set aside: {cause}", cause=cause)

    # ---- what runs

    def _go_on(self) -> None:
        while self._waiting and len(self._running) < self._parallel:
            self._begin(self._waiting.popleft())

    def _begin(self, work: _Work) -> None:
        if work.is_call:
            work.entry.finish()
        now = self._world.clock.seconds()
        if work.ends_at is not None and work.ends_at <= now:
            self._end_late(work)
            return
        self._running[work.question.id] = work
        call = Call(
            work.fields, work.question.sender, work.question.request_id, work.attempt, lambda: self._left_s(work)
        )

        async def run() -> Fields | None:
            return await work.method.run(call)

        if work.ends_at is not None:
            work.timer = self._world.clock.callLater(work.ends_at - now, self._be_late, work)
        work.running = Deferred.fromCoroutine(run())
        work.running.addCallbacks(lambda fields: self._succeeded(work, fields), lambda why: self._failed(work, why))
        work.running.addErrback(lambda why: self.log.failure("a message could not be ended", failure=why))
        work.running.addBoth(lambda _: self._ended(work))

    def _left_s(self, work: _Work) -> float | None:
        return None if work.ends_at is None else max(0.0, work.ends_at - self._world.clock.seconds())

    def _be_late(self, work: _Work) -> None:
        work.timer, work.late = None, True
        if work.running is not None:
            work.running.cancel()

    def _ended(self, work: _Work) -> None:
        if work.timer is not None:
            work.timer.cancel()
            work.timer = None
        self._running.pop(work.question.id, None)
        self._go_on()
        self._tell_idle()

    def _tell_idle(self) -> None:
        if not self._running and not self._waiting:
            idle, self._idle = self._idle, []
            for each in idle:
                each.callback(None)

    # ---- what becomes of it

    def _succeeded(self, work: _Work, fields: Fields | None) -> Deferred[None] | None:
        self._world.counts.served(self.topic, "done")
        if work.is_call:
            return self._answer(work.question, fields, work.method)
        work.entry.finish()
        return None

    def _failed(self, work: _Work, why: Failure) -> Deferred[None] | None:
        if work.late:
            return self._end_late(work)
        if self._resting is not None and not work.is_call and why.check(CancelledError):
            work.entry.hand_back(work.attempt)
            return None
        error: MessagingError
        if self._resting is not None and why.check(CancelledError):
            error = Interrupted(f"{work.question.method} was cut off: its process ends")
        elif isinstance(why.value, Fault):
            error = why.value
        else:
            self.log.failure("{topic} {method}", failure=why, topic=self.topic, method=work.question.method)
            error = RemoteFailure(f"{type(why.value).__name__}: {why.getErrorMessage()}")
        if work.is_call:
            self._world.counts.served(self.topic, _HOW.get(type(error), "fault"))
            return self._answer(work.question, error)
        self._cast_failed(work, error)
        return None

    def _end_late(self, work: _Work) -> Deferred[None] | None:
        """Nobody waits any more: it is dropped, and told."""
        self._world.counts.served(self.topic, "late")
        self.log.warn(
            "{topic} {method} from {sender} was dropped: its deadline has passed",
            topic=self.topic,
            method=work.question.method,
            sender=work.question.sender,
        )
        if work.is_call:
            cause = f"the deadline passed before {work.question.method} was done on {self._world.transport.node}"
            return self._answer(work.question, DeadlinePassed(cause))
        work.entry.finish()
        return None

    def _cast_failed(self, work: _Work, error: MessagingError) -> None:
        """Try it again later, or set it aside: what says no on purpose at once."""
        limits = self._world.limits
        if type(error) is not RemoteFailure or work.attempt >= limits.attempts:
            self._note_aside(cause := f"{self.topic} {work.question.method}: {error} (attempt {work.attempt})")
            work.entry.set_aside(cause)
            return
        self._world.counts.served(self.topic, "again")
        if self._resting is not None:
            work.entry.hand_back(work.attempt)
            return
        wait_s = limits.wait_s(work.attempt, self._world.chance())

        def hand_back() -> None:
            del self._later[timer]
            work.entry.hand_back(work.attempt)

        timer: Any = self._world.clock.callLater(wait_s, hand_back)
        self._later[timer] = work

    def _answer(
        self, question: Question, result: Fields | MessagingError | None, method: Method | None = None
    ) -> Deferred[None]:
        try:
            body = packed(_answer_to(question, result, method))
        except (NotPlainData, BadMessage, NoSuchVersion) as error:
            self.log.error(
                "the answer of {topic} {method}: {error}", topic=self.topic, method=question.method, error=error
            )
            body = packed(_answer_to(question, RemoteFailure(f"its answer cannot be sent: {error}"), None))
        left_s = ANSWER_S if question.left_s is None else question.left_s
        sent = self._world.transport.answer(question.reply_to, question.id, body, left_s)
        return sent.addErrback(lambda why: self.log.info("an answer was lost: {cause}", cause=why.getErrorMessage()))

    # ---- leaving

    def rest(self) -> Deferred[None]:
        """
        Leave to others what comes, and end; fires when nothing of it runs here, at most ``Limits.rest_s`` after no
        message came any more.  Safe to call again.
        """
        if self._resting is None:
            self._resting = Deferred()
            Deferred.fromCoroutine(self._rest()).chainDeferred(self._resting)
        shared: Deferred[None] = Deferred()

        def pass_on(result: Any) -> Any:
            shared.callback(None)
            return result

        self._resting.addBoth(pass_on)
        return shared

    async def _rest(self) -> None:
        await self._listening.cancel()
        self._give_back_casts()
        timer = self._world.clock.callLater(self._world.limits.rest_s, self._cut_off)
        if self._running or self._waiting:
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle
        if timer.active():
            timer.cancel()
        await self._listening.close()

    def _give_back_casts(self) -> None:
        later, self._later = self._later, {}
        for timer, work in later.items():
            timer.cancel()
            work.entry.hand_back(work.attempt)
        waiting, self._waiting = self._waiting, deque()
        for work in waiting:
            if work.is_call:
                self._waiting.append(work)
            else:
                work.entry.hand_back(work.attempt - 1)

    def _cut_off(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for work in waiting:
            work.entry.finish()
            self._world.counts.served(self.topic, "interrupted")
            self._answer(work.question, Interrupted("its process ends and had not begun with it", begun=False))
        for work in list(self._running.values()):
            if work.running is not None:
                work.running.cancel()
        self._tell_idle()


_HOW: dict[type[MessagingError], str] = {RemoteFailure: "failed", Interrupted: "interrupted"}


def _answer_to(question: Question, result: Fields | MessagingError | None, method: Method | None) -> Answer | Failed:
    if isinstance(result, Fault):
        return Failed(question.id, "fault", result.cause, result.name, dict(result.detail), True)
    if isinstance(result, MessagingError):
        return Failed(question.id, type(result).__name__, str(result), begun=result.begun)
    fields: Fields = result or {}
    return Answer(question.id, fields if method is None else method.form.answer_written(fields, question.version))
