# -*- test-case-name: tests.database.test_turn -*-
"""A lock between processes, ``flock(2)`` on an empty file, which is only ever tried."""

from __future__ import annotations

import fcntl
import os
from typing import Final

SHARED: Final = fcntl.LOCK_SH
ALONE: Final = fcntl.LOCK_EX


class LockFile:
    """
    One thread's hold on it; nothing is opened before the first use.

    :param path: of a file that is there for this alone, made with mode 0600
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor: int | None = None

    def lock(self, kind: int) -> bool:
        """
        :param kind: ``SHARED`` or ``ALONE``; what was held before is lost
        :return: false: others hold it
        """
        if self._descriptor is None:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let the others; no harm if it is not held."""
        if self._descriptor is not None:
            # Not by closing alone: a child that is about to execute another program shares the open file.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the lock and its file, which is opened again when needed."""
        self.release()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
