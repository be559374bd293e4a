# -*- test-case-name: tests.backups.test_folder -*-
"""
The folder of backups: one file each, named after when it was ordered and the task that made it.  All here blocks.

A file is written beside its place under a name of its own and then renamed, so what has its name is whole, however
often its task was begun.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path

PREFIX, SUFFIX = "control-", ".backup"
NAME = re.compile(r"control-(\d{8}T\d{6}Z)-[0-9a-f]{8}\.backup")
WORK = re.compile(r"\.control-.+\.backup\.[0-9a-f]{12}")
TIME = "%Y%m%dT%H%M%SZ"
ABANDONED_S = 3_600.0


def name_of(task_id: str, ordered: float) -> str:
    """
    The file's name.

    :param ordered: seconds since the epoch
    """
    return f"{PREFIX}{datetime.fromtimestamp(ordered, UTC).strftime(TIME)}-{task_id.replace('-', '')[:8]}{SUFFIX}"


def newest(folder: Path) -> float | None:
    """When the newest backup was ordered, in seconds since the epoch; None: there is none."""
    names = _names(folder)
    if not names:
        return None
    found = NAME.fullmatch(names[-1])
    assert found is not None
    return datetime.strptime(found[1], TIME).replace(tzinfo=UTC).timestamp()


def make(folder: Path) -> None:
    """The folder, for its owner alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def work_name(name: str) -> str:
    """Of a file that is being written: another one for each attempt, of which an older one may still write."""
    return f".{name}.{os.urandom(6).hex()}"


def put_in_place(folder: Path, work: str, name: str) -> None:
    """A whole file has its name from now on, also after a power cut."""
    (folder / work).replace(folder / name)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def prune(folder: Path, keep: int) -> list[str]:
    """
    Delete all but the newest, and what killed attempts have left.

    :return: names of the backups that were deleted
    """
    old = _names(folder)[:-keep]
    for name in old:
        (folder / name).unlink(missing_ok=True)
    for path in folder.iterdir():
        if WORK.fullmatch(path.name):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > ABANDONED_S:
                    path.unlink()
    return old


def _names(folder: Path) -> list[str]:
    """Oldest first; what has another name is nobody's business here."""
    try:
        return sorted(path.name for path in folder.iterdir() if NAME.fullmatch(path.name))
    except FileNotFoundError:
        return []
