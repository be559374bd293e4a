# -*- test-case-name: tests.protocols.http -*-
"""
A TCP transport that answers in the same event in which it read, and sends files by sendfile(2).

Twisted's own transport asks the reactor for a write event and sends one loop later; here what was written during a
read goes out at the end of that read.  Bytes and parts of files wait in one queue, so their order is kept.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from typing import Any

from twisted.internet import main, tcp
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ._errors import ClientGone, FileTooShort, NotExportable

#: Bytes that wait for the client before the protocol is asked to stop writing, and to go on again.
HIGH_BYTES = 131_072
LOW_BYTES = 32_768
#: Files up to this size are read and sent together with the answer's head.
SMALL_FILE_BYTES = 65_536
_WINDOW_BYTES = 2_097_152  # most that one event sends of one file
_AHEAD_BYTES = 4_194_304  # what the kernel is asked to read in advance
_READ_BYTES = 65_536
_BULK_READ_BYTES = 262_144  # while reads come full; dear for small ones, since it is a fresh mapping each time
_MAX_PARTS = 64
_MORE = socket.MSG_MORE


class FilePart:
    """A part of an open file, on its way."""

    __slots__ = ("ahead", "descriptor", "done", "left", "offset", "request")

    def __init__(self, request: Any, descriptor: int, offset: int, length: int) -> None:
        self.request = request
        self.descriptor = descriptor
        self.offset = offset
        self.left = length
        self.ahead = offset
        self.done: Deferred[None] = Deferred()

    def send(self, out: int) -> int:
        """
        Let the kernel copy as much as the client has room for.

        :return: bytes sent
        :raises FileTooShort: the file has ended
        :raises OSError: as sendfile(2); ``BlockingIOError`` when there is no room
        """
        if self.offset + _WINDOW_BYTES > self.ahead and self.left > _WINDOW_BYTES:
            self._read_ahead()
        sent = os.sendfile(out, self.descriptor, self.offset, min(self.left, _WINDOW_BYTES))
        if sent == 0:
            raise FileTooShort(f"the file ends at {self.offset}, {self.left} bytes before what was to be sent")
        self.offset += sent
        self.left -= sent
        self.request.sent_bytes += sent
        return sent

    def _read_ahead(self) -> None:
        """Let the kernel begin to read what comes next, so that sendfile does not wait for the disk."""
        length = min(_AHEAD_BYTES, self.offset + self.left - self.ahead)
        if not _is_cached(self.descriptor, self.ahead + length - 1):
            os.posix_fadvise(self.descriptor, self.ahead, length, os.POSIX_FADV_WILLNEED)
        self.ahead += _AHEAD_BYTES


def _is_cached(descriptor: int, offset: int) -> bool:
    """
    Whether this byte of a file is in memory, or behind its end.

    To ask costs a microsecond; to announce what is in memory already costs 20 a MiB, a tenth of sending it.
    """
    try:
        os.preadv(descriptor, [bytearray(1)], offset, os.RWF_NOWAIT)
    except OSError:
        return False  # not there, or a file system that does not tell
    return True


class HTTPTransport(tcp.Server):
    """
    The server's side of one TCP connection.

    :ivar unsent: bytes that wait for the client; a part of a file counts with what is left of it
    :ivar sent_total: bytes that the kernel has taken
    """

    unsent = 0
    sent_total = 0
    _reading = False
    _wants_writing = False  # at the end of the read event that is going on
    _asked_for_writing = False  # the reactor has us among its writers

    def __init__(self, *args: Any) -> None:
        self._queue: deque[bytes | memoryview | FilePart] = deque()
        self._read_size = _READ_BYTES
        super().__init__(*args)

    def getHost(self) -> Any:
        """Our address; of a connection that the TLS front has handed over the one of its socket: no port."""
        if self.socket.family == socket.AF_UNIX:
            return UNIXAddress(None)
        return super().getHost()

    # ---- reading

    def doRead(self) -> Any:
        """Read once, then send what the protocol wrote."""
        try:
            data = self.socket.recv(self._read_size)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return main.CONNECTION_LOST
        if not data:
            return main.CONNECTION_DONE
        if len(data) >= self._read_size:
            self._read_size = _BULK_READ_BYTES
        elif len(data) < _READ_BYTES:
            self._read_size = _READ_BYTES
        self._reading = True
        try:
            self.protocol.dataReceived(data)
        finally:
            self._reading = False
        return self._write_wanted() if self._wants_writing else None

    def readConnectionLost(self, reason: Failure) -> None:
        """The client has shut down its sending side."""
        self._reading = True
        try:
            super().readConnectionLost(reason)
        finally:
            self._reading = False
        if self._wants_writing:
            self._write_wanted()

    def _write_wanted(self) -> Any:
        """Send at the end of a read event; what does not fit waits for the reactor."""
        self._wants_writing = False
        if not self.connected:
            return None
        why = self.doWrite()
        if why is not None:
            # Returned from here it would look as if the client had closed: half-closed connections live on.
            self.connectionLost(Failure(why))
        elif self._queue:
            self.startWriting()
        return None

    # ---- writing

    def startWriting(self) -> None:
        """Ask for a write event, or send at the end of the read event that is going on."""
        if self._reading:
            self._wants_writing = True
        else:
            self._asked_for_writing = True
            super().startWriting()

    def stopWriting(self) -> None:
        """No write events any more."""
        self._asked_for_writing = False
        super().stopWriting()

    def write(self, data: bytes) -> None:
        """Queue bytes."""
        if data and self.connected and not self._writeDisconnecting:
            self._queue.append(data)
            self.unsent += len(data)
            if self.unsent > HIGH_BYTES:
                self._check_high()
            if self._reading:
                self._wants_writing = True
            else:
                self.startWriting()

    def writeSequence(self, iovec: Any) -> None:
        """Queue each of ``iovec``."""
        for data in iovec:
            self.write(data)

    def write_now(self, data: bytes) -> None:
        """Queue bytes and do not wait for the reactor to send them."""
        if self._reading or self._queue or not self.connected or self._writeDisconnecting:
            self.write(data)
            return
        try:
            sent = self.socket.send(data)
        except OSError:
            sent = 0  # no room; or a lost connection, which the reactor will find out
        self.sent_total += sent
        if sent < len(data):
            self.write(data[sent:])

    def send_file(self, request: Any, descriptor: int, offset: int, length: int) -> Deferred[None]:
        """
        Queue a part of a file; ``request.sent_bytes`` grows with what was sent of it.

        :return: fires when the kernel has taken it; fails with ``ClientGone`` or ``FileTooShort``
        """
        part = FilePart(request, descriptor, offset, length)
        if not self.connected or self._writeDisconnecting:
            part.done.errback(ClientGone())
            return part.done
        self._queue.append(part)
        self.unsent += length
        self.startWriting()
        return part.done

    def _check_high(self) -> None:
        if self.producer is not None and not self.producerPaused:
            self.producerPaused = True
            self.producer.pauseProducing()  # type: ignore[attr-defined]

    def _check_low(self) -> None:
        if self.unsent <= LOW_BYTES and self.producer is not None:
            self.producerPaused = False
            self.producer.resumeProducing()  # type: ignore[attr-defined]

    def doWrite(self) -> Any:
        """Send as much as the client has room for."""
        queue = self._queue
        while queue and not self._aborting:
            first = queue[0]
            try:
                whole = self._send_part(first) if type(first) is FilePart else self._send_bytes()
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                return main.CONNECTION_LOST
            if not whole:
                break
        if self.producerPaused:
            self._check_low()
        if queue:
            return None
        if self._asked_for_writing:
            self.stopWriting()
        if self.disconnecting:
            return self._postLoseConnection()
        if self._writeDisconnecting and not self._writeDisconnected:
            self._writeDisconnected = True
            return self._closeWriteConnection()
        return None

    def _send_bytes(self) -> bool:
        """Send the bytes at the head of the queue; false when the client has no more room."""
        queue = self._queue
        if len(queue) == 1:
            return self._send_only(queue)
        parts, more = self._next_parts()
        sent = self.socket.sendmsg(parts, [], more)
        self._count(sent)
        for part in parts:
            if sent < len(part):
                queue[0] = memoryview(part)[sent:]
                return False
            sent -= len(part)
            queue.popleft()
        return True

    def _send_only(self, queue: deque[Any]) -> bool:
        """The usual case, one answer: the same for the only bytes in the queue."""
        data = queue[0]
        sent = self.socket.send(data)
        self._count(sent)
        if sent < len(data):
            queue[0] = memoryview(data)[sent:]
            return False
        queue.popleft()
        return True

    def _next_parts(self) -> tuple[list[Any], int]:
        """The bytes in front of the queue, and whether a file follows that should share their packet."""
        parts: list[Any] = []
        for part in self._queue:
            if type(part) is FilePart:
                return parts, _MORE
            parts.append(part)
            if len(parts) == _MAX_PARTS:
                break
        return parts, 0

    def _send_part(self, part: FilePart) -> bool:
        """Send of the file at the head of the queue; false when it is another event's turn."""
        try:
            self._count(part.send(self.socket.fileno()))
        except FileTooShort:
            self._drop_part(Failure())
            return True
        if part.left:
            return False
        self._queue.popleft()
        part.done.callback(None)
        return True

    def _drop_part(self, failure: Failure) -> None:
        part = self._queue.popleft()
        assert type(part) is FilePart
        self.unsent -= part.left
        part.done.errback(failure)

    def _count(self, sent: int) -> None:
        self.unsent -= sent
        self.sent_total += sent

    def export_output(self) -> bytes:
        """
        What the client has still to get; changes nothing.  Of a file on its way nothing: ``sent_bytes`` tells how far
        it came.

        :raises NotExportable: bytes wait behind a file
        """
        output: list[bytes | memoryview] = []
        parts = list(self._queue)
        for part in parts:
            if type(part) is not FilePart:
                output.append(part)  # type: ignore[arg-type]
            elif part is not parts[-1]:
                raise NotExportable("bytes wait behind a file that is on its way")
            elif part.request.finished:
                raise NotExportable("the end of a file is on its way")
        return b"".join(output)

    # ---- the end

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone, and what waited for it."""
        queue, self._queue = self._queue, deque()
        self.unsent = 0
        super().connectionLost(reason)
        for part in queue:
            if type(part) is FilePart:
                part.done.errback(ClientGone())
