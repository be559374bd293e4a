"""What a ``MemoryStore`` is made of: its rows, an upload, an open version."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

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
    ObjectFacts,
    PartFacts,
    StoreFull,
)
from ._listing import Row, read_page

SMALL_BYTES = 65_536


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


@implementer(IUpload)
class MemoryUpload:
    """Data on its way into a ``MemoryStore``."""

    def __init__(self, room: Callable[[], int], digests: Mapping[str, Callable[[], Hasher]]) -> None:
        self.size = 0
        self.ended = False
        self._room = room
        self._pieces: list[bytes] = []
        self._hashers = {name: make() for name, make in digests.items()}

    def write(self, data: bytes) -> Deferred[None] | None:
        """Take the next bytes; more is always welcome at once."""
        if self.size + len(data) > self._room():
            return maybeDeferred(self._refuse)
        self.size += len(data)
        self._pieces.append(data)
        for hasher in self._hashers.values():
            hasher.update(data)
        return None

    def finish(self) -> Deferred[Mapping[str, bytes]]:
        """The digests."""
        return succeed({name: hasher.digest() for name, hasher in self._hashers.items()})

    def discard(self) -> Deferred[None]:
        """Forget the data."""
        self.ended = True
        self._pieces.clear()
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
        self._descriptor: int | None = None

    def regions(self, start: int, length: int) -> Sequence[tuple[int, int, int]]:
        """One region per extent that is touched."""
        if self._descriptor is None:
            self._descriptor = os.memfd_create("object")
            with os.fdopen(os.dup(self._descriptor), "wb") as file:
                file.writelines(self._pieces)
        regions, offset = [], 0
        for piece in self._pieces:
            low, high = max(start, offset), min(start + length, offset + len(piece))
            if low < high:
                regions.append((self._descriptor, low, high - low))
            offset += len(piece)
        return regions

    def region(self, start: int, length: int) -> Deferred[tuple[int, int, int]]:
        """The first of ``regions``."""
        return succeed(self.regions(start, length)[0])

    def close(self) -> None:
        """Close the descriptor."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
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
