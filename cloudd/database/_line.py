# -*- test-case-name: tests.database.test_line -*-
"""
Who is the next to write to a SQLite file, when several processes want to.

SQLite keeps no line: who begins to write while another does is told so, and tries again.  A process that writes one
transaction after the other lets go for a moment only, so others that try now and then would find it let go once in
many seconds.  Here the next one stands in front, alone: it tries every half of a millisecond, and who has just written
and wants to again finds that place taken, and comes behind.  The others try for the place, the more often the longer
they have waited: so it is mostly the oldest of them who has it next.

That is a courtesy and no right.  A process that stands in front and was stopped would keep all others from writing; so
after ``COURTESY_S`` they try as if there were no line.

The line is ``flock(2)`` on ``NAME.line``, beside the lock of ``_turn`` and for the same reasons.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from ._lock_file import ALONE, SHARED, LockFile

COURTESY_S: Final = 0.25
SHORT_S: Final = 0.0005  # between two tries, of who is in front and of who has waited for long
LONG_S: Final = 0.005  # of who has just come
LONG_SINCE_S: Final = 0.05
HELD_S: Final = 1.0  # nobody's transaction lasts so long: somebody holds the file, and asking soon does not help


class Line:
    """
    The line for one database, as one thread stands in it.

    :param database: the SQLite file; the lock's file lies beside it
    """

    def __init__(self, database: Path) -> None:
        self._lock = LockFile(f"{database}.line")
        self._since: float | None = None
        self.is_first = False

    def may_try(self) -> bool:
        """Whether to begin to write now; false: wait a little, and ask again.  Ends with ``leave``."""
        now = time.monotonic()
        self._since = self._since or now
        self.is_first = self.is_first or self._lock.lock(ALONE)
        return self.is_first or now - self._since > COURTESY_S

    def pause_s(self) -> float:
        """How long to wait until the next try."""
        waited_s = 0.0 if self._since is None else time.monotonic() - self._since
        if waited_s > HELD_S:
            return LONG_S
        if self.is_first:
            return SHORT_S
        return LONG_S + min(1.0, waited_s / LONG_SINCE_S) * (SHORT_S - LONG_S)

    def is_wanted(self) -> bool:
        """Whether another one stands in front; only to be asked by who does not stand in line."""
        free = self._lock.lock(SHARED)
        if free:
            self._lock.release()
        return not free

    def leave(self) -> None:
        """Let the next one stand in front; no harm where nobody stands."""
        if self.is_first:
            self._lock.release()
        self.is_first, self._since = False, None

    def close(self) -> None:
        """The same, and close the file."""
        self.leave()
        self._lock.close()
