# -*- test-case-name: tests.image_cache.test_folder -*-
"""
The files of the cache, and which of them go.  All of this blocks.

``FOLDER/<data id>.<format>`` is whole: such a name is given to a file that is on disk.  ``FOLDER/<...>.part`` is being
written by the process that holds its lock (flock(2)); without one it was left by a process that is gone.  When a file
was wanted last is its time of modification.  ``.lock`` is held for moments: while a file is made, or marked as wanted,
and while files are chosen to go, so that none goes that was just given to somebody.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

#: So long a file stays that somebody was given: then a guest's disk names it.
GRACE_S: Final = 900.0
_WHOLE: Final = re.compile(r"[0-9a-f]{32}\.(?:raw|qcow2)")
PARTIAL: Final = ".part"


@frozen
class Entry:
    """
    A whole file.

    :ivar bytes: that it takes on disk
    :ivar wanted_s: when somebody wanted it last, in seconds since the epoch
    """

    path: Path
    bytes: int
    wanted_s: float


@frozen
class Limits:
    """
    :ivar bytes: of all files together; 0: any
    :ivar age_s: since a file was wanted last; 0: any
    """

    bytes: int
    age_s: float


def entries(folder: Path) -> list[Entry]:
    """All that are whole, the one first that was wanted longest ago."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for each in os.scandir(folder):
            if _WHOLE.fullmatch(each.name):
                with contextlib.suppress(FileNotFoundError):
                    facts = each.stat()
                    found.append(Entry(Path(each.path), facts.st_blocks * 512, facts.st_mtime))
    return sorted(found, key=lambda each: (each.wanted_s, each.path))


def want(file: Path, size: int, now_s: float) -> bool:
    """
    Mark a file as wanted now.

    :return: whether it is there, with that size
    """
    if not file.exists():
        return False
    with locked(file.parent):
        try:
            if file.stat().st_size != size:
                return False
            os.utime(file, (now_s, now_s))
        except FileNotFoundError:
            return False
    return True


def surplus(found: Sequence[Entry], limits: Limits, in_use: Collection[Path], now_s: float) -> list[Entry]:
    """
    What is to go.  Pure.

    :param found: oldest first
    :param in_use: resolved paths that stay
    """
    total = sum(each.bytes for each in found)
    going = []
    for each in found:
        age_s = now_s - each.wanted_s
        if age_s < GRACE_S or each.path.resolve() in in_use:
            continue
        if (limits.age_s and age_s > limits.age_s) or (limits.bytes and total > limits.bytes):
            going.append(each)
            total -= each.bytes
    return going


def prune(folder: Path, limits: Limits, in_use: Collection[Path], now_s: float) -> list[Entry]:
    """
    Remove what is to go.

    :return: what has gone
    """
    if not folder.exists():
        return []
    with locked(folder):
        going = surplus(entries(folder), limits, in_use, now_s)
        for each in going:
            each.path.unlink(missing_ok=True)
    return going


def free_bytes(folder: Path) -> int:
    """That files of this folder may still take."""
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize


def clear_partial(folder: Path) -> int:
    """
    Remove what processes have left that are gone.

    :return: how many files
    """
    if not folder.exists():
        return 0
    count = 0
    with locked(folder):
        for each in folder.glob(f"*{PARTIAL}"):
            if _is_left(each):
                each.unlink(missing_ok=True)
                count += 1
    return count


def _is_left(partial: Path) -> bool:
    try:
        descriptor = os.open(partial, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Held for moments only.  A lock of each descriptor, so it is one among threads too."""
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """What has a name there has it after a power cut, too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
