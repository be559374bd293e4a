# -*- test-case-name: tests.protocols.http.test_body -*-
"""
The body of a request, read when and as fast as its handler wants.

Until the handler asks, the body's bytes wait undecoded in the connection's buffer (and beyond it, in the client: the
transport is paused).  Asking sends ``100 Continue`` to a client that waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from ._errors import BodyAlreadyRead, BodyMalformed, BodyTooLarge, BodyTruncated
from ._framing import ChunkedDecoder, Decoder, Header, decoder_for, decoder_from

if TYPE_CHECKING:
    from ._connection import HTTPConnection


class BodySink(Protocol):
    """Where a body goes."""

    def write(self, data: bytes) -> Deferred[None] | None:
        """Take some bytes; a Deferred pauses the client until it fires.  What it fails with ends the reading."""


class _Collector:
    """The sink of ``Body.read``."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.write = pieces.append


class _Discard:
    """The sink of what nobody reads."""

    def write(self, data: bytes) -> None:
        """Forget it."""


class Body:
    """
    One request's body.

    :ivar length: declared size in bytes; ``None`` when it is chunked, 0 when there is no body
    :ivar received: decoded bytes so far
    :ivar ended: its last byte was decoded
    :ivar is_known_to_be_resumed: the handler has asked for the state of the one that has read the body so far
    """

    __slots__ = (
        "_blocked",
        "_connection",
        "_done",
        "_failure",
        "_limit",
        "_pulling",
        "_sink",
        "asked",
        "awaits_continue",
        "collected",
        "decoder",
        "ended",
        "is_known_to_be_resumed",
        "length",
        "received",
    )

    def __init__(self, connection: HTTPConnection, length: int | None, awaits_continue: bool) -> None:
        self._connection = connection
        self.length = length
        self.received = 0
        self.decoder: Decoder = decoder_for(length)
        self.ended = self.decoder.finished
        self.awaits_continue = awaits_continue
        self.asked = False  # a reader came
        self.collected: list[bytes] | None = None  # what read() has; goes along to another process
        self.is_known_to_be_resumed = True
        self._sink: BodySink | None = None
        self._done: Deferred[int] | None = None
        self._limit: int | None = None
        self._blocked: Deferred[None] | None = None  # the sink's, while it wants no more
        self._pulling = False
        self._failure: Exception | None = None  # why no further byte will come

    @property
    def trailers(self) -> list[Header]:
        """Fields after the last chunk, names in lower case; empty before the end."""
        return self.decoder.trailers if isinstance(self.decoder, ChunkedDecoder) else []

    async def read(self, limit: int) -> bytes:
        """
        The whole body, for documents.

        A handler must not have changed anything before this returns: while it waits here its request may be moved
        to another process, where it is handled from the beginning.

        :param limit: longest body taken, in bytes
        :raises BodyTooLarge: it is longer; the client is not asked for the rest
        :raises BodyTruncated: the client stopped before its end
        """
        if self.length is not None and self.length > limit:
            raise BodyTooLarge(limit)
        if self.collected is None:
            if self.asked or not self.is_known_to_be_resumed:
                raise BodyAlreadyRead
            self.collected = []
        if self.received > limit:
            raise BodyTooLarge(limit)
        pieces = self.collected
        if not self.ended:
            await self._start(_Collector(pieces), limit)
        else:
            self._let_continue()
        if len(pieces) != 1:
            self.collected = pieces = [b"".join(pieces)]
        return pieces[0]

    def stream_to(self, sink: BodySink, limit: int | None = None) -> Deferred[int]:
        """
        Give the body to ``sink`` piece by piece, never faster than it takes them.

        :param limit: longest body taken, in bytes
        :return: fires with the size when the sink has taken the last byte.  Fails with ``BodyTruncated``,
            ``BodyTooLarge``, or what ``sink.write`` raised or failed with; never while a Deferred of the sink is
            still to fire.  Cancelling it ends the reading.
        """
        if self.asked or not self.is_known_to_be_resumed:
            return fail(BodyAlreadyRead())
        if limit is not None and self.length is not None and self.length > limit:
            return fail(BodyTooLarge(limit))
        if self.ended:
            self.asked = True
            self._let_continue()
            return succeed(self.received)
        return self._start(sink, limit)

    def _start(self, sink: BodySink, limit: int | None) -> Deferred[int]:
        self.asked = True
        self._sink = sink
        self._limit = limit
        done: Deferred[int] = Deferred(self._cancelled)
        self._done = done
        self._let_continue()
        self._connection.body_wanted()
        return done

    def _let_continue(self) -> None:
        if self.awaits_continue:
            self.awaits_continue = False
            self._connection.send_continue()

    def _cancelled(self, _done: Deferred[int]) -> None:
        self._sink = self._done = None

    @property
    def reading(self) -> bool:
        """Somebody waits for bytes of it."""
        return self._sink is not None

    @property
    def reading_document(self) -> bool:
        """The handler waits in ``read``."""
        return self._done is not None and self.collected is not None

    @property
    def waiting_for_client(self) -> bool:
        """Somebody waits for bytes, and the client is the one to bring them."""
        return self._sink is not None and self._blocked is None

    def let_go(self) -> None:
        """Give nothing more to whoever reads it: another body goes on in its place."""
        self._sink = self._done = None

    def discard(self) -> None:
        """Read on without a reader, so that the next request can be found."""
        self._sink = _Discard()
        self._limit = None

    def pull(self) -> None:
        """Decode what has arrived, as far as the sink takes it."""
        connection = self._connection
        if self._pulling or connection.frozen:
            return
        self._pulling = True
        try:
            while self._sink is not None and self._blocked is None and not self.ended:
                if self._failure is not None or not connection.unparsed:
                    break
                if not self._pull_once(connection):
                    break
        finally:
            self._pulling = False
        self._settle()

    def _pull_once(self, connection: HTTPConnection) -> bool:
        before = len(connection.unparsed)
        try:
            piece, connection.unparsed = self.decoder.feed(connection.unparsed)
        except BodyMalformed as error:
            self._failure = error
            return False
        self.ended = self.decoder.finished
        if piece:
            self.received += len(piece)
            if self._limit is not None and self.received > self._limit:
                self._failure = BodyTooLarge(self._limit)
                return False
            self._give(piece)
        return len(connection.unparsed) != before

    def _give(self, piece: bytes) -> None:
        assert self._sink is not None
        try:
            blocked = self._sink.write(piece)
        except Exception as error:
            self._failure = error
            return
        if blocked is not None:
            self._blocked = blocked
            blocked.addCallbacks(self._unblocked, self._sink_failed)

    def _unblocked(self, _: None) -> None:
        self._blocked = None
        self._sink_at_rest()

    def _sink_failed(self, failure: Failure) -> None:
        self._blocked = None
        self._failure = failure.value if isinstance(failure.value, Exception) else BodyTruncated(str(failure.value))
        self._sink_at_rest()

    def _sink_at_rest(self) -> None:
        if self._pulling:
            return
        if self.ended or self._failure is not None:
            self._settle()
        self._connection.body_wanted()

    def no_more(self, error: Exception) -> None:
        """The client will bring no further byte: whoever reads learns it once the sink is at rest."""
        if not self.ended and self._failure is None:
            self._failure = error
        self._settle()

    def _settle(self) -> None:
        """Tell the reader about the end, good or bad, unless its sink is still busy."""
        done = self._done
        if self._blocked is not None or self._connection.frozen:
            return
        if self._failure is not None:
            self._sink = self._done = None
            if done is not None:
                done.errback(self._failure)
        elif self.ended:
            self._sink = self._done = None
            if done is not None:
                done.callback(self.received)

    @property
    def failed(self) -> bool:
        """No end of this body can be reached: the connection cannot be used for another request."""
        return self._failure is not None

    def left(self) -> int | None:
        """Bytes to come until the end; ``None`` when the client did not say."""
        if self.ended:
            return 0
        return None if self.length is None else self.length - self.received

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where the body that gave ``state`` was.  Its reader asks for its own state (``resumed``) first."""
        self.received = state["received"]
        self.decoder = decoder_from(state["decoder"])
        self.ended = self.decoder.finished
        self.awaits_continue = state["awaits_continue"]
        collected = state["collected"]
        self.collected = None if collected is None else [collected]
        # A handler that would take the rest of a body for the whole of it is refused.
        self.is_known_to_be_resumed = collected is not None or not self.received

    def export(self) -> dict[str, Any]:
        """Its state as plain data, for ``restore``."""
        return {
            "received": self.received,
            "decoder": self.decoder.state(),
            "awaits_continue": self.awaits_continue,
            "collected": None if self.collected is None else b"".join(self.collected),
        }
