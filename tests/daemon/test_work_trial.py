"""Kinds of work that go over from one generation to another, and back."""

from __future__ import annotations

from typing import Any, cast

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._work_trial import WorkTrial
from cloudd.interfaces.application import IApplication, WorkForm, WorkReport


@define
class Working:
    """An application that notes what it is given to do."""

    forms: dict[str, WorkForm]
    led: list[tuple[list[str] | None, bool]] = field(factory=list)

    def work(self) -> dict[str, WorkForm]:
        return self.forms

    def lead(self, kinds: list[str] | None = None, on_trial: bool = False) -> None:
        self.led.append((kinds, on_trial))

    def work_reports(self) -> dict[str, WorkReport]:
        return {name: WorkReport(attempts=len(self.led), cause=name) for name in self.forms}


class WorkTrialTests(SynchronousTestCase):
    def trial(self, old: dict[str, WorkForm], new: dict[str, WorkForm]) -> WorkTrial:
        self.old, self.new = Working(old), Working(new)
        return WorkTrial(cast(IApplication, self.old), cast(IApplication, self.new))

    def test_which_can_go_over(self) -> None:
        """Those that both have, in the new one's order, if the old one can go on with what the new one has written."""
        v1, v2_careful, v2 = WorkForm((1,), 1), WorkForm((1, 2), 1), WorkForm((1, 2), 2)
        trial = self.trial({"a": v1, "b": v1, "c": v1, "d": v1}, {"e": v1, "c": v1, "b": v2_careful, "a": v2})
        self.assertEqual(trial.kinds, ("c", "b"))

    def test_one_after_the_other(self) -> None:
        """What has gone over is no longer the old one's; it gets all back."""
        form = WorkForm((1,), 1)
        trial = self.trial({"a": form, "b": form, "c": form}, {"a": form, "b": form})
        trial.move("a")
        trial.move("b")
        self.assertEqual(self.old.led, [(["b", "c"], False), (["c"], False)])
        self.assertEqual(self.new.led, [(["a"], True), (["a", "b"], True)])
        report = {"attempts": 2, "troubles": 0, "running": 0, "cause": "b"}
        self.assertEqual(trial.measure()["b"], {"new": report, "old": report})
        trial.give_back()
        self.assertEqual(self.old.led[-1], (None, False))

    def test_nothing_has_gone_over(self) -> None:
        """Then there is nothing to measure, and nothing to give back."""
        trial = self.trial({"a": WorkForm((1,), 1)}, {"a": WorkForm((1,), 1)})
        self.assertEqual(trial.measure(), {})
        trial.give_back()
        self.assertEqual((self.old.led, self.new.led), ([], []))

    def test_code_of_before(self) -> None:
        """Code that has no such calls has no work that could go over."""
        working: Any = Working({"a": WorkForm((1,), 1)})
        self.assertEqual(WorkTrial(cast(Any, object()), working).kinds, ())
        self.assertEqual(WorkTrial(working, cast(Any, object())).kinds, ())
