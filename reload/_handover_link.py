# -*- test-case-name: tests.reload.test_handover_link -*-
"""The unix stream socket between two processes: frames and descriptors in, frames and descriptors out."""

from __future__ import annotations

import array
import os
import socket
from collections import deque
from typing import Any, Protocol

from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ._handover_frames import MAX_DESCRIPTORS, Frame, FrameReader, close_all, pack_frame
from ._handover_interfaces import BadFrame

_log = Logger()

_READ_BYTES = 262_144
_ANCILLARY_BYTES = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
_BUFFER_BYTES = 4 * 1024 * 1024


class LinkReceiver(Protocol):
    """Who hears what comes over a link."""

    def frame_received(self, frame: Frame) -> None:
        """A frame is whole; its descriptors are the receiver's."""

    def link_broken(self, cause: str) -> None:
        """What came are no frames.  Nothing more is read but the end."""

    def link_ended(self, cause: str) -> None:
        """The other end is closed, or its process has died.  Called once, unless this end was closed before."""


class LinkLike(Protocol):
    """What a side of a hand-over needs of its link; ``Link``, or another way in tests."""

    def start(self, receiver: LinkReceiver) -> None:
        """Begin to receive."""

    def send(self, payload: bytes, descriptors: tuple[int, ...]) -> None:
        """Send a frame; never fails: a dead peer is heard of by ``link_ended``."""

    def close(self) -> None:
        """Close this end; what waits to be sent is sent if that needs no waiting."""


def link_pair() -> tuple[socket.socket, socket.socket]:
    """A socket for each of the two processes, not inherited unless passed on by number."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for end in pair:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
    return pair


@implementer(IReadWriteDescriptor)
class Link:
    """
    One end of the link, on a reactor.

    :param end: a connected unix stream socket, owned from now on
    """

    def __init__(self, reactor: Any, end: socket.socket) -> None:
        end.setblocking(False)
        os.set_inheritable(end.fileno(), False)
        self._reactor = reactor
        self._socket = end
        self._reader = FrameReader()
        self._receiver: LinkReceiver | None = None
        self._queue: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._mute = False  # the peer takes nothing more
        self._deaf = False  # what the peer sends is thrown away
        self._closed = False

    def start(self, receiver: LinkReceiver) -> None:
        """Begin to receive."""
        self._receiver = receiver
        self._reactor.addReader(self)

    # ---- receiving

    def doRead(self) -> None:
        """Receive once."""
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(_READ_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._ended(str(error))
            return
        group = _descriptors(ancillary, flags)
        if self._deaf:
            close_all(group or ())
        if not data:
            self._ended("the link was closed within a frame" if self._reader.within_frame else "the link was closed")
        elif not self._deaf:
            self._feed(data, group)

    def _feed(self, data: bytes, group: tuple[int, ...] | None) -> None:
        assert self._receiver is not None
        try:
            frames = self._reader.feed(data, group)
        except BadFrame as error:
            self._deaf = True
            self._receiver.link_broken(str(error))
            return
        for frame in frames:
            self._receiver.frame_received(frame)

    def _ended(self, cause: str) -> None:
        receiver = self._receiver
        already = self._closed
        self._mute = True
        self.close()
        if receiver is not None and not already:
            receiver.link_ended(cause)

    # ---- sending

    def send(self, payload: bytes, descriptors: tuple[int, ...]) -> None:
        """Send a frame, now as far as there is room, the rest when there is."""
        if self._closed or self._mute:
            return
        view = memoryview(pack_frame(payload, len(descriptors)))
        if self._queue:
            self._queue.append((view, _duplicates(descriptors)))
            return
        sent = self._send(view, descriptors)
        if sent < len(view) and not self._mute:
            self._queue.append((view[sent:], () if sent else _duplicates(descriptors)))
            self._reactor.addWriter(self)

    def _send(self, view: memoryview, descriptors: tuple[int, ...]) -> int:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        try:
            return self._socket.sendmsg([view], rights, socket.MSG_NOSIGNAL)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            # What the peer said before it died is still to be read: its end is heard of there.
            _log.debug("nothing can be sent over the link: {error}", error=error)
            self._stop_sending()
            return 0

    def doWrite(self) -> None:
        """Send what waits."""
        while self._queue:
            view, descriptors = self._queue[0]
            sent = self._send(view, descriptors)
            if self._mute or not sent:
                return
            close_all(descriptors)
            if sent < len(view):
                self._queue[0] = (view[sent:], ())
                return
            self._queue.popleft()
        self._reactor.removeWriter(self)

    def _stop_sending(self) -> None:
        self._mute = True
        while self._queue:
            close_all(self._queue.popleft()[1])
        self._reactor.removeWriter(self)

    # ---- the end

    def close(self) -> None:
        """Close this end."""
        if self._closed:
            return
        if self._queue and not self._mute:
            self.doWrite()
        self._closed = True
        self._stop_sending()
        self._reactor.removeReader(self)
        self._reader.close()
        self._socket.close()

    def fileno(self) -> int:
        """The descriptor, -1 when closed."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """For Twisted's log."""
        return "handover-link"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops, or could not use the descriptor."""
        self._ended(str(reason.value))


def _duplicates(descriptors: tuple[int, ...]) -> tuple[int, ...]:
    """What waits to be sent must not be closed, nor its number be used again, meanwhile."""
    return tuple(os.dup(descriptor) for descriptor in descriptors)


def _descriptors(ancillary: list[Any], flags: int) -> tuple[int, ...] | None:
    """The group of descriptors that came; ``None`` when there is no sign of any."""
    group: tuple[int, ...] | None = () if flags & socket.MSG_CTRUNC else None
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers = array.array("i")
            numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
            group = (group or ()) + tuple(numbers)
    return group
