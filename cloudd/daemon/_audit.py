# -*- test-case-name: tests.daemon.test_audit -*-
"""
The audit log: who loaded which code when, with which result.  One JSON object a line, synced before anyone is told.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from cloudd.control import Audit, AuditEntry
from cloudd.interfaces.application import Threads

MAX_READ_BYTES = 1_048_576
MAX_CAUSE = 2_000

_decoder = msgspec.json.Decoder(AuditEntry)


class AuditLog:
    """
    The log in one file, made with mode 0600 at the first entry.

    :param path: usually ``STATE/log/audit.log``
    :param threads: the disk is touched there
    """

    def __init__(self, path: Path, threads: Threads) -> None:
        self._path = path
        self._threads = threads

    async def append(self, entry: AuditEntry) -> None:
        """
        Write one entry; it is on disk afterwards.

        :raises OSError: it is not
        """
        if len(entry.cause) > MAX_CAUSE:
            entry = msgspec.structs.replace(entry, cause=entry.cause[:MAX_CAUSE] + "…")
        await self._threads.run(append_line, self._path, msgspec.json.encode(entry))

    async def read(self, limit: int) -> Audit:
        """
        The latest entries, oldest first, at most ``limit`` and at most the last MiB of the file.

        Lines that are no entries (torn by a power cut) are left out.
        """
        data, whole = await self._threads.run(read_end, self._path, MAX_READ_BYTES)
        entries = []
        for line in data.split(b"\n"):
            try:
                entries.append(_decoder.decode(line))
            except msgspec.DecodeError:
                continue
        return Audit(entries=entries[-limit:], more=not whole or len(entries) > limit)


def append_line(path: Path, line: bytes) -> None:
    """
    Append a line and sync it; a line that a crash left half written is ended first.

    :raises OSError: it is not on disk
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "r+b", buffering=0) as file:
        size = os.fstat(descriptor).st_size
        is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        file.write((b"\n" if is_torn else b"") + line + b"\n")
        os.fsync(descriptor)
    if is_new:
        sync_folder(path.parent)


def read_end(path: Path, most_bytes: int) -> tuple[bytes, bool]:
    """The last bytes of a file, from the beginning of a line, and whether that is all of it."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most_bytes))
            data = file.read(most_bytes)
    except FileNotFoundError:
        return b"", True
    return (data, True) if size <= most_bytes else (data.partition(b"\n")[2], False)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
