# -*- test-case-name: tests.protocols.swift -*-
"""
The bytes of one answer: an object, or the segments of a dynamic large object in a row.

Nothing holds more than one piece in memory.  Whoever opens contents closes them, in every path.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from attrs import evolve, frozen

from cloudd.interfaces.application import Threads
from cloudd.protocols.http import Request
from cloudd.protocols.readings import open_reading, send_reading
from storage import CommonPrefix, IObjectStore, IReading, Listing, ObjectFacts

PIECE_BYTES = 262_144


class SegmentChanged(Exception):
    """A segment was replaced or deleted while the object that it is part of was read."""


class Contents(Protocol):
    """
    What can be sent: ``size`` bytes under the entity tag ``etag``, which the header shows as ``header_etag``.

    ``small`` is all of it where that is in memory anyway.
    """

    size: int
    etag: str
    header_etag: bytes
    small: bytes | None

    async def send(self, request: Request, start: int, length: int) -> None:
        """Send these bytes; the answer was started, and is finished by the caller."""

    def tell(self) -> dict[str, Any]:
        """What ``contents_from`` needs in another process, as plain data."""

    def descriptors(self) -> tuple[int, ...]:
        """The open files that belong to it."""

    def close(self) -> None:
        """Free what is open.  Safe more than once."""


class ObjectContents:
    """One open object."""

    def __init__(self, reading: IReading) -> None:
        facts: ObjectFacts = reading.facts
        self.size = facts.size
        self.etag = facts.etag
        self.header_etag = facts.etag.encode()
        self.small: bytes | None = reading.content
        self._reading = reading

    async def send(self, request: Request, start: int, length: int) -> None:
        """See ``Contents``."""
        await send_reading(request, self._reading, start, length)

    def tell(self) -> dict[str, Any]:
        """See ``Contents``."""
        return {"object": self._reading.tell()}

    def descriptors(self) -> tuple[int, ...]:
        """See ``Contents``."""
        descriptors: tuple[int, ...] = self._reading.descriptors()
        return descriptors

    def close(self) -> None:
        """See ``Contents``."""
        self._reading.close()


@frozen
class Segment:
    """One segment as it was when the answer began."""

    name: str
    size: int
    etag: str


class SegmentedContents:
    """
    The segments of a dynamic large object.  Its entity tag is the MD5 of theirs, in quotes, as Swift sends it.

    :param account: whose ``container`` the segments are in
    """

    def __init__(self, store: IObjectStore, account: str, container: str, segments: Sequence[Segment]) -> None:
        joined = "".join(segment.etag for segment in segments).encode()
        self.size = sum(segment.size for segment in segments)
        self.etag = hashlib.md5(joined, usedforsecurity=False).hexdigest()
        self.header_etag = f'"{self.etag}"'.encode()
        self.small: bytes | None = None
        self._store = store
        self._account = account
        self._container = container
        self._segments = segments
        self._current: tuple[int, IReading] | None = None  # the segment that is open, by its number

    async def send(self, request: Request, start: int, length: int) -> None:
        """See ``Contents``.

        :raises SegmentChanged: the answer is broken and has to be aborted
        """
        async with aclosing(self.readings(start, length)) as readings:
            async for reading, first, count in readings:
                await send_reading(request, reading, first, count)

    async def readings(self, start: int, length: int) -> AsyncGenerator[tuple[IReading, int, int], None]:
        """
        Open one segment after the other; each is closed before the next.

        :return: the reading, and which of its bytes are wanted
        :raises SegmentChanged:
        """
        stop, position = start + length, 0
        for number, segment in enumerate(self._segments):
            first, last = max(start - position, 0), min(stop - position, segment.size)
            position += segment.size
            if first >= last:
                continue
            reading = await self._open(number, segment)
            try:
                if reading.facts.etag != segment.etag:
                    raise SegmentChanged(segment.name)
                yield reading, first, last - first
            finally:
                self.close()

    async def _open(self, number: int, segment: Segment) -> IReading:
        if self._current is not None and self._current[0] == number:
            return self._current[1]  # another process had opened it
        self.close()
        reading: IReading = await open_reading(self._store, self._account, self._container, segment.name)
        self._current = (number, reading)
        return reading

    def tell(self) -> dict[str, Any]:
        """See ``Contents``: the segment that is open goes along, the others are opened by their names, if unchanged."""
        current = None if self._current is None else [self._current[0], self._current[1].tell()]
        return {
            "account": self._account,
            "container": self._container,
            "segments": [[segment.name, segment.size, segment.etag] for segment in self._segments],
            "current": current,
        }

    def descriptors(self) -> tuple[int, ...]:
        """See ``Contents``."""
        return () if self._current is None else self._current[1].descriptors()

    def go_on(self, number: int, reading: IReading) -> None:
        """This segment is open already; called at most once, at first."""
        self._current = (number, reading)

    def close(self) -> None:
        """See ``Contents``."""
        current, self._current = self._current, None
        if current is not None:
            current[1].close()


def contents_from(store: IObjectStore, told: Mapping[str, Any], descriptors: Sequence[int]) -> Contents:
    """
    The contents that told this of themselves.

    :param descriptors: theirs from now on, also when this fails
    :raises UnknownState:
    """
    if "object" in told:
        return ObjectContents(store.resume_reading(told["object"], descriptors))
    segments = [Segment(name, size, etag) for name, size, etag in told["segments"]]
    contents = SegmentedContents(store, told["account"], told["container"], segments)
    if told["current"] is not None:
        number, reading = told["current"]
        contents.go_on(number, store.resume_reading(reading, descriptors))
    return contents


async def list_segments(store: IObjectStore, account: str, container: str, prefix: str) -> list[Segment]:
    """
    All objects whose names begin with ``prefix``, in the order of their names.

    :raises NoSuchContainer:
    """
    segments: list[Segment] = []
    listing = Listing(prefix=prefix)
    while True:
        rows = await store.objects(account, container, listing)
        segments += [Segment(row.name, row.size, row.etag) for row in rows if not isinstance(row, CommonPrefix)]
        if len(rows) < listing.limit:
            return segments
        listing = evolve(listing, marker=rows[-1].name)


async def read_pieces(threads: Threads, contents: SegmentedContents) -> AsyncGenerator[bytes, None]:
    """The bytes of a large object, piece by piece, read in threads."""
    async with aclosing(contents.readings(0, contents.size)) as readings:
        async for reading, start, length in readings:
            position, stop = start, start + length
            while position < stop:
                descriptor, offset, count = await reading.region(position, stop - position)
                piece = await threads.run(os.pread, descriptor, min(PIECE_BYTES, count), offset)
                if not piece:
                    raise SegmentChanged(reading.facts.name)
                position += len(piece)
                yield piece
