# -*- test-case-name: tests.tls_front.test_relay -*-
"""
One client's connection: handshake, then bytes in both directions between TLS and the worker's socket.

Nothing is read from one side before what was read last has gone out on the other: so each direction holds at most one
read, and who is slow slows the other one down.  An idle connection holds no buffer.

Ends.  The client's close_notify becomes the end of the worker's stream, and its answer still goes out.  The worker's
end becomes a close_notify.  If it has closed, so do we; if it has shut down its sending side alone, what the client
goes on sending is thrown away until it closes, since closing a socket with unread bytes makes the kernel reset the
connection, and many a client then drops the answer.  (Reading on after one's own close_notify is possible in TLS 1.3,
but Python's ``ssl`` cannot do it reliably, and HTTP has no use for it: the worker is told that the client has ended.)
A client that leaves without close_notify has left.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

from ._loop import ERR, HUP, IN, OUT
from ._origin import Origin, OriginError

if TYPE_CHECKING:
    from ._face import Face

#: Most that one direction holds, and most that one event moves: four TLS records.
CHUNK_BYTES = 65_536
_RECORD_BYTES = 16_384
#: For a client that speaks HTTP without TLS.
PLAIN_HTTP = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 50\r\n"
    b"Connection: close\r\n\r\nThis port speaks TLS: use https:// in its address\n"
)
_buffer = bytearray(CHUNK_BYTES)  # for the event in hand; what does not go out at once is copied from it
_view = memoryview(_buffer)

HANDSHAKE, WAITING, OPEN, LINGER, CLOSED = range(5)


class Relay:
    """
    From ``begin`` until ``face.ended`` is called with it.

    :ivar stage: ``HANDSHAKE``, ``WAITING`` (for a worker), ``OPEN``, ``LINGER`` (the worker has ended, or
        the handshake has failed), ``CLOSED``
    :ivar since: the loop's time when the stage began, or something was last sent to the client or, in ``LINGER``, read
    """

    __slots__ = (
        "__weakref__",
        "_address",
        "_client_ended",
        "_down",
        "_face",
        "_plain",
        "_plain_mask",
        "_read_wants",
        "_tls",
        "_tls_mask",
        "_up",
        "_worker_ended",
        "_worker_gone",
        "_write_wants",
        "since",
        "stage",
    )

    def __init__(self, face: Face, client: socket.socket, address: tuple[Any, ...]) -> None:
        self._face = face
        self._address = address
        self._plain: socket.socket | None = None
        self._up: memoryview | None = None  # for the worker
        self._down: memoryview | None = None  # for the client
        self._client_ended = False
        self._worker_ended = False  # has shut down its sending side
        self._worker_gone = False  # has closed
        self._read_wants = IN  # what a TLS read waits for
        self._write_wants = OUT
        self._tls_mask = IN
        self._plain_mask = IN
        self.stage = HANDSHAKE
        self.since = face.loop.now
        self._tls: Any = face.store.entry.wrap_socket(
            client, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
        )

    def begin(self) -> None:
        """Wait for the client's first bytes."""
        self._face.loop.watch(self._tls.fileno(), IN, self._tls_ready)

    # ---- the handshake and the way to a worker

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._watch_tls(IN)
        except ssl.SSLWantWriteError:
            self._watch_tls(OUT)
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or type(error).__name__
            self._face.handshake_failed(reason)
            if reason == "HTTP_REQUEST":
                with contextlib.suppress(OSError):
                    socket.socket.send(self._tls, PLAIN_HTTP)
            self._linger()  # so that it can read why: an alert, or this
        else:
            self._face.handshakes[self._tls.version() or ""] += 1
            self._watch_tls(0)
            self.stage, self.since = WAITING, self._face.loop.now
            self._face.hand_over(self)

    def origin(self) -> bytes:
        """
        What a worker is told of this connection.

        :raises OSError: the client has left
        """
        our_host, our_port = self._tls.getsockname()[:2]
        cipher = self._tls.cipher()
        facts = Origin(
            self._address[0],
            self._address[1],
            our_host,
            our_port,
            self._tls.version() or "",
            cipher[0],
            self._tls.asked_name,
        )
        try:
            return facts.encode()
        except OriginError:
            return facts._replace(name="").encode()

    def handed_over(self, plain: socket.socket) -> None:
        """A worker has the other end of ``plain``."""
        self._plain = plain
        self.stage = OPEN
        self._face.loop.watch(plain.fileno(), IN, self._plain_ready)
        self._watch_tls(IN)
        self._move_up()  # the client's first request often comes with the end of its handshake

    # ---- events

    def _tls_ready(self, events: int) -> None:
        try:
            self._on_tls(events)
        except Exception:
            self._face.relay_failed(self)

    def _plain_ready(self, events: int) -> None:
        try:
            self._on_plain(events)
        except Exception:
            self._face.relay_failed(self)

    def _on_tls(self, events: int) -> None:
        if self.stage == HANDSHAKE:
            self._shake_hands()
        elif self.stage == LINGER:
            self._throw_away()
        elif events & (HUP | ERR) and not events & IN:
            self.drop()  # reset; also while nothing is read, since epoll would go on telling so
        elif self.stage == OPEN:
            if self._down is not None:
                self._send_down()
            if self.stage == OPEN and self._up is None and not self._client_ended:
                self._move_up()

    def _on_plain(self, events: int) -> None:
        if events & (HUP | ERR) and not self._worker_gone:
            self._worker_gone = True
            self._up = None
            assert self._plain is not None
            self._face.loop.forget(self._plain.fileno())  # epoll would go on telling so
            if self._down is not None:
                self.since = self._face.loop.now
                self._face.worker_gone(self)
        if self._up is not None and events & OUT:
            self._send_up()
        if self.stage == OPEN and self._down is None and not self._worker_ended:
            self._move_down()

    # ---- from the client to the worker

    def _move_up(self) -> None:
        """Read what the client has sent, at most a chunk, and pass it on."""
        count = 0
        ended = has_left = False
        try:
            while count <= CHUNK_BYTES - _RECORD_BYTES:
                got = self._tls.recv_into(_view[count:])
                if not got:
                    ended = True
                    break
                count += got
                if got < _RECORD_BYTES and not self._tls.pending():
                    break  # most likely that is all; epoll tells if not
            self._read_wants = IN
        except ssl.SSLWantReadError:
            self._read_wants = IN
        except ssl.SSLWantWriteError:
            self._read_wants = OUT
        except ssl.SSLZeroReturnError:
            ended = True
        except (OSError, ValueError):
            has_left = True
        if count:
            self._face.received += count
            if not self._worker_gone:
                self._up = _view[:count]
                self._send_up()
        if has_left:
            self.drop()
        elif ended and self.stage == OPEN:
            self._client_ended = True
            if self._up is None:
                self._end_worker()
        self._watch()

    def _send_up(self) -> None:
        """Give the worker what waits for it."""
        waiting = self._up
        assert waiting is not None and self._plain is not None
        try:
            sent = self._plain.send(waiting)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._up = None  # its end is told by another event
            self._watch()
            return
        self._up = _rest(waiting, sent)
        if self._up is None and self._client_ended:
            self._end_worker()
        self._watch()

    def _end_worker(self) -> None:
        """The client has ended; the worker may still answer."""
        assert self._plain is not None
        with contextlib.suppress(OSError):  # it has ended as well
            self._plain.shutdown(socket.SHUT_WR)

    # ---- from the worker to the client

    def _move_down(self) -> None:
        """Read what the worker has sent, and pass it on."""
        assert self._plain is not None
        try:
            count = self._plain.recv_into(_view)
        except BlockingIOError:
            return
        except OSError:
            self.drop()  # it broke the connection off, with bytes unread
            return
        if count:
            self._face.sent += count
            self._down = _view[:count]
            self._send_down()
        else:
            self._worker_ended = True
            self._end_client()

    def _send_down(self) -> None:
        """Encrypt and send what waits for the client; read more when all has gone."""
        waiting = self._down
        assert waiting is not None
        sent, size = 0, len(waiting)
        try:
            while sent < size:
                sent += self._tls.send(waiting[sent:])
            self._write_wants = OUT
        except ssl.SSLWantWriteError:
            self._write_wants = OUT
        except ssl.SSLWantReadError:
            self._write_wants = IN
        except (OSError, ValueError):
            self.drop()
            return
        if sent:
            self.since = self._face.loop.now
        self._down = _rest(waiting, sent)
        if self._down is None and self._worker_gone:
            self._move_down()  # nobody tells us of the rest any more
        elif self.stage == OPEN:
            self._watch()

    # ---- ends

    def _end_client(self) -> None:
        """The worker has ended, and all of its answer has gone: tell the client."""
        with contextlib.suppress(OSError, ValueError):  # sent, or of no use any more; see above
            self._tls.unwrap()
        if self._client_ended or self._worker_gone:
            self.drop()
            return
        self._close_plain()
        self._up = None
        self._linger()

    def _linger(self) -> None:
        """Send nothing more, and wait until the client closes."""
        try:
            self._tls.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop()
            return
        self.stage, self.since = LINGER, self._face.loop.now
        self._watch_tls(IN)
        self._face.lingers(self)
        self._throw_away()

    def _throw_away(self) -> None:
        """Read, without decrypting, what the client still sends."""
        try:
            for _ in range(4):
                if not self._tls.recv_into(_view):
                    self.drop()
                    return
                self.since = self._face.loop.now
        except BlockingIOError:
            pass
        except (OSError, ValueError):
            self.drop()

    def drop(self) -> None:
        """Let go of both sides at once."""
        if self.stage == CLOSED:
            return
        self.stage = CLOSED
        self._up = self._down = None
        self._close_plain()
        self._face.loop.close(self._tls)
        self._face.ended(self)

    def _close_plain(self) -> None:
        plain, self._plain = self._plain, None
        if plain is not None:
            self._face.loop.close(plain)

    # ---- what to wait for

    def _watch(self) -> None:
        """Wait for what can go on: a side is read when nothing waits for the other one."""
        if self.stage != OPEN:
            return
        mask = 0
        if self._up is None and not self._client_ended:
            mask |= self._read_wants
        if self._down is not None:
            mask |= self._write_wants
        self._watch_tls(mask)
        if not self._worker_gone:
            assert self._plain is not None
            mask = 0
            if self._down is None and not self._worker_ended:
                mask |= IN
            if self._up is not None:
                mask |= OUT
            if mask != self._plain_mask:
                self._plain_mask = mask
                self._face.loop.change(self._plain.fileno(), mask)

    def _watch_tls(self, mask: int) -> None:
        if mask != self._tls_mask:
            self._tls_mask = mask
            self._face.loop.change(self._tls.fileno(), mask)


def _rest(waiting: memoryview, sent: int) -> memoryview | None:
    """What is left, out of the shared buffer; ``None``: nothing."""
    if sent == len(waiting):
        return None
    rest = waiting[sent:]
    return memoryview(bytes(rest)) if rest.obj is _buffer else rest
