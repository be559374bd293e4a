# -*- test-case-name: tests.protocols.http.test_probe -*-
"""
One request to a handler without a socket: real connection, real request, and a transport that keeps the answer.

For the self-check of code that does not serve yet.  No access line is written and nothing is counted, since that
is the worker's site, which has no part in this; nor is there a timer.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from cloudd.interfaces.settings import HTTPSettings

from ._factory import HTTPServerFactory
from ._request import Handler, Request

#: ``Request.peer`` of a probe.
PEER = "self-check"


@frozen
class Probed:
    """
    What the handler answered.

    :ivar status: 0 when the connection was dropped before an answer
    :ivar body: as it was sent, with its chunks if it came in chunks
    """

    status: int
    body: bytes


async def probe(
    handler: Handler, face: str, method: str, path: str, limits: HTTPSettings, now: Callable[[], float]
) -> Probed:
    """
    Ask ``handler`` for ``path`` as a client without credentials and without a body would.

    Cancelling takes the client away: the handler is cancelled, if its method changes nothing.

    :param face: the port that it is asked through
    :param now: the reactor's clock
    """
    ended: Deferred[None] = Deferred()
    factory = HTTPServerFactory(_ProbeSite(handler, ended), limits, face, _StillReactor(now))
    connection = factory.buildProtocol(_ProbeAddress())
    transport = _KeepingTransport()
    connection.makeConnection(transport)
    try:
        connection.dataReceived(f"{method} {path} HTTP/1.1\r\nHost: {PEER}\r\n\r\n".encode("ascii"))
        await ended
    finally:
        connection.connectionLost(Failure(ConnectionDone()))
    return transport.answer()


@frozen
class _ProbeSite:
    handler: Handler
    ended: Deferred[None]

    def handle(self, request: Request) -> Coroutine[Any, Any, None] | None:
        return self.handler(request)

    def finished(self, _request: Request) -> None:
        if not self.ended.called:
            self.ended.callback(None)

    def moved(self, _request: Request) -> None:
        """Not called: nothing here outlives the probe."""


class _ProbeAddress:
    host = PEER
    port = 0


@frozen
class _StillReactor:
    """Tells the time; the one timer of a port, which looks for clients that are late, has nothing to look for."""

    seconds: Callable[[], float]

    def callLater(self, _delay_s: float, _call: Callable[..., object], *_args: Any) -> None:
        """Not called."""


@define
class _KeepingTransport:
    """``ITransport`` of a client that takes everything at once."""

    sent: list[bytes] = field(factory=list)

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.sent += data

    def registerProducer(self, _producer: object, _streaming: bool) -> None:
        """There is always room."""

    def unregisterProducer(self) -> None:
        """There was always room."""

    def pauseProducing(self) -> None:
        """Nothing more comes."""

    def resumeProducing(self) -> None:
        """Nothing more comes."""

    def loseConnection(self) -> None:
        """The probe ends the connection."""

    def loseWriteConnection(self) -> None:
        """The probe ends the connection."""

    def abortConnection(self) -> None:
        """What was sent of the answer is none."""
        self.sent.clear()

    def getHost(self) -> Any:
        return _ProbeAddress()

    def getPeer(self) -> Any:
        return _ProbeAddress()

    def answer(self) -> Probed:
        head, _, body = b"".join(self.sent).partition(b"\r\n\r\n")
        words = head.split(b" ", 2)
        return Probed(int(words[1]) if len(words) > 1 else 0, body)
