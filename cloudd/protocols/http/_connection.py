# -*- test-case-name: tests.protocols.http.test_connection -*-
"""
One HTTP/1.1 connection: requests out of bytes, one after the other, and answers back in order.

What is kept is plain: bytes not yet parsed, the current request (its head's bytes, how far its body was decoded, how
far its answer went) and a few flags.  The next request is parsed when the current one is answered and its body has
ended; until then its bytes wait, and the transport is paused when they are many.  So a snapshot is possible at any
byte.  There is no timer here: see ``_timeouts``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ._answer import CLOSE, CONTINUE, id_lines, status_line
from ._body import Body
from ._drive import drive
from ._errors import BadRequest, BodyTooLarge, BodyTruncated, ClientGone, FileTooShort
from ._files import send_pieces
from ._head import find_end, skip_empty_lines
from ._request import Request
from ._snapshot import continue_request
from ._timeouts import OutputWatch
from ._transport import SMALL_FILE_BYTES, HTTPTransport

if TYPE_CHECKING:
    from reload import Snapshot

    from ._factory import HTTPServerFactory

_log = Logger()

#: Bytes kept for later before the client is paused.
_WAITING_BYTES = 65_536
_PLAIN = b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
#: Status, for the log only, of a request whose client left before an answer (as nginx has it).
CLIENT_LEFT = 499
_CLOSED = "the connection was closed before the end of the body"
_TEXT = (b"Content-Type", b"text/plain; charset=utf-8")


@implementer(IProtocol, IHalfCloseableProtocol, IPushProducer)
class HTTPConnection:
    """
    The protocol of one connection.

    :ivar unparsed: bytes that came and were not used yet
    :ivar request: the one being received or answered
    :ivar closing: no further request is taken
    :ivar eof: the client has shut down its sending side
    :ivar output: bytes that another process had still to send to this client
    :ivar waits: its request came from another process, and its handler's turn to begin has not come
    :ivar frozen: offered to another process: no byte is decoded, no request begins and no body ends
    :ivar since: the factory's time of the event that the running time-out counts from
    :ivar lot: drawn when it is first asked for, see ``Request.lot``; below 0 before
    """

    __slots__ = (
        "__weakref__",
        "_advancing",
        "_host",
        "_native",
        "_output_paused",
        "_paused",
        "_scanned",
        "_waiters",
        "_watch",
        "closed_at",
        "closing",
        "eof",
        "factory",
        "frozen",
        "lot",
        "output",
        "peer",
        "request",
        "since",
        "transport",
        "unparsed",
        "waits",
    )

    def __init__(self, factory: HTTPServerFactory, peer: str) -> None:
        self.factory = factory
        self.peer = peer
        self.transport: Any = None
        self.unparsed = b""
        self.request: Request | None = None
        self.closing = False
        self.eof = False
        self.output = b""
        self.frozen = self.waits = False
        self.since = factory.now
        self.lot = -1.0
        self._scanned = 0  # bytes of an incomplete head that were searched for its end
        self._advancing = False
        self._paused = False  # we have paused the transport's reading
        self._output_paused = False  # the transport's buffer is full
        self._waiters: list[Deferred[None]] = []
        self.closed_at = 0.0
        self._native = False  # the transport is our own, with sendfile
        self._host: Any = None
        self._watch: OutputWatch | None = None

    # ---- Twisted calls

    def makeConnection(self, transport: Any) -> None:
        """The connection is there."""
        self.transport = transport
        self._native = isinstance(transport, HTTPTransport)
        self.factory.opened(self)
        transport.registerProducer(self, True)
        if self.request is not None or self.unparsed or self.output or self.eof:
            self._go_on()
        else:
            self.since = self.factory.now

    def _go_on(self) -> None:
        """Continue from a snapshot."""
        if self.output:
            self.transport.write(self.output)
            self.output = b""
        request = self.request
        if self.waits:
            self.factory.begin_later(self)
        elif request is not None and not request.finished:
            self.handle(request)
        elif request is not None and request.unread_body is not None:
            request.unread_body.discard()
        self._advance()

    def connectionMade(self) -> None:
        """Part of ``IProtocol``; ``makeConnection`` does the work."""

    def dataReceived(self, data: bytes) -> None:
        """Bytes have come."""
        if self.closing:
            self.since = self.factory.now
            return
        if self.request is not None or not self.unparsed:
            self.since = self.factory.now
        self.unparsed = self.unparsed + data if self.unparsed else data
        self._advance()

    def readConnectionLost(self) -> None:
        """The client has shut down its sending side; it may still wait for answers."""
        self.eof = True
        if self.closing:
            self.transport.loseConnection()
        else:
            self._advance()

    def writeConnectionLost(self) -> None:
        """Our sending side is shut down; the client's end is awaited."""

    def connectionLost(self, _reason: Failure) -> None:
        """The connection is gone."""
        self.closing = True
        self.unparsed = b""
        self.factory.closed(self)
        self._fail_waiters()
        request = self.request
        if request is not None and not request.finished:
            request.client_left()
        self._leave_body("the client left in the middle of its request's body")
        if request is not None:
            self._report_if_over(request)

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        self._output_paused = True

    def resumeProducing(self) -> None:
        """There is room in the transport's buffer."""
        self._output_paused = False
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)
        self.factory.tell_may_move(self)  # what is still to be sent was perhaps too much for a snapshot
        if self.request is None:
            self._advance()

    def stopProducing(self) -> None:
        """``connectionLost`` follows."""

    # ---- from bytes to requests

    def _advance(self) -> None:
        """Go on as far as the bytes, the handler and the client's reading allow."""
        if self._advancing or self.frozen:
            return
        self._advancing = True
        try:
            while not self.closing:
                request = self.request
                if request is None:
                    if not self.unparsed or self._output_paused or not self._begin():
                        break
                elif not self._complete(request):
                    break
        except BadRequest as error:
            self.refuse(error)
        finally:
            self._advancing = False
        if not self.closing:
            if self.eof and self.request is None and not self._output_paused:
                self.close(linger=False)
            else:
                self._regulate()

    def _begin(self) -> bool:
        """Take the next head out of the buffer and give it to the site; false when it is not there yet."""
        buffer = self.unparsed
        if buffer.startswith(b"\r\n"):
            buffer = self.unparsed = skip_empty_lines(buffer)
            self._scanned = 0
            if buffer.startswith(b"\r\n"):
                return False
        end = find_end(buffer, self._scanned, self.factory.limits)
        if end < 0:
            self._scanned = len(buffer)
            return False
        self._scanned = 0
        self.unparsed = buffer[end:]
        request = Request(self, buffer[:end])
        self.request = request
        self.handle(request)
        return True

    def handle(self, request: Request) -> None:
        """Let the site answer ``request``."""
        try:
            coroutine = self.factory.site.handle(request)
            running = None if coroutine is None else drive(coroutine)
        except Exception:
            self.handler_failed(request, Failure())
            return
        if running is not None:
            request._running = running
            running.addCallbacks(self._handler_ended, self._handler_stopped, (request,), {}, (request,))
        elif coroutine is not None and not request.finished:
            self._handler_ended(None, request)

    def _complete(self, request: Request) -> bool:
        """Whether ``request`` is over, with its body and its answer, and the next one can begin."""
        body = request._body
        # A body may have ended while its sink was busy: its reader is told by the next pull.
        if body is not None and (not body.ended or body.reading):
            self._pull(body)
        if not request.finished or self.request is not request:
            return self.request is not request
        if body is not None and not body.ended:
            if body.failed:
                self.close(linger=True)
            return False
        self.request = None
        self.since = self.factory.now
        if self.factory.draining and not self.unparsed:
            self.close(linger=False)
        return True

    def _pull(self, body: Body) -> None:
        body.pull()
        if self.eof and body.waiting_for_client and not body.ended:
            body.no_more(BodyTruncated("the client stopped in the middle of its request's body"))

    def body_wanted(self) -> None:
        """A reader of the current request's body wants bytes."""
        if self._advancing and self.request is not None and self.request._body is not None:
            self._pull(self.request._body)
        elif self.closing:
            if self.request is not None and self.request._body is not None:
                self.request._body.pull()
        else:
            self._advance()

    def _regulate(self) -> None:
        """Pause or resume the client, by how much of what it sent still waits."""
        if self.eof:
            return
        request = self.request
        wanted = (
            request is None
            or len(self.unparsed) <= _WAITING_BYTES
            or (request._body is not None and request._body.waiting_for_client)
        )
        if wanted == self._paused:
            self._paused = not wanted
            if wanted:
                self.transport.resumeProducing()
            else:
                self.transport.pauseProducing()

    # ---- the end of a handler

    def _handler_ended(self, _: None, request: Request) -> None:
        request._running = None
        if not request.finished:
            if not request.client_gone:
                _log.error("the handler of {request} ended without ending its answer", request=request)
            self._give_up(request, BadRequest(500, "The server has no answer; its log has the cause."))
        self._report_if_over(request)

    def _handler_stopped(self, failure: Failure, request: Request) -> None:
        request._running = None
        self.handler_failed(request, failure)
        self._report_if_over(request)

    def handler_failed(self, request: Request, failure: Failure) -> None:
        """The handler raised: say so to the client, if anything can still be said, and to the log."""
        error = failure.value
        if isinstance(error, BodyTooLarge):
            refusal = BadRequest(413, f"The request body is longer than {error.limit} bytes.")
        elif isinstance(error, BodyTruncated):
            refusal = BadRequest(400, f"The request body is broken: {error}.")
        elif request.client_gone and isinstance(error, ClientGone | CancelledError):
            refusal = BadRequest(CLIENT_LEFT, "")
        else:
            _log.failure("the handler of {request} failed", failure, request=request)
            refusal = BadRequest(500, f"An accident in the server; its log has it under {request.id}.")
        self._give_up(request, refusal)

    def _give_up(self, request: Request, refusal: BadRequest) -> None:
        if request.finished:
            return
        if request.client_gone:
            self._report_if_over(request)
        elif request.started:
            request.abort()
        else:
            request.respond(refusal.status, [_TEXT], refusal.cause.encode() + b"\n")

    # ---- sending, for Request

    def send(self, data: bytes) -> None:
        """Queue bytes for the client."""
        self.transport.write(data)

    def send_now(self, data: bytes) -> None:
        """The same, for the end of an answer: no later bytes are worth waiting for."""
        if self._native:
            self.transport.write_now(data)
        else:
            self.transport.write(data)

    def send_continue(self) -> None:
        """Tell the client to go on with its body."""
        if not self.closing:
            self.transport.write(CONTINUE)

    def room(self) -> Deferred[None] | None:
        """``None`` when more may be sent, else what fires when there is room."""
        if not self._output_paused:
            return None
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        return waiter

    def send_file(self, request: Request, descriptor: int, offset: int, length: int) -> Deferred[None]:
        """Queue a part of a file; ``request.sent_bytes`` grows with it."""
        if length <= SMALL_FILE_BYTES:
            return self._send_small_file(request, descriptor, offset, length)
        if self._native:
            sent: Deferred[None] = self.transport.send_file(request, descriptor, offset, length)
            return sent
        return Deferred.fromCoroutine(send_pieces(self, request, descriptor, offset, length))

    def _send_small_file(self, request: Request, descriptor: int, offset: int, length: int) -> Deferred[None]:
        data = os.pread(descriptor, length, offset)
        if len(data) < length:
            return fail(FileTooShort(f"the file has {len(data)} of {length} bytes at {offset}"))
        request.sent_bytes += length
        self.transport.write(data)
        return succeed(None)

    def _fail_waiters(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.errback(ClientGone())

    def answered(self, request: Request) -> None:
        """``request``'s answer is complete: queued to its last byte, or of no use since the client left."""
        if request is not self.request:
            self._report_if_over(request)
            return
        self._report(request)
        body = request._body
        if not request.keep:
            self.close(linger=bool(self.unparsed) or (body is not None and not body.ended))
            return
        if body is not None and not body.ended and not body.reading:
            body.discard()
        if not self._advancing:
            self._advance()

    def _report(self, request: Request) -> None:
        if not request.reported:
            request.reported = True
            request.close_untaken()
            request.move = None  # its handler's functions mostly hold the request: a knot with code that may be old
            self.factory.tell_may_move(self)
            try:
                self.factory.site.finished(request)
            except Exception:
                _log.failure("{request} could not be reported as finished", request=request)

    def _report_if_over(self, request: Request) -> None:
        """Tell the site about a request whose client left, once its handler has come to rest."""
        if request.finished or (request.client_gone and not request.at_work):
            request.finished = True
            request.status = request.status or CLIENT_LEFT
            self._report(request)

    # ---- moving

    def thawed(self) -> None:
        """It was offered to another process and goes on here."""
        self.frozen = False
        self.begin_waiting()
        self._advance()

    def begin_waiting(self) -> None:
        """The turn of a request from another process has come; without effect where none waits."""
        if self.waits and not self.frozen:
            self.waits = False
            if self.request is not None and not self.closing:
                self.handle(self.request)
                self._advance()

    def moved_away(self, moved: Callable[[Request], None]) -> None:
        """
        Another process serves it: nobody here hears of it any more.

        :param moved: called with the request that goes on there, if there is one
        """
        request, self.request = self.request, None
        self.closing = True
        self.frozen = self.waits = False
        self.unparsed = b""
        self.factory.closed(self)
        if request is not None and not request.finished:
            moved(request)
            request.moved_away()

    def begin_again(self, request: Request, convert: Callable[[Snapshot], Snapshot] | None = None) -> Request:
        """
        Let the newest generation go on with ``request``, whose handler has said ``can_move``.

        :param convert: gives the handler's state as that generation reads it; ``None``: as it was told
        :return: what takes its place; the site has been told that ``request`` has moved, and was asked to answer this
        :raises NotExportable: not now, or it is over, or it cannot be converted; nothing has changed
        """
        again = continue_request(self, request, convert)
        self.factory.site.moved(request)
        request.moved_away()
        if request._body is not None:
            request._body.let_go()
        self.request = again
        self.handle(again)
        self._advance()
        return again

    # ---- closing

    def refuse(self, error: BadRequest) -> None:
        """Answer bytes that are no request, and close.  The site gets a blank request for its books."""
        factory = self.factory
        record = Request(self, b"")
        text = error.cause.encode() + b"\n"
        lines = (
            status_line(error.status),
            factory.renew_common(),
            id_lines(factory.id_names, record.id),
            _PLAIN % len(text),
            CLOSE,
            b"\r\n",
            text,
        )
        factory.refused[error.status] = factory.refused.get(error.status, 0) + 1
        self.transport.write(b"".join(lines))
        record.route, record.status, record.sent_bytes = "refused", error.status, len(text)
        record.started = record.finished = True
        self._report(record)
        self.close(linger=True)

    def close(self, linger: bool) -> None:
        """
        Take no further request; what was queued still goes out.

        :param linger: the client may still be sending: only our side is shut down until it has seen the answer,
            since closing on unread bytes makes the kernel reset the connection and throw the answer away
        """
        if self.closing:
            return
        self.closing = True
        self.unparsed = b""
        self.since = self.closed_at = self.factory.now
        self._leave_body(_CLOSED)
        transport = self.transport
        transport.unregisterProducer()
        self._output_paused = False
        half = getattr(transport, "loseWriteConnection", None)
        if linger and half is not None and not self.eof:
            if self._paused:
                self._paused = False
                transport.resumeProducing()
            half()
        else:
            transport.loseConnection()

    def _leave_body(self, cause: str) -> None:
        """No further byte of the current request is read; whoever still reads it learns so."""
        request, self.request = self.request, None
        if request is not None and request.unread_body is not None:
            request.unread_body.no_more(BodyTruncated(cause))

    def drop(self, request: Request) -> None:
        """Break the connection off in the middle of ``request``'s answer."""
        self._report(request)
        if request is self.request:
            self.closing = True
            self.unparsed = b""
            self._leave_body(_CLOSED)
            self._fail_waiters()
            self.transport.abortConnection()

    # ---- what others ask

    @property
    def unsent(self) -> bool:
        """Something waits for the client."""
        return bool(getattr(self.transport, "unsent", self._output_paused))

    def stuck_s(self, now: float) -> float:
        """For how long the client has taken nothing of what waits for it."""
        if not self.unsent:
            self._watch = None
            return 0.0
        if self._watch is None:
            self._watch = OutputWatch()
        return self._watch.stuck_s(getattr(self.transport, "sent_total", 0), now)

    def host(self) -> Any:
        """Our address of this connection."""
        if self._host is None:
            self._host = self.transport.getHost()
        return self._host
