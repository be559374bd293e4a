# -*- test-case-name: tests.daemon.test_work_trial -*-
"""
A worker's own work in a canary: its kinds go over from the old generation to the new one, one at a time.

A kind can go over that both know, and of which the old one reads what the new one writes: it may get it back.  The
others wait for the commit, with which all the work is the new generation's, or stay when there is none.
"""

from __future__ import annotations

from typing import Any

from attrs import asdict, define, field

from cloudd.interfaces.application import IApplication, WorkForm


@define(eq=False)
class WorkTrial:
    """
    One canary in one worker.

    :param old: goes on with what has not gone over
    :param new: started
    :ivar kinds: that can go over, in the order of the new generation
    """

    _old: IApplication
    _new: IApplication
    kinds: tuple[str, ...] = field(init=False)
    _over: list[str] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        old = _forms(self._old)
        self.kinds = tuple(
            name for name, form in _forms(self._new).items() if name in old and form.writes in old[name].reads
        )

    def move(self, kind: str) -> None:
        """
        From now on the new generation does the work of this kind; what runs of it goes over where it saves next.

        :raises Exception: what the application raises: its code may be bad
        """
        self._over.append(kind)
        self._old.lead([name for name in self._old.work() if name not in self._over])
        self._new.lead(list(self._over), on_trial=True)

    def measure(self) -> dict[str, dict[str, Any]]:
        """Of each kind that has gone over: ``{"new": report, "old": report}``, see ``WorkReport``, as plain data."""
        if not self._over:
            return {}
        new, old = self._new.work_reports(), self._old.work_reports()
        return {kind: {"new": asdict(new[kind]), "old": asdict(old[kind])} for kind in self._over}

    def give_back(self) -> None:
        """All work is the old generation's again."""
        if self._over:
            self._old.lead()


def _forms(application: IApplication) -> dict[str, WorkForm]:
    """None of code of before work went over."""
    work = getattr(application, "work", None)
    return {} if work is None else work()
