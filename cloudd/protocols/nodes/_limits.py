# -*- test-case-name: tests.protocols.nodes.test_limits -*-
"""How much one address may ask, and all together: counts, with the time given."""

from __future__ import annotations

from collections import Counter

from attrs import define, field

MOST = 32  # connections
MOST_OF_ONE = 8
FAILURES = 10  # of one address in ``WITHIN_S``
WITHIN_S = 60.0
MOST_ADDRESSES = 1_024  # that are remembered


@define
class Limits:
    """Of one listener."""

    _open: Counter[str] = field(factory=Counter)
    _failed: dict[str, tuple[float, int]] = field(factory=dict)  # address -> since when, how often

    def enter(self, peer: str) -> bool:
        """Count a connection that comes; whether it may stay."""
        if self._open.total() >= MOST or self._open[peer] >= MOST_OF_ONE:
            return False
        self._open[peer] += 1
        return True

    def leave(self, peer: str) -> None:
        """A connection that had entered has ended."""
        self._open[peer] -= 1
        if self._open[peer] <= 0:
            del self._open[peer]

    def failed(self, peer: str, now: float) -> None:
        """It asked for what it does not get."""
        since, count = self._failed.pop(peer, (now, 0))
        if now - since >= WITHIN_S:
            since, count = now, 0
        self._failed[peer] = (since, count + 1)
        while len(self._failed) > MOST_ADDRESSES:
            del self._failed[next(iter(self._failed))]

    def waits_s(self, peer: str, now: float) -> float:
        """How long it gets no answer but that it has to wait; 0: it gets one."""
        since, count = self._failed.get(peer, (now, 0))
        return max(0.0, since + WITHIN_S - now) if count >= FAILURES else 0.0
