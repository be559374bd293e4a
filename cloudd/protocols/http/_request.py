# -*- test-case-name: tests.protocols.http.test_request -*-
"""One request and its answer, as handlers see them."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from reload import Snapshot

from ._answer import BODILESS, CHUNKED, CLOSE, KEEP_ALIVE, LAST_CHUNK, header_block, id_lines, status_line
from ._body import Body
from ._errors import AnswerMisused, ClientGone
from ._head import Header
from ._klein import KleinGlue, KleinState

if TYPE_CHECKING:
    from ._connection import HTTPConnection

_log = Logger()

#: Of a state that only the very code which told it goes on with: see ``Request.can_move``.
NAMELESS = ("nameless", 1)
#: Remainders of an unread body up to this size are read and forgotten, so that the connection can be used again.
DRAIN_BYTES = 65_536
#: Bodies up to this size go out in one piece with their head.
_JOIN_BYTES = 65_536
_NO_HEADERS: list[Header] = []
_NO_FIELDS: dict[bytes, bytes] = {}
_READING_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS"})


def changes_state(method: bytes) -> bool:
    """Whether a request of this method may change something: all but GET, HEAD and OPTIONS."""
    return method not in _READING_METHODS


@frozen
class Move:
    """How the handler of a request lets it go on elsewhere; see ``Request.can_move``."""

    tell: Callable[[], dict[str, Any]]
    abandon: Callable[[], None]
    descriptors: Callable[[], tuple[int, ...]] | None
    follows: bool
    state: tuple[str, int]

    def snapshot(self) -> Snapshot:
        """:raises NotExportable: not now"""
        return Snapshot(*self.state, self.tell())


class Request(KleinGlue):
    """
    One request.  The facts are those of ``Head`` and:

    :ivar peer: the client's address, for example ``127.0.0.1:5123``
    :ivar face: which port it came by: ``api``, ``object``, ``s3``
    :ivar id: request id; the client's own if it sent a valid one
    :ivar began: the reactor's time when the head was complete
    :ivar generation: of the code that answers; set by the kernel
    :ivar route: set by the handler for log and metrics: a template out of a small set, ``/v3/projects/{id}``
    :ivar project_id: set by the handler once it is known
    :ivar status: of the answer, 0 before it is started
    :ivar sent_bytes: body bytes of the answer that were queued so far
    :ivar started: the answer's head was sent
    :ivar finished: the answer is complete, or was given up
    :ivar client_gone: the client left before the answer's end
    :ivar broken: the answer was given up after it had begun, so that the client saw it break off
    :ivar state: what its handler told where the request was before; ``None`` for one that began here
    """

    __slots__ = (
        "_bodiless",
        "_body",
        "_chunked",
        "_descriptors",
        "_ended_calls",
        "_length",
        "_promised",
        "_running",
        "began",
        "broken",
        "client_gone",
        "face",
        "finished",
        "generation",
        "id",
        "move",
        "peer",
        "project_id",
        "raw_head",
        "reported",
        "route",
        "sent_bytes",
        "started",
        "state",
        "status",
    )

    id: str

    def __init__(self, connection: HTTPConnection, raw_head: bytes) -> None:
        factory = connection.factory
        self._connection = connection
        self.raw_head = raw_head
        if raw_head:
            factory.parser.parse(raw_head, self)
        else:
            self.be_blank()
        self.peer = connection.peer
        self.face = factory.face
        self.id = factory.ids.id_for(self.fields.get(b"x-openstack-request-id"))
        self.began = factory.reactor.seconds()
        self.generation = 0
        self.route = "unknown"
        self.project_id = ""
        self.status = 0
        self.sent_bytes = 0
        self.started = self.finished = self.client_gone = self.reported = self.broken = False
        self.state: Snapshot | None = None
        self._descriptors: tuple[tuple[int, ...], bool] = ((), True)  # of a resumed handler, and whether it has them
        length = self.length
        self._body = None if length == 0 else Body(connection, length, self.expects_continue)
        self._bodiless = False
        self._chunked = False
        self._length: int | None = None  # of the answer's body, as declared
        self._promised = 0  # bytes of it that the handler has given
        self._running: Deferred[None] | None = None  # the handler's coroutine
        self._ended_calls: list[Callable[[], None]] | None = None
        self.move: Move | None = None
        self._klein: KleinState | None = None

    def __repr__(self) -> str:
        return f"<Request {self.id} {self.method!r} {self.target!r} status={self.status}>"

    # ---- what came

    @property
    def body(self) -> Body:
        """The request's body; an empty one when there is none."""
        if self._body is None:
            self._body = Body(self._connection, 0, self.expects_continue)
        return self._body

    @property
    def transport(self) -> Any:
        """The connection's transport, for what only it knows (peer credentials of a local socket)."""
        return self._connection.transport

    @property
    def lot(self) -> float:
        """Of the connection, from 0 to below 1: chosen by chance, and the same for all its requests here."""
        connection = self._connection
        if connection.lot < 0:
            connection.lot = connection.factory.lots.draw()
        return connection.lot

    @property
    def received_bytes(self) -> int:
        """Bytes of the body that were decoded so far."""
        return 0 if self._body is None else self._body.received

    @property
    def unread_body(self) -> Body | None:
        """The body, if bytes of it are still to come."""
        body = self._body
        return None if body is None or body.ended else body

    def header(self, name: bytes) -> bytes | None:
        """The values of header ``name`` (lower case) joined by ``b", "``, or ``None``."""
        return self.fields.get(name)

    def header_values(self, name: bytes) -> list[bytes]:
        """Each value of header ``name`` (lower case), in order."""
        return [value for known, value in self.headers if known == name]

    def when_closed(self, call: Callable[[], None]) -> None:
        """Call ``call`` if the client leaves before the answer has ended; at once if it has left already."""
        if self.client_gone:
            call()
        elif self._ended_calls is None:
            self._ended_calls = [call]
        else:
            self._ended_calls.append(call)

    # ---- for an answer that goes on for hours

    def forget_fields(self) -> None:
        """Let go of the parsed header fields, some 0.5 KB; ``raw_head`` stays, by which the request can move."""
        self.headers, self.fields = _NO_HEADERS, _NO_FIELDS

    @property
    def unsent_bytes(self) -> int:
        """How much waits for the client in the connection; a part of a file counts with what is left of it."""
        return int(getattr(self._connection.transport, "unsent", 0))

    @property
    def held(self) -> bool:
        """The connection holds still, to be moved: what is written now is in the way."""
        return self._connection.frozen

    @property
    def process_ends(self) -> bool:
        """The process stops in order: an answer that has no end by itself should find one."""
        return self._connection.factory.draining

    # ---- going on elsewhere

    def can_move(
        self,
        tell: Callable[[], dict[str, Any]],
        abandon: Callable[[], None],
        descriptors: Callable[[], tuple[int, ...]] | None = None,
        follows: bool = False,
        state: tuple[str, int] = NAMELESS,
    ) -> None:
        """
        Let this request be moved to another process, or to a newer generation, while its handler runs.

        There the route's handler is called again, with the state in ``resumed``, in its own version of that kind, and
        with ``started``, ``sent_bytes`` and ``body.received`` as far as it had come here.  Called again it replaces
        what was said before, and says that a state which could not be told can be told now.

        :param tell: the handler's state as plain data (see ``reload.Snapshot``); pure, since the move may be undone.
            May raise ``NotExportable``: not now
        :param abandon: it goes on elsewhere: let go of what was passed on without undoing it (close our descriptors,
            unlink nothing, answer nothing).  The handler's coroutine, if any, is cancelled afterwards
        :param descriptors: open files that travel along; they stay the handler's until ``abandon``
        :param follows: when this process takes new code the request moves to it at once.  Else it ends in the
            generation where it began
        :param state: kind and version of what ``tell`` gives.  The application names them, with the steps to other
            versions, in its ``states``: a kind that is not named there does not leave a worker
        """
        self.move = Move(tell, abandon, descriptors, follows, state)
        self._connection.factory.tell_may_move(self._connection)

    @property
    def follows(self) -> bool:
        """Whether the request moves to a newer generation in this process."""
        return self.move is not None and self.move.follows

    @property
    def resumed(self) -> dict[str, Any] | None:
        """What ``tell`` gave where this request was before; ``None`` for one that began here.  See ``state``."""
        if self.state is None:
            return None
        if self._body is not None:
            self._body.is_known_to_be_resumed = True
        return self.state.fields

    @property
    def resumed_descriptors(self) -> tuple[int, ...]:
        """What ``descriptors`` gave there: the handler's own, who closes them.  What nobody asks for is closed."""
        self._descriptors = (self._descriptors[0], True)
        return self._descriptors[0]

    def resume_with(self, state: Snapshot | None, descriptors: tuple[int, ...]) -> None:
        """Let the handler go on with these; the connection calls it before the handler."""
        self.state = state
        self._descriptors = (descriptors, not descriptors)

    def descriptors_to_move(self) -> tuple[int, ...]:
        """What travels along with the handler's state; still the handler's."""
        descriptors, are_taken = self._descriptors
        if not are_taken:
            return descriptors
        if self.finished or self.move is None or self.move.descriptors is None:
            return ()
        return self.move.descriptors()

    def close_untaken(self) -> None:
        """Close the descriptors that no handler has taken."""
        descriptors, are_taken = self._descriptors
        if not are_taken:
            self._descriptors = ((), True)
            for descriptor in descriptors:
                os.close(descriptor)

    def moved_away(self) -> None:
        """It goes on elsewhere: the handler here ends without an answer, a log line or a count."""
        self.reported = True
        self.close_untaken()
        move, self.move = self.move, None
        if move is not None:
            try:
                move.abandon()
            except Exception:
                _log.failure("the handler of {request}, which has moved, could not let go of it", request=self)
        self.client_left()
        if self._running is not None:
            self._running.cancel()

    # ---- answering

    def respond(self, status: int, headers: Iterable[Header] = (), body: bytes = b"") -> None:
        """
        Send a whole answer.  To HEAD only the length of ``body`` is told.

        :raises ValueError: a header has a line break in it; nothing was sent
        :raises AnswerMisused: the answer was started before
        """
        bodiless = status in BODILESS
        length = None if bodiless else len(body)
        head = self._head_bytes(status, headers, length)
        self.started = True
        self.status = status
        if not self.client_gone:
            connection = self._connection
            if bodiless or self.method == b"HEAD":
                connection.send_now(head)
            else:
                self.sent_bytes = len(body)
                if len(body) <= _JOIN_BYTES:
                    connection.send_now(head + body)
                else:
                    connection.send(head)
                    connection.send(body)
        self._end()

    def start(self, status: int, headers: Iterable[Header] = (), length: int | None = None) -> None:
        """
        Begin an answer whose body comes by ``write`` and ``send_file``.

        :param length: of the body; ``None`` if not known: chunked, and on HTTP/1.0 ended by closing
        :raises ValueError: a header has a line break in it; nothing was sent
        :raises AnswerMisused: the answer was started before
        """
        self._bodiless = status in BODILESS or self.method == b"HEAD"
        if length is None and status not in BODILESS:
            if self.version == (1, 1):
                self._chunked = True
            elif not self._bodiless:
                self.keep = False
        head = self._head_bytes(status, headers, None if status == 204 else length)
        self.started = True
        self.status = status
        self._length = length
        if not self.client_gone:
            self._connection.send(head)

    def _head_bytes(self, status: int, headers: Iterable[Header], length: int | None) -> bytes:
        if self.started:
            raise AnswerMisused(f"{self!r} was answered before")
        factory = self._connection.factory
        self._decide_keep()
        framing = b"" if length is None else b"Content-Length: %d\r\n" % length
        if self._chunked:
            framing = CHUNKED
        if not self.keep:
            framing += CLOSE
        elif self.version == (1, 0):
            framing += KEEP_ALIVE
        lines = (
            status_line(status),
            factory.common if factory.seconds() < factory.common_until else factory.renew_common(),
            header_block(headers),
            id_lines(factory.id_names, self.id),
            framing,
            b"\r\n",
        )
        return b"".join(lines)

    def _decide_keep(self) -> None:
        """Say ``Connection: close`` where the next request could not be found behind this one's unread body."""
        body = self._body
        if self._connection.factory.draining:
            self.keep = False
        elif self.expects_continue and (body is None or body.awaits_continue):
            # Also with an empty body: botocore, answered without a 100, reads the connection's next answer wrongly.
            self.keep = False
        elif body is not None and not body.ended and not body.reading:
            left = body.left()
            if left is None or left > DRAIN_BYTES or body.failed:
                self.keep = False

    def write(self, data: bytes, *, at_once: bool = False) -> Deferred[None] | None:
        """
        Send more of the answer's body.

        :param at_once: nothing follows soon: do not wait for the reactor, which costs three times as much
        :return: ``None``: go on.  A Deferred: wait for it; it fires when the client has taken enough, and fails with
            ``ClientGone``
        :raises AnswerMisused: before ``start``, after the end, or beyond the declared length
        """
        if not self.started and self._klein is not None:
            self._klein.write(data)
            return None
        self._check_writable(len(data))
        if self.client_gone:
            return fail(ClientGone())
        if not data or self._bodiless:
            return None
        self._promised += len(data)
        self.sent_bytes += len(data)
        connection = self._connection
        framed = b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data
        if at_once:
            connection.send_now(framed)
        else:
            connection.send(framed)
        return connection.room()

    def _check_writable(self, size: int) -> None:
        if not self.started or self.finished:
            raise AnswerMisused(f"{self!r} is not between start and finish")
        if self._length is not None and self._promised + size > self._length and not self._bodiless:
            raise AnswerMisused(f"{self!r} writes more than the length it declared")

    def send_file(self, descriptor: int, offset: int, length: int) -> Deferred[None]:
        """
        Send a part of an open file as the next part of the body, where possible without copying it.

        The descriptor stays the caller's, who closes it after the Deferred has fired.

        :return: fires when the kernel has taken the bytes; fails with ``ClientGone``, or ``FileTooShort`` when the
            file has fewer bytes (then ``abort``)
        :raises AnswerMisused: as ``write``
        """
        self._check_writable(length)
        if self.client_gone:
            return fail(ClientGone())
        if not length or self._bodiless:
            return succeed(None)
        connection = self._connection
        self._promised += length
        if self._chunked:
            connection.send(b"%x\r\n" % length)
        sent = connection.send_file(self, descriptor, offset, length)
        if self._chunked:
            connection.send(b"\r\n")
        return sent

    def finish(self) -> None:
        """
        End the answer.

        An answer that is shorter than it declared is broken: the connection is dropped.
        """
        if self.finished:
            return
        if not self.started:
            if self._klein is None:
                raise AnswerMisused(f"{self!r} is finished without an answer")
            self._klein.finish(self)
            return
        if self.client_gone:
            self._end()
        elif self._length is not None and self._promised < self._length and not self._bodiless:
            _log.error("{request} ended before the {length} bytes it declared", request=self, length=self._length)
            self.abort()
        else:
            if self._chunked and not self._bodiless:
                self._connection.send(LAST_CHUNK)
            self._end()

    def abort(self) -> None:
        """Drop the connection, so that the client sees that the answer is broken."""
        if not self.finished:
            self.keep = False
            self.finished = True
            self.broken = not self.client_gone
            self._connection.drop(self)

    def _end(self) -> None:
        self.finished = True
        if self._klein is not None:
            self._klein.ended()
        self._connection.answered(self)

    # ---- what the connection tells

    @property
    def shielded(self) -> bool:
        """The handler runs to its end even when the client leaves."""
        return changes_state(self.method)

    @property
    def at_work(self) -> bool:
        """The handler still does something, though perhaps for nobody."""
        return self._running is not None or (self._klein is not None and self.shielded)

    def client_left(self) -> None:
        """The connection is gone: tell everyone who waits for it."""
        self.client_gone = True
        self.keep = False
        calls, self._ended_calls = self._ended_calls, None
        for call in calls or ():
            try:
                call()
            except Exception:
                _log.failure("a call for the end of {request} failed", request=self)
        if self._klein is not None and not self.shielded:
            self._klein.client_left()
        if self._running is not None and not self.shielded:
            self._running.cancel()


#: Answers one request; a coroutine is run by the connection.
Handler = Callable[[Request], Coroutine[Any, Any, None] | None]
