# -*- test-case-name: tests.rolling.test_gate -*-
"""Whether a node that was changed is well, before the next one's turn.  Nothing here waits: times are arguments."""

from __future__ import annotations

from typing import Literal

from attrs import define, field

Verdict = Literal["open", "passed", "failed"]

PATIENCE_S = 60.0


@define
class Gate:
    """
    Passed when the node was well for ``settle_s`` without a break; failed when that was not so in time.

    A controller that takes over begins with a new gate: it must not pass what it has not seen.

    :ivar trouble: what was wrong last; empty: nothing is
    """

    settle_s: float
    patience_s: float = PATIENCE_S
    trouble: str = field(init=False, default="it was not asked yet")
    _began: float | None = field(init=False, default=None)
    _well_since: float | None = field(init=False, default=None)

    def note(self, now: float, trouble: str) -> Verdict:
        """
        The node was asked.

        :param now: seconds, of a clock that does not go back
        :param trouble: what is wrong with it; empty: it is well
        """
        if self._began is None:
            self._began = now
        self.trouble = trouble
        if trouble:
            self._well_since = None
        elif self._well_since is None:
            self._well_since = now
        if self._well_since is not None and now - self._well_since >= self.settle_s:
            return "passed"
        return "failed" if now - self._began > self.settle_s + self.patience_s else "open"

    def well_for_s(self, now: float) -> float:
        """For how long it has been well."""
        return 0.0 if self._well_since is None else now - self._well_since
