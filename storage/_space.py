"""Free space, and the reserve that keeps the index and the host alive when tenants fill the disk."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ._interfaces import SpaceFacts, StoreFull

FRESH_S = 1.0


class Space:
    """
    What is free where the store lies.  Measured at most once a second; what is written meanwhile is subtracted.

    Threads may share it: a lost update only makes the figure a little older.
    """

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        self._folder = folder
        self._reserve = reserve_bytes
        self._facts = SpaceFacts(free_bytes=0, reserve_bytes=reserve_bytes, total_bytes=0)
        self._measured_s = -FRESH_S
        self._written = 0

    def facts(self) -> SpaceFacts:
        """What is free now, or was within the last second."""
        if not self._is_fresh():
            self._measure()
        return self._facts

    def surely_fits(self, size: int) -> bool:
        """Whether there is room, as far as can be told without asking the file system, which may block."""
        return self._is_fresh() and self._free() - size >= self._reserve

    def check(self, size: int) -> None:
        """:raises StoreFull: ``size`` more bytes would touch the reserve"""
        if self.surely_fits(size):
            return
        self._measure()  # before a refusal always: something may have been deleted
        if self._free() - size < self._reserve:
            raise StoreFull(
                f"{self._free()} bytes are free, {self._reserve} are kept in reserve, {size} more do not fit"
            )

    def take(self, size: int) -> None:
        """The same, and they are going to be written."""
        self.check(size)
        self._written += size

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._measured_s < FRESH_S

    def _free(self) -> int:
        return self._facts.free_bytes - self._written

    def _measure(self) -> None:
        found = os.statvfs(self._folder)
        self._facts = SpaceFacts(
            free_bytes=found.f_bavail * found.f_frsize,
            reserve_bytes=self._reserve,
            total_bytes=found.f_blocks * found.f_frsize,
        )
        self._measured_s, self._written = time.monotonic(), 0
