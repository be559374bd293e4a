# -*- test-case-name: tests.database -*-
"""Waiting for a lock that can only be tried."""

from __future__ import annotations

import random
import time

BUSY_LIMIT_S = 15.0
FIRST_WAIT_S = 0.0005
LONGEST_WAIT_S = 0.02


class Patience:
    """Random, growing waits until ``BUSY_LIMIT_S`` have passed."""

    def __init__(self) -> None:
        self.limit_s = BUSY_LIMIT_S
        self._deadline = time.monotonic() + self.limit_s
        self._wait_s = FIRST_WAIT_S

    def wait(self, *, about_s: float | None = None, longest_s: float = LONGEST_WAIT_S) -> bool:
        """
        Sleep a little; false when the limit is reached.

        :param about_s: so long, and not longer the next time; for what ends soon and is cheap to ask
        :param longest_s: what the waits grow to
        """
        if time.monotonic() >= self._deadline:
            return False
        wait_s = self._wait_s if about_s is None else about_s
        time.sleep(wait_s * (0.5 + random.random()))  # noqa: S311 - spreads retries, guards nothing
        if about_s is None:
            self._wait_s = min(self._wait_s * 1.6, longest_s)
        return True
