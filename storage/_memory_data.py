"""What a ``MemoryStore`` is made of: its rows, an upload, an open version."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from attrs import Factory, define
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from ._interfaces import (
    CommonPrefix,
    ContainerFacts,
    Extent,
    Hasher,
    IReading,
    IUpload,
    Listing,
    MultipartFacts,
    NotTellable,
    ObjectFacts,
    PartFacts,
    StoreFull,
    UnknownState,
)
from ._listing import Row, read_page
from ._plain import object_from_plain, object_to_plain

SMALL_BYTES = 65_536
STATE_FORMAT = 1


@define
class Account:
    """An account that exists."""

    created_us: int
    metadata: dict[str, str] = Factory(dict)
    containers: dict[str, Container] = Factory(dict)


@define
class Container:
    """A container and what is in it, by name."""

    created_us: int
    modified_us: int
    metadata: dict[str, str]
    objects: dict[str, ObjectFacts] = Factory(dict)
    multiparts: dict[str, Multipart] = Factory(dict)


@define
class Multipart:
    """An unfinished upload; parts by number."""

    facts: MultipartFacts
    parts: dict[int, tuple[PartFacts, tuple[Extent, ...]]] = Factory(dict)


@define
class Copy:
    """A file with the data of an upload or a reading, for those who ask for descriptors."""

    _descriptor: int | None = None
    _size: int = 0

    def of(self, pieces: Sequence[bytes]) -> tuple[int, ...]:
        """A file of these bytes, which begin with those of the last time; none when there are none."""
        data = b"".join(pieces)
        if not data:
            return ()
        if self._descriptor is None:
            self._descriptor = os.memfd_create("object")
        while self._size < len(data):
            self._size += os.pwrite(self._descriptor, data[self._size :], self._size)
        return (self._descriptor,)

    def close(self) -> None:
        """Close it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            self._size = 0


def data_told(state: Mapping[str, Any], descriptors: Sequence[int]) -> bytes:
    """
    The data that came along with ``state``; the descriptors are closed.

    :raises UnknownState:
    """
    try:
        if state.get("format") != STATE_FORMAT:
            raise UnknownState(f"the state has the format {state.get('format')!r}")
        data = b"".join(os.pread(descriptor, state["size"], 0) for descriptor in descriptors)
        if len(data) != state["size"]:
            raise UnknownState(f"{len(data)} bytes came along, not {state['size']}")
        return data
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


@implementer(IUpload)
class MemoryUpload:
    """Data on its way into a ``MemoryStore``."""

    def __init__(self, room: Callable[[], int], digests: Mapping[str, Callable[[], Hasher]]) -> None:
        self.size = 0
        self.ended = False
        self._room = room
        self._pieces: list[bytes] = []
        self._finished = False
        self._copy = Copy()
        self._hashers = {name: make() for name, make in digests.items()}

    @classmethod
    def resumed(
        cls,
        state: Mapping[str, Any],
        descriptors: Sequence[int],
        room: Callable[[], int],
        digests: Mapping[str, Callable[[], Hasher]],
    ) -> MemoryUpload:
        """See ``IObjectStore.resume_upload``."""
        data = data_told(state, descriptors)
        upload = cls(room, digests)
        if data:
            upload.write(data)
        return upload

    def write(self, data: bytes) -> Deferred[None] | None:
        """Take the next bytes; more is always welcome at once."""
        if self.size + len(data) > self._room():
            return maybeDeferred(self._refuse)
        self._finished = False
        self.size += len(data)
        self._pieces.append(data)
        for hasher in self._hashers.values():
            hasher.update(data)
        return None

    def finish(self) -> Deferred[Mapping[str, bytes]]:
        """The digests."""
        self._finished = True
        return succeed({name: hasher.digest() for name, hasher in self._hashers.items()})

    def discard(self) -> Deferred[None]:
        """Forget the data."""
        self.ended = True
        self._pieces.clear()
        self._copy.close()
        return succeed(None)

    def tell(self) -> dict[str, Any]:
        """The size; the data goes as a file."""
        if self.ended or self._finished:
            raise NotTellable("the upload is ending")
        return {"format": STATE_FORMAT, "size": self.size}

    def descriptors(self) -> tuple[int, ...]:
        """All data in a file."""
        return self._copy.of(self._pieces)

    def abandon(self) -> None:
        """Forget the data: the other one has a copy."""
        self.discard()

    def feed(self, hasher: Hasher, start: int) -> Deferred[None]:
        """At once."""
        hasher.update(b"".join(self._pieces)[start:])
        return succeed(None)

    def take(self) -> bytes:
        """The data, for the store to keep; ends the upload."""
        data = b"".join(self._pieces)
        self.discard()
        return data

    def _refuse(self) -> None:
        raise StoreFull("the store has no room for this object")


