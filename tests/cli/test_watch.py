"""``cloudctl status --watch`` against a daemon in memory that goes and comes back."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from rich.console import Console

from cloudd.cli import Exit, _commands
from cloudd.cli._client import ControlClient
from cloudd.cli._context import Context
from cloudd.cli._watch import watch
from tests.control.daemon import WireConnection

from .test_commands import CommandCase

ENTER_SCREEN, LEAVE_SCREEN = "\x1b[?1049h", "\x1b[?1049l"


class WatchCase(CommandCase):
    """Between two looks the next of ``events`` happens; after the last one somebody presses Ctrl-C."""

    def setUp(self) -> None:
        super().setUp()
        self.events: list[Callable[[], object]] = []
        self.slept: list[float] = []
        self.present = self.connect

        def connect(path: Path, timeout_s: float) -> Any:
            return self.connect(path, timeout_s)  # which changes while one client watches

        def client(state: Path) -> ControlClient:
            return ControlClient(state, connect)

        self.patch(_commands, "ControlClient", client)
        self.patch(_commands, "time", mock.Mock(sleep=self.sleep, time=time.time))  # others sleep, too

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self.events:
            raise KeyboardInterrupt
        self.events.pop(0)()

    def go_away(self) -> None:
        def connect(_path: Path, _timeout_s: float) -> Any:
            connection = WireConnection(self.factory)
            self.patch(connection, "connect", mock.Mock(side_effect=ConnectionRefusedError(111, "no")))
            return connection

        self.connect = connect

    def come_back(self) -> None:
        self.connect = self.present
        self.host.pid = 9


class WatchTests(WatchCase):
    def test_until_interrupted(self) -> None:
        """A view per interval, with what is new in each; Ctrl-C is a good end."""
        new = self.version(2)
        self.events = [self.upgrade, lambda: None]
        output = self.run_it("status", "--watch").output
        self.assertEqual(output.count("every 2 s; Ctrl-C ends"), 3)
        self.assertEqual(self.slept, [2.0, 2.0, 2.0])
        before, _, after = output.partition(f"{new.hash[:12]}, generation 2")
        self.assertIn(f"{self.old.hash[:12]}, generation 1", before)
        self.assertIn("serving", after)
        self.assertNotIn("restarted", after.replace("restarted 2 times", ""))

    def test_the_interval(self) -> None:
        """Any number of seconds in reason, also when other options follow."""
        self.assertIn("cloudd.application", self.run_it("status", "--watch", "0.5", "--modules").output)
        self.assertIn("cloudd.application", self.run_it("status", "--watch", "--modules").output)
        self.assertEqual(self.slept, [0.5, 2.0])
        for text in ("0", "-1", "nan", "inf", "often"):
            self.run_it("status", "--watch", text, code=Exit.USAGE)

    def test_a_restart(self) -> None:
        """While the daemon is away that is said above what was so, and afterwards that it is another process."""
        self.events = [self.go_away, lambda: None, self.come_back]
        frames = self.run_it("status", "--watch").output.split("every 2 s; Ctrl-C ends")[1:]
        self.assertEqual(len(frames), 4)
        self.assertNotIn("no answer", frames[0])
        for frame in frames[1:3]:
            self.assertIn("no answer since", frame)
            self.assertIn("has ended", frame)
            self.assertIn("process 7", frame)
        self.assertEqual(*(frame.split("no answer since ")[1][:8] for frame in frames[1:3]))
        self.assertIn("the daemon was restarted: process 7 until then, 9 since", frames[3])
        self.assertNotIn("no answer", frames[3])

    def test_a_daemon_that_fails_is_no_end(self) -> None:
        """A refusal in between is shown like a silence."""
        self.events = [lambda: setattr(self.host, "error", RuntimeError("x")),
                      lambda: setattr(self.host, "error", None)]  # fmt: skip
        frames = self.run_it("status", "--watch").output.split("every 2 s; Ctrl-C ends")[1:]
        self.assertEqual(["the daemon failed at this call" in frame for frame in frames], [False, True, False])
        self.flushLoggedErrors(RuntimeError)

    def test_nobody_there(self) -> None:
        """At first an absent daemon is an error as without ``--watch``."""
        self.go_away()
        self.run_it("status", "--watch", code=Exit.UNREACHABLE)
        self.assertEqual(self.slept, [])

    def test_for_programs(self) -> None:
        """One document a line; one with ``error`` while there is no status."""
        self.events = [self.go_away, self.come_back]
        lines = [json.loads(line) for line in self.run_it("--json", "status", "--watch", "1").output.splitlines()]
        self.assertEqual([line.get("pid") for line in lines], [7, None, 9])
        self.assertEqual(list(lines[1]), ["error"])
        self.assertIn("has ended", lines[1]["error"])

    def test_interrupted_while_it_asks(self) -> None:
        """Ctrl-C at any moment is a good end."""

        def interrupt(_client: ControlClient) -> Any:
            raise KeyboardInterrupt

        self.patch(ControlClient, "status", interrupt)
        self.run_it("status", "--watch")

    def test_on_a_terminal(self) -> None:
        """Drawn in place on a screen of its own, which is left at the end."""
        shown = io.StringIO()
        console = Console(file=shown, force_terminal=True, width=100, height=40, markup=False, highlight=False)
        client = ControlClient(self.state, self.connect)
        self.version(2)
        self.events = [self.upgrade]
        watch(Context(client, False, console), 2.0, modules=False, sleep=self.sleep, now=lambda: 1_000_000.0)
        text = shown.getvalue()
        self.assertEqual((text.count(ENTER_SCREEN), text.count(LEAVE_SCREEN)), (1, 1))
        self.assertLess(text.index("generation 1"), text.index("generation 2"))
        self.assertIn("13:46:40 UTC, every 2 s", text)
        self.assertLess(text.index("generation 2"), text.index(LEAVE_SCREEN))
