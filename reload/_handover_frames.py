# -*- test-case-name: tests.reload.test_handover_frames -*-
"""
Frames on the link between two processes: a header, a payload, and descriptors that travel beside them.  Sans-io.

The kernel gives descriptors with the first byte of the sendmsg(2) that carried them, and one recvmsg(2) never returns
those of two sends.  So the n-th group of descriptors received belongs to the n-th frame whose header announces any.
When the receiver can open no more (EMFILE) the kernel drops the rest of a group and says ``MSG_CTRUNC``; such a frame
arrives with fewer descriptors than announced, and its reader decides.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Iterable, Sequence

from attrs import frozen

from ._handover_interfaces import BadFrame

#: Most descriptors that Linux takes in one message (SCM_MAX_FD).
MAX_DESCRIPTORS = 253
MAX_PAYLOAD_BYTES = 8 * 1024 * 1024

_MAGIC = b"hov1"
_HEADER = struct.Struct("!4sIH")
HEADER_BYTES = _HEADER.size


@frozen
class Frame:
    """
    One received frame.

    :ivar descriptors: the reader's own from now on; the first of those announced
    :ivar announced: how many descriptors were sent
    """

    payload: bytes
    descriptors: tuple[int, ...]
    announced: int


def pack_frame(payload: bytes, descriptors: int) -> bytes:
    """
    The bytes of one frame.

    :param descriptors: how many go with it
    :raises ValueError: too many bytes or descriptors
    """
    if len(payload) > MAX_PAYLOAD_BYTES or descriptors > MAX_DESCRIPTORS:
        raise ValueError(f"{len(payload)} bytes and {descriptors} descriptors do not fit into one frame")
    return _HEADER.pack(_MAGIC, len(payload), descriptors) + payload


class FrameReader:
    """Frames out of what recvmsg(2) returned, cut anywhere."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._groups: deque[tuple[int, ...]] = deque()

    def feed(self, data: bytes, group: Sequence[int] | None = None) -> list[Frame]:
        """
        Take what one receive has returned.

        :param group: the descriptors that came with it; ``None`` when there was no sign of any
        :return: the frames that are whole now
        :raises BadFrame: these are no frames; everything that was received and not returned is closed
        """
        self._buffer += data
        if group is not None:
            self._groups.append(tuple(group))
        frames: list[Frame] = []
        try:
            while (frame := self._next()) is not None:
                frames.append(frame)
        except BadFrame:
            close_all(descriptor for frame in frames for descriptor in frame.descriptors)
            self.close()
            raise
        return frames

    def _next(self) -> Frame | None:
        if len(self._buffer) < HEADER_BYTES:
            return None
        magic, length, announced = _HEADER.unpack_from(self._buffer)
        if magic != _MAGIC:
            raise BadFrame(f"a frame begins with {bytes(magic)!r}")
        if length > MAX_PAYLOAD_BYTES or announced > MAX_DESCRIPTORS:
            raise BadFrame(f"a frame announces {length} bytes and {announced} descriptors")
        end = HEADER_BYTES + length
        if len(self._buffer) < end:
            return None
        if announced and not self._groups:
            raise BadFrame(f"{announced} descriptors were announced and none came")
        group = self._groups.popleft() if announced else ()
        if len(group) > announced:
            close_all(group)
            raise BadFrame(f"{announced} descriptors were announced and {len(group)} came")
        payload = bytes(self._buffer[HEADER_BYTES:end])
        del self._buffer[:end]
        return Frame(payload, group, announced)

    @property
    def within_frame(self) -> bool:
        """Whether the bytes so far end in the middle of a frame."""
        return bool(self._buffer or self._groups)

    def close(self) -> None:
        """Close the descriptors that belong to frames which never became whole."""
        while self._groups:
            close_all(self._groups.popleft())
        self._buffer.clear()


def close_all(descriptors: Iterable[int]) -> None:
    """Close descriptors; one that is closed already is none of our business."""
    for descriptor in descriptors:
        try:
            os.close(descriptor)
        except OSError:
            continue
