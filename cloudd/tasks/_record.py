# -*- test-case-name: tests.tasks.test_service -*-
"""How attempts at the tasks of one kind have ended here, for the comparison of two generations."""

from __future__ import annotations

from collections import deque

from attrs import define, field

from cloudd.interfaces.application import WorkReport

from ._execution import Ended

REMEMBERED = 100


@define
class Record:
    """The last attempts; what was only interrupted was none."""

    _troubles: deque[bool] = field(init=False, factory=lambda: deque(maxlen=REMEMBERED))
    _cause: str = field(init=False, default="")

    def note(self, ended: Ended) -> None:
        """One execution has ended."""
        if ended.how == "released":
            return
        is_trouble = ended.how == "lost" or bool(ended.cause)
        self._troubles.append(is_trouble)
        if is_trouble:
            self._cause = ended.cause or "it lost its lease"

    def report(self, running: int) -> WorkReport:
        """
        :param running: attempts that have not ended
        """
        return WorkReport(len(self._troubles), sum(self._troubles), running, self._cause)
