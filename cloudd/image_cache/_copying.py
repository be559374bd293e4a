# -*- test-case-name: tests.image_cache.test_copying -*-
"""
One file on its way into the cache: written, looked at, compared, and only then given its name.  All of this blocks.

What is zeros is not written, so that a disk that is mostly empty takes little room.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import tempfile
from pathlib import Path
from threading import Lock
from typing import Any, Final

from cloudd.image import HASH_ALGORITHM, Image, Inspector, unfit

from ._errors import ImageCacheError, ImageDamaged, NoRoomForImage, UnfitImage
from ._folder import PARTIAL, locked, sync_folder

PIECE: Final = 1 << 18
_ZEROS: Final = bytes(PIECE)
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_READABLE: Final = 0o644


class Copy:
    """
    Calls come from threads, one after another; ``discard`` may come at any time and waits for the one that runs.

    :param file: what it is to become
    """

    def __init__(self, image: Image, file: Path) -> None:
        self._image = image
        self._file = file
        self._lock = Lock()
        self._size = 0
        self._inspector = Inspector()
        self._hash = _hash_for(image)
        self._partial = file
        self._descriptor = -1
        self._is_given_up = False

    def begin(self) -> None:
        """
        Make the file.

        :raises ImageCacheError: it cannot be made
        """
        folder = self._file.parent
        with self._lock, _told(self._image), locked(folder):
            if not self._is_given_up:
                self._descriptor, name = tempfile.mkstemp(dir=folder, prefix=f"{self._file.name}.", suffix=PARTIAL)
                self._partial = Path(name)
                fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def take(self, descriptor: int, offset: int, length: int) -> None:
        """
        More of the data, out of an open file.

        :raises ImageDamaged: the file is shorter than that, or this is more than the image has
        :raises NoRoomForImage:
        """
        with self._lock, _told(self._image):
            end = offset + length
            while offset < end and self._descriptor >= 0:
                piece = os.pread(descriptor, min(PIECE, end - offset), offset)
                if not piece:
                    raise ImageDamaged(_damage(self._image, "is shorter than it was"))
                self._add(piece)
                offset += len(piece)

    def _add(self, piece: bytes) -> None:
        self._inspector.update(piece)
        self._hash.update(piece)
        if piece != _ZEROS[: len(piece)]:
            _write_at(self._descriptor, piece, self._size)
        self._size += len(piece)

    def keep(self) -> None:
        """
        All has come: let the file have its name.

        :raises UnfitImage: it is of another format than the image says, or refers to other files
        :raises ImageDamaged: it is not what was stored
        :raises NoRoomForImage:
        """
        with self._lock, _told(self._image):
            self._compare()
            os.ftruncate(self._descriptor, self._size)
            os.fchmod(self._descriptor, _READABLE)
            os.fsync(self._descriptor)
            self._partial.replace(self._file)
            sync_folder(self._file.parent)
            self._close()

    def _compare(self) -> None:
        if cause := unfit(self._inspector.findings(), self._image.disk_format or ""):
            raise UnfitImage(f"Nobody boots from image {self._image.id}: {cause}.  Make a new image of good data.")
        if self._size != self._image.size:
            raise ImageDamaged(_damage(self._image, f"has {self._size} bytes and not {self._image.size}"))
        if self._hash.hexdigest() != _hash_of(self._image):
            raise ImageDamaged(_damage(self._image, "has another checksum than it had"))

    def discard(self) -> None:
        """Leave nothing, also where ``begin`` or ``take`` comes later.  Safe to call again, and after ``keep``."""
        with self._lock:
            self._is_given_up = True
            if self._descriptor >= 0:
                with contextlib.suppress(OSError):
                    self._partial.unlink(missing_ok=True)
                self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)


def _hash_for(image: Image) -> Any:
    if image.hash_algorithm == HASH_ALGORITHM:
        return hashlib.new(HASH_ALGORITHM)
    return hashlib.md5(usedforsecurity=False)


def _hash_of(image: Image) -> str | None:
    return image.hash_value if image.hash_algorithm == HASH_ALGORITHM else image.checksum


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


class _told(contextlib.AbstractContextManager[None]):
    """What a disk says becomes an error of the cache."""

    def __init__(self, image: Image) -> None:
        self._image = image

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        if not isinstance(error, OSError):
            return
        if error.errno in _FULL:
            raise no_room(self._image) from error
        raise ImageCacheError(
            f"Image {self._image.id} cannot be kept on this host: {error.strerror}.  Look at its disk."
        ) from error


def no_room(image: Image) -> NoRoomForImage:
    """The same words whoever finds it out."""
    return NoRoomForImage(
        f"This host has no room for image {image.id} ({image.size} bytes).  Free some of its disk, or lower "
        "[compute] image_cache_bytes so that images that no server uses go earlier."
    )


def _damage(image: Image, what: str) -> str:
    return f"The data of image {image.id} {what}.  Delete the image and upload it again."
