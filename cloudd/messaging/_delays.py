# -*- test-case-name: tests.messaging.test_delays -*-
"""
How long a message was under way, between hosts whose clocks differ.

Of each sender the smallest difference between our clock on arrival and its clock on sending is taken for the
difference of the clocks; what a message has more than that, it has waited.  A clock that was set makes this wrong for
a while, so a wait that is longer than possible (the transport drops what waits beyond its deadline) begins anew.
"""

from __future__ import annotations

from attrs import define, field

WINDOW_S = 60.0
MOST_SENDERS = 1_000


@define
class _Difference:
    began: float
    smallest_s: float
    before_s: float  # of the window before


@define(eq=False)
class Delays:
    """Seconds since the epoch go in, seconds come out."""

    _senders: dict[str, _Difference] = field(factory=dict)

    def waited_s(self, sender: str, sent_at: float, left_s: float, now: float) -> float:
        """
        How long a message has been under way, at least 0 and below ``left_s``.

        :param left_s: its time until the deadline when it was sent
        """
        difference_s = now - sent_at
        known = self._senders.get(sender)
        if known is None:
            if len(self._senders) >= MOST_SENDERS:
                del self._senders[next(iter(self._senders))]
            self._senders[sender] = _Difference(now, difference_s, difference_s)
            return 0.0
        if not 0 <= now - known.began < WINDOW_S:
            known.began, known.before_s, known.smallest_s = now, known.smallest_s, difference_s
        known.smallest_s = min(known.smallest_s, difference_s)
        waited_s = difference_s - min(known.smallest_s, known.before_s)
        if waited_s >= left_s:
            known.smallest_s = known.before_s = difference_s
            return 0.0
        return waited_s
