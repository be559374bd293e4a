"""
Where a ``FileStore`` keeps what, and the system calls that move it.  Everything here blocks: call it in threads.

::

    format                 "cloudd object files 1"
    data/XX/FILE           data of named objects; XX are two digits of FILE
    incoming/FILE          data that is about to be named, or was named a moment ago
    incoming/OWNER.lock    locked by the process whose files begin with OWNER

``FILE`` is the owner's 16 hex digits and a counter of 8.  The folder changes with every 256 files of an owner, so a
batch of new files touches few folders.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ._interfaces import StoreFull, UnknownFormat

FORMAT = "cloudd object files 1\n"
OWNER_DIGITS = 16
LOCK = ".lock"
_COPY_BYTES = 1 << 30
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_NO_UNNAMED_FILES = frozenset((errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT))


@contextmanager
def refusing_when_full() -> Iterator[None]:
    """Turn the system's ways to say "no room" into ``StoreFull``."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoreFull(f"the disk has no room: {error.strerror}") from error
        raise


class Layout:
    """The folder of one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.incoming = folder / "incoming"
        self._data = folder / "data"
        self._data_path = str(self._data)

    def prepare(self) -> None:
        """
        Create what is missing.

        :raises UnknownFormat: the folder holds another format
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        mark = self.folder / "format"
        if mark.exists():
            found = mark.read_text("utf-8", "replace")
            if found != FORMAT:
                raise UnknownFormat(f"{mark} says {found[:80]!r}, this cloudd knows {FORMAT!r}")
        self.incoming.mkdir(mode=0o700, exist_ok=True)
        self._data.mkdir(mode=0o700, exist_ok=True)
        for number in range(256):
            (self._data / f"{number:02x}").mkdir(mode=0o700, exist_ok=True)
        if not mark.exists():
            sync_folder(self._data)
            self._write_mark(mark)

    def create(self, file: str) -> tuple[int, bool]:
        """
        A new, empty file for data: its descriptor, and whether it has its name in ``incoming/`` already.

        It gets its name later, with ``link``, where the file system knows unnamed files: nothing is left then
        when the process dies.
        """
        flags = os.O_RDWR | os.O_CLOEXEC
        try:
            return os.open(self.incoming, flags | os.O_TMPFILE, 0o600), False
        except OSError as error:
            if error.errno not in _NO_UNNAMED_FILES:
                raise
        return os.open(self.incoming / file, flags | os.O_CREAT | os.O_EXCL, 0o600), True

    def link(self, descriptor: int, file: str) -> None:
        """
        Give an open file one more name, ``incoming/FILE``.

        :raises FileNotFoundError: it had a name and lost the last one
        """
        # Only with a folder descriptor does os.link call linkat(2) with AT_SYMLINK_FOLLOW, as /proc needs it.
        root = os.open("/", os.O_PATH | os.O_CLOEXEC)
        try:
            os.link(f"proc/self/fd/{descriptor}", self.incoming / file, src_dir_fd=root, follow_symlinks=True)
        finally:
            os.close(root)

    def take_over(self, descriptor: int, old: str, new: str) -> tuple[int, bool]:
        """
        Make a file that another owner began, and that has a name in ``incoming/``, one of ours.

        When its owner has died, ``clean`` may have removed that name: then the data, which is still open, is copied.

        :param descriptor: of the file ``old``; closed when another one is returned
        :return: the descriptor of the file ``new``, and whether it has that name already
        """
        try:
            (self.incoming / old).rename(self.incoming / new)
        except FileNotFoundError:
            target, is_linked = self.create(new)
            try:
                copy_data(descriptor, target)
            except BaseException:
                os.close(target)
                raise
            os.close(descriptor)
            return target, is_linked
        return descriptor, True

    def open(self, file: str) -> int:
        """
        Open data for reading, wherever it lies.

        :raises FileNotFoundError: it was deleted
        """
        place = f"{self._data_path}/{file[-4:-2]}/{file}"  # not _place: a Path costs as much as the call
        try:
            return os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            # It moves from incoming to data at any moment, and never back.
            try:
                return os.open(self.incoming / file, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return os.open(place, os.O_RDONLY | os.O_CLOEXEC)

    def exists(self, file: str) -> bool:
        """Whether data has a name here."""
        return self._place(file).exists() or (self.incoming / file).exists() or self._place(file).exists()

    def settle(self, file: str) -> None:
        """Move a named file to its place for good; nothing if it is there or deleted."""
        try:
            (self.incoming / file).rename(self._place(file))
        except FileNotFoundError:
            return

    def remove(self, file: str) -> bool:
        """Delete data wherever it lies; whether it was there."""
        # In this order, or a file that another process settles meanwhile would be missed.
        found = self.remove_incoming(file)
        try:
            self._place(file).unlink()
        except FileNotFoundError:
            return found
        return True

    def remove_incoming(self, file: str) -> bool:
        """Delete what was never named; whether it was there."""
        try:
            (self.incoming / file).unlink()
        except FileNotFoundError:
            return False
        return True

    def sync_incoming(self) -> None:
        """Names in ``incoming/`` are on disk afterwards."""
        sync_folder(self.incoming)

    def sync_places(self, files: Iterable[str]) -> None:
        """Moves and deletions of these files are on disk afterwards."""
        for folder in {self._place(file).parent for file in files}:
            sync_folder(folder)
        self.sync_incoming()

    @staticmethod
    def owner_of(file: str) -> str:
        """Who made the file."""
        return file[:OWNER_DIGITS]

    def remove_lock(self, owner: str) -> None:
        """A dead owner's lock goes."""
        (self.incoming / (owner + LOCK)).unlink(missing_ok=True)

    def list_incoming(self) -> tuple[list[str], set[str]]:
        """The files there, and the owners of files and locks there."""
        files, owners = [], set()
        for name in (entry.name for entry in self.incoming.iterdir()):
            owners.add(self.owner_of(name))
            if not name.endswith(LOCK):
                files.append(name)
        return files, owners

    def _place(self, file: str) -> Path:
        return self._data / file[-4:-2] / file

    def _write_mark(self, mark: Path) -> None:
        draft = mark.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, FORMAT.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        draft.rename(mark)
        sync_folder(self.folder)
        sync_folder(self.folder.parent)


class Owner:
    """
    The right to make files in ``incoming/``: a locked file, so that others see whether its holder still lives.

    The kernel ends the lock with the process, however that ends.
    """

    def __init__(self, layout: Layout) -> None:
        self.name, self._descriptor = _claim(layout.incoming)
        self._path = layout.incoming / (self.name + LOCK)
        # Not from zero: processes that live shortly would all fill the first folder.
        self._next = secrets.randbelow(0x10000)

    def new_file(self) -> str:
        """A name that was never used."""
        self._next += 1
        return f"{self.name}{self._next:08x}"

    def release(self) -> None:
        """End the lock; no file of this owner may be on its way any more."""
        if self._descriptor >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        # The last upload of an old generation of code has gone.
        if getattr(self, "_descriptor", -1) >= 0:
            os.close(self._descriptor)


def lock_dead_owner(layout: Layout, owner: str) -> int | None:
    """A descriptor that holds the lock of an owner that has died, -1 if there is no lock; None if it lives."""
    try:
        descriptor = os.open(layout.incoming / (owner + LOCK), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1
    if lock(descriptor, fcntl.LOCK_EX):
        return descriptor
    os.close(descriptor)
    return None


def lock(descriptor: int, kind: int) -> bool:
    """Try for a lock (``fcntl.LOCK_SH`` or ``LOCK_EX``) on an open file."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def copy_data(source: int, target: int) -> None:
    """All bytes of one open file into another, empty one."""
    offset = 0
    while copied := os.copy_file_range(source, target, _COPY_BYTES, offset):
        offset += copied


def sync_folder(folder: Path) -> None:
    """The folder's entries are on disk afterwards."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _claim(incoming: Path) -> tuple[str, int]:
    while True:
        name = secrets.token_hex(OWNER_DIGITS // 2)
        path = incoming / (name + LOCK)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        # Upkeep of another process may take the file for a dead one's before it is locked, and remove it.
        if lock(descriptor, fcntl.LOCK_EX) and path.exists():
            return name, descriptor
        os.close(descriptor)
