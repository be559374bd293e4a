# -*- test-case-name: tests.reload.test_handover_supply -*-
"""What is still to be given, and what has to stay for now."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ._handover_interfaces import Reason

#: How often something that changed while it was offered is offered again before it has to wait for ``ready``.
_TRIES = 3


class Supply:
    """
    Movables in the order in which they are to be offered.

    :param source: gives all that are served here at this moment; called again until it has nothing new
    :ivar later: those that stay for now, with the reason and a detail for the operator
    """

    def __init__(self, source: Callable[[], Iterable[Any]]) -> None:
        self._source = source
        self._waiting: deque[Any] = deque()
        self._tries: dict[Any, int] = {}
        self.later: dict[Any, tuple[Reason, str]] = {}

    def next(self, most: int) -> list[Any]:
        """The next ones to be offered, at most ``most``; empty when there is nothing that can be tried."""
        if not self._waiting:
            self._refill()
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def put_back(self, movables: Iterable[Any]) -> None:
        """These were not tried: they are the next ones, in this order."""
        self._waiting.extendleft(reversed(list(movables)))

    def _refill(self) -> None:
        served = set(self._source())
        for gone in self.later.keys() - served:
            del self.later[gone]
        for gone in self._tries.keys() - served:
            del self._tries[gone]
        self._waiting.extend(served - self.later.keys())

    def keep(self, movable: Any, reason: Reason, detail: str) -> None:
        """``movable`` stays for now; one that only did not hold still is tried again by itself."""
        if reason is Reason.CHANGED:
            tries = self._tries.get(movable, 0) + 1
            self._tries[movable] = tries
            if tries < _TRIES:
                return
        self.later[movable] = (reason, detail)

    def ready(self, movable: Any) -> bool:
        """The reason has passed, or ``movable`` has ended; false when it was not kept for later."""
        self._tries.pop(movable, None)
        return self.later.pop(movable, None) is not None

    def forget_order(self) -> None:
        """Begin again from the source."""
        self._waiting.clear()
        self._tries.clear()

    @property
    def empty(self) -> bool:
        """Whether nothing is left at all, as far as the last look at the source tells."""
        return not self._waiting and not self.later
