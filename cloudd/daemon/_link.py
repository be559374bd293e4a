# -*- test-case-name: tests.daemon.test_link -*-
"""
The link between the anchor and one worker: calls, answers and casts in both directions over one stream socket.

A frame is four bytes of length, big-endian, and as many bytes of JSON.  A message is a call (``call``, ``id``,
``body``), a cast (``call`` without ``id``: nobody answers), or an answer (``id`` with ``answer`` or ``error``).
When either process ends the other reads the end of the stream: that is how each learns of the other's death.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

import msgspec
from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

MAX_FRAME_BYTES = 64 * 1024 * 1024
_LENGTH = struct.Struct(">I")

Callee = Callable[..., Any]


class LinkError(Exception):
    """A call over a link did not give an answer."""


class LinkLost(LinkError):
    """The process at the other end has gone; whether it carried out the call is unknown."""


class LinkTimeout(LinkError):
    """No answer within the time allowed; the other end may still carry the call out."""


class RemoteError(LinkError):
    """The other end answered with an error: ``kind`` is its class name, ``cause`` its words."""

    def __init__(self, kind: str, cause: str) -> None:
        super().__init__(cause or kind)
        self.kind = kind
        self.cause = cause


class BadFrame(Exception):
    """The bytes on a link are not its protocol; the link is closed."""


class Message(msgspec.Struct, omit_defaults=True):
    """One message; which fields are set says what it is."""

    id: int = 0
    call: str = ""
    body: dict[str, Any] = {}
    answer: Any = None
    error: tuple[str, str] | None = None


@define
class Frames:
    """Cuts a byte stream, which may arrive in any pieces, into messages."""

    _received: bytearray = field(factory=bytearray)
    _decoder: msgspec.json.Decoder[Message] = field(factory=lambda: msgspec.json.Decoder(Message))

    def feed(self, data: bytes) -> Iterator[Message]:
        """
        Messages that are complete now.

        :raises BadFrame: a frame is too long or not a message
        """
        self._received += data
        while len(self._received) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._received)
            if length > MAX_FRAME_BYTES:
                raise BadFrame(f"a frame of {length} bytes")
            end = _LENGTH.size + length
            if len(self._received) < end:
                return
            try:
                message = self._decoder.decode(memoryview(self._received)[_LENGTH.size : end].tobytes())
            except msgspec.DecodeError as error:
                raise BadFrame(str(error)) from error
            del self._received[:end]
            yield message


def frame(message: Message) -> bytes:
    """One message as it goes over the socket."""
    data = msgspec.json.encode(message)
    return _LENGTH.pack(len(data)) + data


class Link(Protocol):
    """
    One end of a link.

    :param callees: what the other end may call: name -> function of keyword arguments, which may return a Deferred or
        a coroutine
    :param clock: for time-outs
    :param lost: called once when the other end has gone
    """

    log = Logger()

    def __init__(self, callees: Mapping[str, Callee], clock: Any, lost: Callable[[], None]) -> None:
        self.callees = dict(callees)
        self._clock = clock
        self._lost: Callable[[], None] | None = lost
        self._frames = Frames()
        self._next_id = 0
        self._waiting: dict[int, Deferred[Any]] = {}

    @property
    def is_lost(self) -> bool:
        """Whether the other end has gone."""
        return self._lost is None

    async def call(self, name: str, *, timeout_s: float, **body: Any) -> Any:
        """
        Call a function at the other end.

        :raises LinkLost: the other end has gone, before or during the call
        :raises LinkTimeout: no answer within ``timeout_s``
        :raises RemoteError: the function raised
        """
        if self.is_lost or self.transport is None:
            raise LinkLost(f"{name}: the process has ended")
        self._next_id += 1
        number = self._next_id
        waiting: Deferred[Any] = Deferred()
        self._waiting[number] = waiting
        self._send(Message(id=number, call=name, body=body))
        timer = self._clock.callLater(timeout_s, waiting.cancel)
        try:
            return await waiting
        except CancelledError:
            raise LinkTimeout(f"{name}: no answer within {timeout_s:g} s") from None
        finally:
            self._waiting.pop(number, None)
            if timer.active():
                timer.cancel()

    def cast(self, name: str, **body: Any) -> None:
        """Tell the other end something; without effect when it has gone."""
        if not self.is_lost:
            self._send(Message(call=name, body=body))

    def dataReceived(self, data: bytes) -> None:
        try:
            for message in self._frames.feed(data):
                self._handle(message)
        except BadFrame as error:
            self.log.error("closing a link: {cause}", cause=str(error))
            self._abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        lost, self._lost = self._lost, None
        waiting, self._waiting = self._waiting, {}
        for deferred in waiting.values():
            deferred.errback(LinkLost("the process ended before it answered"))
        if lost is not None:
            lost()

    def close(self) -> None:
        """End the link; ``lost`` is called at this end too."""
        if self.transport is not None:
            self.transport.loseConnection()

    def forsake(self) -> None:
        """End the link without telling this end's ``lost``: another link takes its place."""
        if self._lost is not None:
            self._lost = _nothing
            self.close()

    def _abort(self) -> None:
        assert self.transport is not None
        abort = getattr(self.transport, "abortConnection", self.transport.loseConnection)
        abort()

    def _send(self, message: Message) -> None:
        if self.transport is not None and not self.is_lost:
            self.transport.write(frame(message))

    def _handle(self, message: Message) -> None:
        if message.call:
            self._carry_out(message)
            return
        waiting = self._waiting.pop(message.id, None)
        if waiting is None:
            return  # timed out here meanwhile
        if message.error is not None:
            waiting.errback(RemoteError(*message.error))
        else:
            waiting.callback(message.answer)

    def _carry_out(self, message: Message) -> None:
        callee = self.callees.get(message.call)
        if callee is None:
            self._answer_error(message, LookupError(f"{message.call}: this process knows no such call"))
            return
        done = maybeDeferred(_as_deferred, callee, message.body)
        done.addCallbacks(
            lambda answer: self._send(Message(id=message.id, answer=answer)) if message.id else None,
            lambda failure: self._answer_failure(message, failure),
        )
        done.addErrback(lambda failure: self._answer_failure(message, failure))  # an answer JSON cannot carry

    def _answer_failure(self, message: Message, failure: Failure) -> None:
        if not getattr(failure.value, "expected", False):
            self.log.failure("{call} failed", failure, call=message.call)
        self._answer_error(message, failure.value)

    def _answer_error(self, message: Message, error: BaseException | None) -> None:
        if message.id:
            self._send(Message(id=message.id, error=(type(error).__name__, str(error))))


def _nothing() -> None:
    """For a link that nobody waits for any more."""


def _as_deferred(callee: Callee, body: dict[str, Any]) -> Any:
    result = callee(**body)
    if isinstance(result, Coroutine):
        return Deferred.fromCoroutine(result)
    return result
