# -*- test-case-name: tests.database.test_broken_driver -*-
"""What all threads of one database know of a server that cannot be reached."""

from __future__ import annotations

import time

from twisted.logger import Logger

from ._driver import DatabaseAway
from ._patience import BUSY_LIMIT_S

AGAIN_S = 1.0

log = Logger()


class Away:
    """
    A call waits for a server that has just gone; when it has been away for ``LIMIT_S`` calls fail at once.

    Then one try a second is left, whoever makes it: a try can take seconds, and calls must not wait in line for it.
    Threads change it without a lock: at worst one tries too often.

    :ivar cause: empty, or how the last try failed
    """

    LIMIT_S = BUSY_LIMIT_S

    def __init__(self) -> None:
        self.cause = ""
        self._since = 0.0  # of the first failure; 0: it is there
        self._next = 0.0

    def refuse(self) -> None:
        """
        Called before a try.

        :raises DatabaseAway: it was tried just now
        """
        if self._is_long() and time.monotonic() < self._next:
            raise DatabaseAway(self.cause)
        self._next = time.monotonic() + AGAIN_S

    def failed(self, error: Exception) -> bool:
        """A try did not succeed; true: it has been away for long, so that there is no use in waiting."""
        if not self._since:
            self._since = time.monotonic()
            log.warn("the database is away: {cause}", cause=str(error))
        self.cause = str(error)
        return self._is_long()

    def reached(self) -> None:
        """A try succeeded."""
        if self._since:
            log.info("the database is back after {seconds:.1f} s", seconds=time.monotonic() - self._since)
        self.cause, self._since = "", 0.0

    def _is_long(self) -> bool:
        return bool(self._since) and time.monotonic() - self._since >= self.LIMIT_S
