"""Steps of a change: lines in a pipe, lines that are drawn anew on a terminal."""

from __future__ import annotations

import io

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from cloudd.cli._steps import Steps, bar_of
from cloudd.control import Progress

STEPS = (
    Progress(step="prepare", text="loading", elapsed_s=0.5),
    Progress(step="canary", text="5 %: 10 requests", done=1, total=10, elapsed_s=1.5),
    Progress(step="canary", text="5 %: 90 requests", done=9, total=10, elapsed_s=9.5),
    Progress(step="commit", text="takes over", elapsed_s=10.0),
)


class StepsTests(SynchronousTestCase):
    def shown(self, *, terminal: bool) -> str:
        output = io.StringIO()
        console = Console(file=output, force_terminal=terminal, width=100, color_system=None)
        with Steps(console) as steps:
            for progress in STEPS:
                steps.show(progress)
        return output.getvalue()

    def test_in_a_pipe(self) -> None:
        """Each is a line, without control characters."""
        lines = self.shown(terminal=False).splitlines()
        self.assertEqual([line.split()[2] for line in lines], ["prepare", "canary", "canary", "commit"])
        self.assertIn("1.50 s  canary", lines[1])
        self.assertTrue("".join(lines).isprintable())

    def test_on_a_terminal(self) -> None:
        """A step that goes on is drawn in its place, with a bar; what it ended with stays."""
        shown = self.shown(terminal=True)
        first, again = shown.index("5 %: 10 requests"), shown.index("5 %: 90 requests")
        self.assertIn("\x1b[2K", shown[first:again], "the line is cleared")
        self.assertIn("[##..................]  5 %: 10", shown)
        self.assertIn("[##################..]  5 %: 90", shown)
        after = shown[again : shown.index("takes over")]
        self.assertIn("\n", after, "the next step has a line of its own")

    def test_an_end_in_the_middle(self) -> None:
        """Whatever ends it, the terminal is left as it was: with its cursor."""
        output = io.StringIO()
        console = Console(file=output, force_terminal=True, width=100)
        with self.assertRaises(KeyboardInterrupt), Steps(console) as steps:
            steps.show(STEPS[1])
            raise KeyboardInterrupt
        self.assertEqual(output.getvalue().count("\x1b[?25l"), output.getvalue().count("\x1b[?25h"))

    def test_bars(self) -> None:
        """More than all is all."""
        self.assertEqual(bar_of(Progress(step="a", text="", done=30, total=10)), "[####################]")
