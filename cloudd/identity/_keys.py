# -*- test-case-name: tests.identity.test_keys -*-
"""
Folders of Fernet keys: ``tokens/`` seals tokens, ``credentials/`` the secrets of EC2 keys.

A folder holds files named by a number, each one key.  The highest number seals; all of them open.  So a key is
rotated by adding the next number, and retired by removing an old one once nothing needs it (tokens: after the
lifetime of a token; credentials: never by hand, since what it sealed would be lost).  Workers read the folder again
when they meet something that no key of theirs opens, and now and then for the new key.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from attrs import define, field, frozen
from cryptography.fernet import Fernet, MultiFernet
from twisted.internet.defer import Deferred

from cloudd.interfaces.application import Threads

from ._errors import IdentityUnavailable

TOKENS = "tokens"
CREDENTIALS = "credentials"


@frozen
class KeyRing:
    """The keys of one folder.  ``marks`` tells one state of the folder from another."""

    fernet: MultiFernet = field(repr=False, eq=False)
    marks: tuple[tuple[int, int], ...]  # (number, time of change in ns), newest first


def create_keys(folder: Path) -> None:
    """
    Make the folder (mode 0700) with its first key, unless it has one.  Blocks; safe to call from two processes.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    if _numbers(folder):
        return
    fresh = folder / f".new-{os.getpid()}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(Fernet.generate_key() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):  # another process was first: its key is as good
        os.link(fresh, folder / "1")
    fresh.unlink()
    for place in (folder, folder.parent):
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fsync(descriptor)
        os.close(descriptor)


def load_keys(folder: Path) -> KeyRing:
    """
    Read all keys.  Blocks.

    :raises IdentityUnavailable: there is no readable key
    """
    try:
        numbers = sorted(_numbers(folder), reverse=True)
        keys = [Fernet((folder / str(number)).read_bytes().strip()) for number in numbers]
        marks = tuple((number, (folder / str(number)).stat().st_mtime_ns) for number in numbers)
    except (OSError, ValueError) as error:
        raise IdentityUnavailable(f"the keys in {folder} cannot be read: {error}") from error
    if not keys:
        raise IdentityUnavailable(f"there is no key in {folder}: restore it from a backup")
    return KeyRing(MultiFernet(keys), marks)


def _numbers(folder: Path) -> list[int]:
    return [int(file.name) for file in folder.iterdir() if file.name.isascii() and file.name.isdigit()]


@define(eq=False)
class Keys:
    """One folder's keys, read in a thread and kept."""

    _folder: Path
    _threads: Threads
    _ring: KeyRing | None = field(init=False, default=None)

    async def ring(self) -> KeyRing:
        """
        The keys as last read.

        :raises IdentityUnavailable: there is no readable key
        """
        if self._ring is None:
            await self.read_again()
        assert self._ring is not None
        return self._ring

    async def read_again(self) -> bool:
        """Read the folder now; whether it changed since the last time (the first time counts as a change)."""
        loading: Deferred[KeyRing] = self._threads.run(load_keys, self._folder)
        ring = await loading
        changed = self._ring is None or self._ring.marks != ring.marks
        if changed:
            self._ring = ring
        return changed
