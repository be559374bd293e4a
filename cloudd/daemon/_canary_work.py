# -*- test-case-name: tests.daemon.test_canary_work -*-
"""
The work of a canary: kinds of tasks go over to the new code one after the other.  Pure: reports in, decisions out.

**Turns.**  Each kind has an equal part of the canary's period, in which the new code alone does the work of that kind;
it keeps it afterwards.  A turn ends early when nothing of its kind is there to be done, and is longer by up to
``REPEAT_S`` while the old code has not saved what runs of the kind, or an attempt that failed is about to be repeated.

**Worse.**  In any kind that has gone over at least ``MIN_TROUBLES`` attempts of the new code failed (raised, hung, or
lost their lease) and, as a part of all its attempts, ``MIN_FACTOR`` times as many as of the last hundred of the old
code; and these are half of its attempts, or more than chance explains (Fisher's exact test, ``LEVEL``).  Where the
old code had none, it is taken to have no failures.  So three failures alone end a canary: tasks are rare, and code on
trial gives nothing up, so that there is nothing lost by trying the upgrade again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from attrs import define, field

from ._comparison import MIN_FACTOR, fisher

MIN_TROUBLES = 3
LEVEL = 0.01
IDLE_LOOKS = 2
REPEAT_S = 3.0


class Report(msgspec.Struct):
    """``WorkReport`` as it comes from a worker."""

    attempts: int = 0
    troubles: int = 0
    running: int = 0
    cause: str = ""


class WorkMeasure(msgspec.Struct):
    """One kind of work: since it went over, and of the old code before."""

    new: Report
    old: Report


@define
class Turn:
    """One kind goes over."""

    kind: str
    began: float
    looks: int = 0


@define
class WorkTurns:
    """
    Which kinds have gone over, and which one is next; one worker of the host has them.

    :param period_s: of the canary
    """

    _period_s: float
    _waiting: list[str] = field(factory=list)
    _over: int = 0
    _turn: Turn | None = None
    _measures: dict[str, WorkMeasure] = field(factory=dict)

    def add(self, kinds: Iterable[str]) -> None:
        """There is work of these kinds."""
        self._waiting += kinds

    @property
    def number(self) -> int:
        """Of kinds in all."""
        return self._over + len(self._waiting)

    @property
    def slack_s(self) -> float:
        """By how much the turns may be longer than the period."""
        return REPEAT_S if self.number else 0.0

    @property
    def is_through(self) -> bool:
        """Whether every kind has had its turn."""
        return self._turn is None and not self._waiting

    def note(self, measures: Mapping[str, WorkMeasure]) -> None:
        """What a worker tells of the kinds that have gone over."""
        self._measures.update(measures)

    def following(self, now: float) -> str | None:
        """
        Called at every look: the kind that goes over now; None: none does.

        :param now: seconds
        """
        turn = self._turn
        if turn is not None:
            turn.looks += 1
            if not self._has_ended(turn, now):
                return None
        if not self._waiting:
            self._turn = None
            return None
        following = self._waiting.pop(0)
        self._over += 1
        self._turn = Turn(following, now)
        return following

    def _has_ended(self, turn: Turn, now: float) -> bool:
        measure = self._measures.get(turn.kind)
        if measure is None:
            return False  # not heard of yet
        new, lasted_s = measure.new, now - turn.began
        comes = measure.old.running > 0
        if comes:
            turn.looks = 0  # what it saves has yet to be taken up
        elif turn.looks >= IDLE_LOOKS and not new.attempts and not new.running:
            return True
        part_s = self._period_s / self.number
        may_be_worse = 0 < new.troubles < MIN_TROUBLES and new.troubles * 2 >= new.attempts
        return lasted_s >= part_s + (REPEAT_S if comes or may_be_worse else 0.0)

    def worse(self) -> str:
        """In which kind the new code does worse, with figures; empty: in none."""
        for kind, measure in sorted(self._measures.items()):
            if is_worse(measure):
                new, old = measure.new, measure.old
                return (
                    f"tasks of the kind {kind} failed in {new.troubles} of {new.attempts} attempts "
                    f"(old code: {old.troubles} of {old.attempts}), the last one with: {new.cause}"
                )
        return ""

    def progress(self) -> str:
        """A few words for who looks on; empty: there is no work."""
        if not self.number:
            return ""
        now = f", now {self._turn.kind}" if self._turn is not None else ""
        return f"; tasks: {self._over} of {self.number} kinds went over{now}"

    def result(self) -> str:
        """What came of it; empty: there was no work."""
        if not self.number:
            return ""
        new = [measure.new for measure in self._measures.values()]
        ended, troubles, running = (
            sum(getattr(report, name) for report in new) for name in ("attempts", "troubles", "running")
        )
        tried = f"{ended} ended, {troubles} failed, {running} running" if ended or running else "there were none"
        return f"; tasks of {self._over} of {self.number} kinds went over: {tried}"


def is_worse(measure: WorkMeasure) -> bool:
    """By the rule above."""
    new, old = measure.new, measure.old
    if new.troubles < MIN_TROUBLES or new.troubles * old.attempts < MIN_FACTOR * old.troubles * new.attempts:
        return False
    return new.troubles * 2 >= new.attempts or fisher(new.troubles, new.attempts, old.troubles, old.attempts) <= LEVEL
