"""
Byte ranges (RFC 9110, section 14), as values: which bytes, and what stands between them in a multipart answer.

A ``Range`` that is not well-formed is ignored, as the RFC asks; one that is well-formed but touches no byte is refused
with 416.  So is one made to hurt: more than 50 ranges, or more than a few that overlap or go backwards.  The limits
are Swift's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from attrs import field, frozen

from ._errors import UnsatisfiableRange

MAX_RANGES = 50
MAX_OVERLAPS = 2
MAX_BACKWARDS = 8
_SPEC = re.compile(r"(\d*)[ \t]*-[ \t]*(\d*)", re.ASCII)
_LONGEST_NUMBER = 19


@frozen
class ByteRange:
    """``length`` bytes from ``start`` on; never empty."""

    start: int
    length: int

    @property
    def stop(self) -> int:
        """The first position after it."""
        return self.start + self.length

    def content_range(self, size: int) -> bytes:
        """The value of ``Content-Range`` in an object of ``size`` bytes."""
        return b"bytes %d-%d/%d" % (self.start, self.stop - 1, size)


def parse_range(value: bytes | None, size: int) -> tuple[ByteRange, ...] | None:
    """
    Which bytes a ``Range`` asks for, in the client's order.

    :param size: length of the whole object
    :return: None to answer the whole object with 200
    :raises UnsatisfiableRange: answer 416 with ``Content-Range: bytes */size``
    """
    specs = _specs(value)
    if specs is None:
        return None
    if len(specs) > MAX_RANGES:
        raise UnsatisfiableRange(size)
    if size == 0 and any(first is None and last for first, last in specs):
        return None
    found = tuple(found for first, last in specs if (found := _resolve(first, last, size)))
    if not found or _is_hostile(found):
        raise UnsatisfiableRange(size)
    return found


@frozen
class MultipartRanges:
    """
    A ``multipart/byteranges`` body: send each head, then its range, and ``tail`` at the end.

    :param boundary: token that occurs nowhere in the object, for example 32 random hex digits
    """

    ranges: Sequence[ByteRange]
    size: int
    content_type: bytes
    boundary: bytes
    heads: tuple[bytes, ...] = field(init=False)
    tail: bytes = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "heads", tuple(self._head(number) for number in range(len(self.ranges))))
        object.__setattr__(self, "tail", b"\r\n--" + self.boundary + b"--\r\n")

    @property
    def media_type(self) -> bytes:
        """The answer's ``Content-Type``."""
        return b"multipart/byteranges; boundary=" + self.boundary

    @property
    def length(self) -> int:
        """The answer's ``Content-Length``."""
        return sum(map(len, self.heads)) + sum(part.length for part in self.ranges) + len(self.tail)

    def _head(self, number: int) -> bytes:
        return b"%s--%s\r\nContent-Type: %s\r\nContent-Range: %s\r\n\r\n" % (
            b"\r\n" if number else b"",
            self.boundary,
            self.content_type,
            self.ranges[number].content_range(self.size),
        )


def _specs(value: bytes | None) -> list[tuple[int | None, int | None]] | None:
    """The list of first and last positions, or None when it is not well-formed."""
    unit, equals, text = (value or b"").decode("latin-1").partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    specs = []
    for piece in text.split(","):
        if not piece.strip(" \t"):
            continue  # RFC 9110, section 5.6.1.2: empty list elements are ignored
        match = _SPEC.fullmatch(piece.strip(" \t"))
        if match is None or any(len(number) > _LONGEST_NUMBER for number in match.groups()):
            return None
        first, last = (int(number) if number else None for number in match.groups())
        if (first is None and last is None) or (first is not None and last is not None and last < first):
            return None
        specs.append((first, last))
    return specs or None


def _resolve(first: int | None, last: int | None, size: int) -> ByteRange | None:
    if first is None:
        length = min(last or 0, size)
        return ByteRange(size - length, length) if length else None
    if first >= size:
        return None
    stop = size if last is None else min(last + 1, size)
    return ByteRange(first, stop - first)


def _is_hostile(ranges: Sequence[ByteRange]) -> bool:
    ordered = sorted(ranges, key=lambda part: (part.start, part.stop))
    overlaps = sum(later.start < earlier.stop for earlier, later in pairwise(ordered))
    backwards = sum(later.start < earlier.start for earlier, later in pairwise(ranges))
    return overlaps > MAX_OVERLAPS or backwards > MAX_BACKWARDS
