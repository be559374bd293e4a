"""The judge of histories: what is right passes, and each kind of wrong is found."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from .history import FATES, Effect, Ending, Entry, Fate, History, TaskRow, Verdict, judge, read_history

BOTH = frozenset({"first", "last"})


def order(key: str = "1", fate: Fate = "accepted", said: str = "") -> Entry:
    said = said or (f"t{key}" if fate == "accepted" else "the database is away")
    return Entry(what="task", key=key, node="n1", began=1.0, ended=2.0, fate=fate, said=said)


def row(key: str = "1", state: str = "done", task_id: str = "") -> TaskRow:
    return TaskRow(id=task_id or f"t{key}", key=key, state=state)


def effects(*whats: str, key: str = "1", task_id: str = "") -> list[Effect]:
    return [Effect(task_id=task_id or f"t{key}", key=key, what=what) for what in whats]


def ending(*rows: TaskRow, effects: list[Effect] | None = None, records: list[str] | None = None) -> Ending:
    return Ending(tasks=rows, effects=effects or [], expected=BOTH, records=records or [])


def record(key: str = "a", fate: Fate = "accepted", ended: float = 2.0) -> Entry:
    return Entry(what="record", key=key, node="n1", began=1.0, ended=ended, fate=fate)


def look(key: str = "a", fate: Fate = "accepted", began: float = 3.0) -> Entry:
    return Entry(what="look", key=key, node="n2", began=began, ended=began + 1, fate=fate)


class Judged(SynchronousTestCase):
    def assert_only(self, verdict: Verdict, *faults: str) -> None:
        """These faults were found, one of each, and no others."""
        found = {name: len(getattr(verdict, name)) for name in Verdict.FAULTS if getattr(verdict, name)}
        self.assertEqual(found, dict.fromkeys(faults, 1), verdict)
        self.assertEqual(verdict.is_good, not faults)


class TaskTests(Judged):
    def test_good(self) -> None:
        """Accepted and done; refused and absent; unknown and absent, or done."""
        history = [order("1"), order("2", "refused"), order("3", "unknown"), order("4", "unknown")]
        done = effects("first", "last") + effects("first", "last", key="4")
        verdict = judge(history, ending(row("1"), row("4"), effects=done))
        self.assert_only(verdict)
        self.assertEqual(verdict.counts["outcomes"], 2)
        self.assertEqual(verdict.told()["tasks_unknown"], 2)

    def test_lost(self) -> None:
        self.assert_only(judge([order()], ending()), "lost")

    def test_another_task(self) -> None:
        """The task that was answered is not the one that is there."""
        there = ending(row(task_id="x"), effects=effects("first", "last", task_id="x"))
        self.assert_only(judge([order()], there), "lost")

    def test_refused_and_there(self) -> None:
        verdict = judge([order(fate="refused")], ending(row(), effects=effects("first", "last")))
        self.assert_only(verdict, "ghosts")

    def test_nobody_ordered(self) -> None:
        self.assert_only(judge([], ending(row(), effects=effects("first", "last"))), "ghosts")

    def test_two_tasks(self) -> None:
        """Also of an order of unknown fate."""
        both = [*effects("first", "last"), *effects("first", "last", task_id="x")]
        for fate in ("accepted", "unknown"):
            verdict = judge([order(fate=fate)], ending(row(), row(task_id="x"), effects=both))
            self.assert_only(verdict, "doubled")

    def test_effect_twice(self) -> None:
        verdict = judge([order()], ending(row(), effects=effects("first", "last", "last")))
        self.assert_only(verdict, "doubled")

    def test_stuck(self) -> None:
        for state in ("queued", "running"):
            self.assert_only(judge([order()], ending(row(state=state), effects=effects("first"))), "stuck")

    def test_failed(self) -> None:
        self.assert_only(judge([order()], ending(row(state="failed"), effects=effects("first"))), "failed")

    def test_done_by_half(self) -> None:
        self.assert_only(judge([order()], ending(row(), effects=effects("first"))), "torn")

    def test_effect_without_task(self) -> None:
        """What was undone with its order has left something."""
        self.assert_only(judge([order(fate="unknown")], ending(effects=effects("first"))), "torn")

    def test_key_twice(self) -> None:
        """A client that asks twice with one key makes a history that says nothing."""
        with self.assertRaisesRegex(ValueError, "asked for twice"):
            judge([order(), order()], ending())

    @given(st.lists(st.sampled_from([*FATES, "unknown, done"]), max_size=8), st.integers(0, 4), st.data())
    def test_one_fault_in_a_good_history(self, fates: list[str], kind: int, data: st.DataObject) -> None:
        """Any good history passes; with one fault in it, of whatever kind, it does not."""
        history = [order(str(number), fate.split(",")[0]) for number, fate in enumerate(fates)]  # type: ignore[arg-type]
        present = [str(number) for number, fate in enumerate(fates) if fate in {"accepted", "unknown, done"}]
        rows = [row(key) for key in present]
        written = [each for key in present for each in effects("first", "last", key=key)]
        self.assertTrue(judge(history, ending(*rows, effects=written)).is_good)
        if not rows:
            return
        place = data.draw(st.integers(0, len(rows) - 1))
        mine = [each for each in written if each.task_id == rows[place].id]
        if kind == 0:
            written.append(mine[0])
        elif kind == 1:
            written.remove(mine[1])
        elif kind == 2:
            rows[place] = row(rows[place].key, "running")
        elif kind == 3:
            history = [each for each in history if each.key != rows[place].key]
        else:
            rows.append(row(rows[place].key, task_id="again"))
        self.assertFalse(judge(history, ending(*rows, effects=written)).is_good)


class RecordTests(Judged):
    def test_good(self) -> None:
        """Found after it was accepted; a look that began before may miss it, and one of unknown fate may do either."""
        history = [record(), look(), look(fate="refused", began=1.5), look(fate="unknown")]
        history += [record("b", "unknown"), look("b"), look("b", "refused")]
        self.assert_only(judge(history, ending(records=["a", "b"])))

    def test_lost(self) -> None:
        self.assert_only(judge([record()], ending()), "lost")

    def test_refused_and_there(self) -> None:
        self.assert_only(judge([record(fate="refused")], ending(records=["a"])), "ghosts")

    def test_nobody_made(self) -> None:
        self.assert_only(judge([], ending(records=["a"])), "ghosts")

    def test_twice(self) -> None:
        self.assert_only(judge([record()], ending(records=["a", "a"])), "doubled")

    def test_stale(self) -> None:
        """Another node does not have what was accepted before."""
        self.assert_only(judge([record(), look(fate="refused")], ending(records=["a"])), "stale")

    def test_found_what_was_refused(self) -> None:
        """Seen for a moment, though it is not there in the end."""
        self.assert_only(judge([record(fate="refused"), look()], ending()), "ghosts")


class HistoryTests(SynchronousTestCase):
    def test_written(self) -> None:
        """What is asked is entered with its times and fate, and read back; a line that was cut off is left out."""
        path, times = Path(self.mktemp()), count()
        history = History(path, clock=lambda: float(next(times)))
        history.ask("task", "1", "n1", lambda: ("accepted", "t1"))
        broken = history.ask("task", "2", "n2", lambda: (_ for _ in ()).throw(OSError("cut")))
        self.assertEqual((broken.fate, broken.said), ("unknown", "OSError: cut"))
        history.close()
        path.write_text(path.read_text() + '{"what": "ta')
        found = list(read_history(path))
        self.assertEqual(found, history.entries)
        self.assertEqual([(entry.began, entry.ended) for entry in found], [(0.0, 1.0), (2.0, 3.0)])
