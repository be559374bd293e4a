# -*- test-case-name: tests.metadata.test_rate -*-
"""How often one guest may ask, so that none takes the service from the others.  Pure: the time is an argument."""

from __future__ import annotations

from typing import Final

from attrs import define, field

#: Requests that a guest may make at once, and each second for ever: cloud-init makes some sixty at a boot.
BURST: Final = 200
PER_S: Final = 20.0
#: So many guests are remembered; a host has fewer ports.
LIMIT: Final = 16_384


@define
class _Bucket:
    left: float
    at_s: float


@define(eq=False)
class Rate:
    """One bucket for each address, which fills by itself."""

    burst: int = BURST
    per_s: float = PER_S
    limit: int = LIMIT
    _buckets: dict[str, _Bucket] = field(init=False, factory=dict)

    def wait_s(self, address: str, now_s: float) -> float:
        """
        Count a request.

        :return: 0: it may be answered; else the seconds after which the next one may be
        """
        bucket = self._buckets.pop(address, None) or _Bucket(float(self.burst), now_s)
        self._buckets[address] = bucket  # the last that asked comes last
        if len(self._buckets) > self.limit:
            del self._buckets[next(iter(self._buckets))]
        bucket.left = min(float(self.burst), bucket.left + max(0.0, now_s - bucket.at_s) * self.per_s)
        bucket.at_s = now_s
        if bucket.left < 1.0:
            return (1.0 - bucket.left) / self.per_s
        bucket.left -= 1.0
        return 0.0