@implementer(IReading)
class MemoryReading:
    """One open version; gets descriptors only when somebody asks for regions."""

    def __init__(self, facts: ObjectFacts, pieces: Sequence[bytes]) -> None:
        self.facts = facts
        self.content = b"".join(pieces) if facts.size <= SMALL_BYTES else None
        self._pieces = pieces
        self._copy = Copy()

    @classmethod
    def resumed(cls, state: Mapping[str, Any], descriptors: Sequence[int]) -> MemoryReading:
        """See ``IObjectStore.resume_reading``."""
        data = data_told(state, descriptors)
        facts = object_from_plain(state["object"])
        pieces, offset = [], 0
        for extent in facts.extents:
            pieces.append(data[offset : offset + extent.length])
            offset += extent.length
        return cls(facts, pieces)

    def regions(self, start: int, length: int) -> Sequence[tuple[int, int, int]]:
        """One region per extent that is touched."""
        regions, offset = [], 0
        for piece in self._pieces:
            low, high = max(start, offset), min(start + length, offset + len(piece))
            if low < high:
                (descriptor,) = self._copy.of(self._pieces)
                regions.append((descriptor, low, high - low))
            offset += len(piece)
        return regions

    def tell(self) -> dict[str, Any]:
        """The version; its data goes as a file."""
        return {"format": STATE_FORMAT, "size": self.facts.size, "object": object_to_plain(self.facts)}

    def descriptors(self) -> tuple[int, ...]:
        """All data in a file."""
        return self._copy.of(self._pieces)

    def region(self, start: int, length: int) -> Deferred[tuple[int, int, int]]:
        """The first of ``regions``."""
        return succeed(self.regions(start, length)[0])

    def close(self) -> None:
        """Close the descriptor."""
        self._copy.close()
        self._pieces = ()


Kept = TypeVar("Kept")


def ending(upload: IUpload, result: Deferred[Kept]) -> Deferred[Kept]:
    """A failed write discards its upload."""

    def discard(failure: Failure) -> Deferred[Failure]:
        return upload.discard().addCallback(lambda _: failure)

    result.addErrback(discard)
    return result


def change(metadata: dict[str, str], changes: Mapping[str, str | None]) -> None:
    """Set metadata keys, remove those whose value is None."""
    for key, value in changes.items():
        if value is None:
            metadata.pop(key, None)
        else:
            metadata[key] = value


def total_size(extents: Sequence[Extent]) -> int:
    """Bytes of all extents."""
    return sum(extent.length for extent in extents)


def container_facts(account: str, name: str, held: Container) -> ContainerFacts:
    """The facts, counted now."""
    return ContainerFacts(
        account=account,
        name=name,
        metadata=dict(held.metadata),
        object_count=len(held.objects),
        bytes_used=sum(facts.size for facts in held.objects.values()),
        created_us=held.created_us,
        modified_us=held.modified_us,
    )


def page(rows: Mapping[str, Row], listing: Listing) -> list[Row | CommonPrefix]:
    """One page of a dictionary."""
    names = sorted(rows)

    def fetch(low: str, high: str, limit: int) -> list[Row]:
        found = names[bisect_left(names, low) : bisect_left(names, high) if high else None]
        return [rows[name] for name in (reversed(found) if listing.reverse else found)][:limit]

    return read_page(listing, fetch)
