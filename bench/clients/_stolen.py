"""
Processor time that a virtual machine wanted and its host gave to somebody else: pauses in which nobody here has a part.

Linux tells it in hundredths of a second, summed up over all processors (proc(5), ``/proc/stat``, ``steal``).
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left, bisect_right
from pathlib import Path

from attrs import define, field

STEAL = 8  # its place in the first line
EVERY_S = 0.02
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


@define
class StolenTime:
    """
    :ivar at: when it was read; seconds of ``time.monotonic()``
    :ivar total_ms: how much it had been by then
    """

    at: array[float] = field(factory=lambda: array("d"))
    total_ms: array[float] = field(factory=lambda: array("d"))

    def look(self, now: float) -> None:
        """Read it, unless that was done just now."""
        if not self.at or now - self.at[-1] >= EVERY_S:
            self.at.append(now)
            self.total_ms.append(_stolen_ms())

    def within(self, begin: float, end: float) -> float:
        """Milliseconds, of all processors together, from the last look before ``begin`` to the first after ``end``."""
        if not self.at:
            return 0.0
        first = max(0, bisect_right(self.at, begin) - 1)
        last = min(len(self.at) - 1, bisect_left(self.at, end))
        return self.total_ms[last] - self.total_ms[first]


def _stolen_ms() -> float:
    try:
        return int(Path("/proc/stat").read_text().split(None, STEAL + 1)[STEAL]) * TICK_MS
    except (OSError, IndexError, ValueError):
        return 0.0
