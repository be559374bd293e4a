"""The line of those who want to write: one alone in front, before all that come later, and no longer than a moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd.database import _line
from cloudd.database._line import Line

ROOT = Path(__file__).parent.parent.parent

HOLDER = """
import sys
from pathlib import Path
from cloudd.database._line import Line

line = Line(Path(sys.argv[1]))
assert line.may_try()
print("first", flush=True)
sys.stdin.read()
"""


class LineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()
        self.lines: list[Line] = []

    def line(self) -> Line:
        self.lines.append(Line(self.path))
        self.addCleanup(self.lines[-1].close)
        return self.lines[-1]

    def test_one_in_front(self) -> None:
        """The second has its turn when the first has left, and the first is behind it then."""
        first, second = self.line(), self.line()
        self.assertEqual([first.may_try(), second.may_try(), first.may_try()], [True, False, True])
        first.leave()
        self.assertEqual([second.may_try(), first.may_try()], [True, False])
        self.assertEqual((first.is_first, second.is_first), (False, True))

    def test_wanted(self) -> None:
        """Who writes sees whether another one waits for that."""
        writes, waits = self.line(), self.line()
        writes.may_try()
        writes.leave()
        self.assertFalse(writes.is_wanted())
        waits.may_try()
        self.assertTrue(writes.is_wanted())
        waits.leave()
        self.assertFalse(writes.is_wanted())

    def test_a_courtesy(self) -> None:
        """Who stands in front for ever keeps nobody from trying for longer than a moment; the next time likewise."""
        stopped, other = self.line(), self.line()
        stopped.may_try()
        for _ in range(2):
            self.assertFalse(other.may_try())
            self.patch(_line, "COURTESY_S", 0.0)
            self.assertTrue(other.may_try())
            other.leave()
            self.patch(_line, "COURTESY_S", 60.0)

    def test_who_waits_longest_asks_most(self) -> None:
        """Who is in front asks at once, who has just come later, and more and more often."""
        first, other = self.line(), self.line()
        first.may_try()
        other.may_try()
        self.assertEqual(first.pause_s(), _line.SHORT_S)
        self.assertTrue(_line.SHORT_S < other.pause_s() <= _line.LONG_S)
        self.patch(_line, "LONG_SINCE_S", 1e-9)
        self.assertAlmostEqual(other.pause_s(), _line.SHORT_S)
        self.patch(_line, "HELD_S", 0.0)
        self.assertEqual([first.pause_s(), other.pause_s()], [_line.LONG_S] * 2)

    def test_a_killed_process(self) -> None:
        """The kernel takes it out of the line."""
        command = [sys.executable, "-c", HOLDER, str(self.path)]
        holder = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert holder.stdout is not None and holder.stdin is not None
        self.assertEqual(holder.stdout.readline(), b"first\n")
        other = self.line()
        self.assertFalse(other.may_try())
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
        self.assertTrue(other.may_try())
        self.assertEqual(Path(f"{self.path}.line").stat().st_mode & 0o777, 0o600)
