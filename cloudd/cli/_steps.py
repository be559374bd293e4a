# -*- test-case-name: tests.cli.test_steps -*-
"""
A change as it goes: a line for each step.

Some steps tell of themselves again and again, with live figures.  On a terminal such a line is drawn anew in its place,
with a bar where it is known how much there is to do; elsewhere each is a line of its own.
"""

from __future__ import annotations

from types import TracebackType

from attrs import define
from rich.console import Console
from rich.live import Live
from rich.text import Text

from cloudd.control import STEPS, Progress

STEP_WIDTH = max(len(step) for step in STEPS)
BAR_WIDTH = 20


@define
class Steps:
    """Shows steps on a console, from ``with`` until its end."""

    _console: Console
    _live: Live | None = None
    _step: str = ""

    def __enter__(self) -> Steps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_line()

    def show(self, progress: Progress) -> None:
        """A step has begun or went on."""
        if not self._console.is_terminal:
            self._console.print(line_of(progress))
            return
        line = line_of(progress, bar_of(progress) if progress.done else "")
        if self._live is None or progress.step != self._step:
            self._end_line()
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._step = progress.step
        self._live.update(line, refresh=True)

    def _end_line(self) -> None:
        if self._live is not None:
            self._live.stop()  # its last state stays on the screen
            self._live = None


def line_of(progress: Progress, bar: str = "") -> Text:
    """When, which step, and its sentence."""
    parts = [f"{progress.elapsed_s:7.2f} s", f"{progress.step:<{STEP_WIDTH}}", *([bar] if bar else []), progress.text]
    return Text("  ".join(parts))


def bar_of(progress: Progress) -> str:
    """How far it has come."""
    filled = round(BAR_WIDTH * min(1.0, progress.done / max(1, progress.total)))
    return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}]"
