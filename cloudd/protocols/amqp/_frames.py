# -*- test-case-name: tests.protocols.amqp.test_frames -*-
"""
Frames of AMQP 0-9-1: cut out of what comes, and made of what goes (section 4.2.3 of the specification).

A frame is type, channel, length, payload and an end mark.  Payloads are ``bytes``; what they mean is ``_methods``.
"""

from __future__ import annotations

from struct import Struct

from attrs import define, frozen

from ._values import Malformed

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
OVERHEAD = 8  # of each frame
MIN_FRAME_MAX = 4096  # what everybody takes, before there is an agreement
_TYPES = frozenset({METHOD, HEADER, BODY, HEARTBEAT})
_HEAD = Struct("!BHI")
_END = b"\xce"
HEARTBEAT_FRAME = _HEAD.pack(HEARTBEAT, 0, 0) + _END


@frozen
class RawFrame:
    """
    :param kind: ``METHOD``, ``HEADER``, ``BODY`` or ``HEARTBEAT``
    """

    kind: int
    channel: int
    payload: bytes


@define
class FrameReader:
    """
    Cuts frames out of a stream.

    :ivar frame_max: longest frame that is taken, end mark included; as both sides agreed
    """

    frame_max: int = 131_072
    _rest: bytes = b""

    def feed(self, data: bytes) -> list[RawFrame]:
        """
        The frames that ``data`` completes.

        :raises Malformed: it is no AMQP from here on; the connection cannot go on
        """
        if self._rest:
            data = self._rest + data
        frames, at, end = [], 0, len(data)
        while at + 7 <= end:
            kind, channel, length = _HEAD.unpack_from(data, at)
            if kind not in _TYPES:
                raise Malformed(f"{data[at : at + 8]!r} is no frame: its type would be {kind}")
            if length + OVERHEAD > self.frame_max:
                raise Malformed(f"a frame of {length + OVERHEAD} bytes; {self.frame_max} were agreed")
            after = at + 7 + length
            if after >= end:
                break
            if data[after] != 0xCE:
                raise Malformed(f"a frame of type {kind} does not end where it says")
            frames.append(RawFrame(kind, channel, data[at + 7 : after]))
            at = after + 1
        self._rest = data[at:] if at else data
        return frames


def pack_frame(kind: int, channel: int, payload: bytes) -> bytes:
    """One frame."""
    return b"%b%b%b" % (_HEAD.pack(kind, channel, len(payload)), payload, _END)


def pack_content(channel: int, method: bytes, header: bytes, body: bytes, frame_max: int) -> bytes:
    """
    The frames of a method with content, in one piece, for one write.

    :param method: payload of the method's frame
    :param header: payload of the header's frame
    :param frame_max: longest frame; the body is divided accordingly
    """
    size = len(body)
    start = (_HEAD.pack(METHOD, channel, len(method)), method, _END, _HEAD.pack(HEADER, channel, len(header)), header)
    room = frame_max - OVERHEAD
    if size == 0:
        return b"".join((*start, _END))
    if size <= room:
        return b"".join((*start, _END, _HEAD.pack(BODY, channel, size), body, _END))
    pieces = [*start, _END]
    for at in range(0, size, room):
        piece = body[at : at + room]
        pieces += (_HEAD.pack(BODY, channel, len(piece)), piece, _END)
    return b"".join(pieces)
