"""Where the bytes of a stored object lie, and their way into a new upload or a digest."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable

from cloudd.interfaces.application import Threads
from storage import Hasher, IReading, IUpload

PIECE_BYTES = 262_144
HASH_BYTES = 8_388_608


async def regions(reading: IReading, start: int, length: int) -> AsyncIterator[tuple[int, int, int]]:
    """
    Where the bytes ``start`` to ``start + length`` lie, as ``(descriptor, offset, length)``, each good until the next.

    :raises DataDamaged:
    """
    while length:
        descriptor, offset, count = await reading.region(start, length)
        yield descriptor, offset, count
        start += count
        length -= count


async def copy_bytes(threads: Threads, reading: IReading, start: int, length: int, upload: IUpload) -> None:
    """
    Give a range of one object to an upload, a piece at a time.

    :raises StoreFull:
    :raises OSError: the data ended early
    """
    async for descriptor, offset, count in regions(reading, start, length):
        for at in range(offset, offset + count, PIECE_BYTES):
            piece = await threads.run(_read, descriptor, min(PIECE_BYTES, offset + count - at), at)
            waiting = upload.write(piece)
            if waiting is not None:
                await waiting


async def digest_of_object(threads: Threads, reading: IReading, make: Callable[[], Hasher]) -> bytes:
    """The digest of a whole object, computed in threads; other work gets its turn every few MiB."""
    hasher = make()
    async for descriptor, offset, count in regions(reading, 0, reading.facts.size):
        for at in range(offset, offset + count, HASH_BYTES):
            await threads.run(_hash, descriptor, min(HASH_BYTES, offset + count - at), at, hasher)
    return hasher.digest()


def _hash(descriptor: int, count: int, offset: int, hasher: Hasher) -> None:
    for at in range(offset, offset + count, PIECE_BYTES):
        hasher.update(_read(descriptor, min(PIECE_BYTES, offset + count - at), at))


def _read(descriptor: int, count: int, offset: int) -> bytes:
    pieces = []
    while count:
        piece = os.pread(descriptor, count, offset)
        if not piece:
            raise OSError("the data of a stored object ended early")
        pieces.append(piece)
        count -= len(piece)
        offset += len(piece)
    return b"".join(pieces)
