"""
Upgrades as benches make them: a daemon on a tree of its own, a change to that tree, ``cloudctl upgrade``.

Each change is a real one: a swap changes what the health check answers, a hand-over also a kernel module.  Whether the
new code serves is asked afterwards, on a new connection.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

from attrs import define, field

from bench.clients import Window
from bench.memory import children
from bench.swap import copy_tree
from cloudd.cli._client import ControlClient, RefusedByDaemon, Unreachable
from cloudd.control import plain
from tests.running_cloud import RunningCloud

How = Literal["swap", "hand-over"]

SWAPPABLE = Path("cloudd/protocols/swift/_face.py")
KERNEL = Path("cloudd/daemon/_naming.py")
ANSWER = re.compile(r'b"OK[^"]*"')
BUSY_PATIENCE_S = 60.0
TIMEOUT_S = 300.0


class UpgradeFailed(Exception):
    """``cloudctl upgrade`` did not end with new code, or old code still answers."""


@define
class UpgradedCloud:
    """
    A cloud whose code is changed while it runs.

    :ivar alternate: go to and fro between two codes, whose copies stay: staging is then nearly nothing
    :ivar windows: begin and end of each upgrade
    :ivar outcomes: what ``cloudctl`` said of each
    :ivar failures: what became of those that did not end with new code
    """

    cloud: RunningCloud
    tree: Path
    kernel: Path = KERNEL
    alternate: bool = False
    number: int = 0
    windows: list[Window] = field(factory=list)
    outcomes: list[dict[str, Any]] = field(factory=list)
    failures: list[str] = field(factory=list)
    waited_busy: int = 0

    @classmethod
    def create(cls, settings: str = "", kernel: Path = KERNEL) -> UpgradedCloud:
        """A cloud that is not started yet; ``settings`` are more tables (TOML) than ``[upgrade]``."""
        cloud = RunningCloud()
        tree = copy_tree(cloud.folder / "trees" / "code")
        cloud.tree = shutil.copytree(tree, cloud.folder / "start")  # so that nobody's work in the checkout gets in
        cloud.settings_file.write_text(
            settings.replace("[upgrade]\n", f"[upgrade]\ntrees = {json.dumps([str(tree)])}\n")
        )
        return cls(cloud, tree, kernel)

    def answer(self) -> bytes:
        """What the health check of the object port answers with the present change."""
        number = 1 + self.number % 2 if self.alternate and self.number else self.number
        return b"OK" if number == 0 else b"OK, %d" % number

    def change(self, how: How) -> None:
        """Change the tree that the next upgrade loads."""
        self.number += 1
        module = self.tree / SWAPPABLE
        source, count = ANSWER.subn(f'b"{self.answer().decode()}"', module.read_text())
        if count != 1:
            raise UpgradeFailed(f"{SWAPPABLE} does not say OK exactly once")
        module.write_text(source)
        if how == "hand-over":
            kernel = self.tree / self.kernel
            change = self.number % 2 if self.alternate else self.number
            kernel.write_text((self.cloud.tree / self.kernel).read_text() + f"\n# Change {change}.\n")

    def upgrade(self, how: How) -> Window:
        """
        Change the tree and load it with ``cloudctl upgrade``, without a canary.

        :raises UpgradeFailed: it did not end with the new code serving
        """
        self.change(how)
        words = [
            "upgrade",
            "--yes",
            "--how",
            how,
            "--to",
            str(self.tree),
            *(["--canary", "0"] if how == "swap" else []),
        ]
        return self._until_not_busy(how, lambda: self.cloudctl(*words))

    def upgrade_directly(self, how: How) -> Window:
        """The same by the control socket, without the time and memory that ``cloudctl`` and its plan take."""

        def ask() -> tuple[dict[str, Any], str]:
            outcome: dict[str, Any] = {}
            try:
                for event in ControlClient(self.cloud.state).upgrade(str(self.tree), "", how, 0.0):
                    outcome = plain(event)
            except (Unreachable, RefusedByDaemon) as error:
                return {}, str(error)
            return outcome, json.dumps(outcome)

        self.change(how)
        return self._until_not_busy(how, ask)

    def try_upgrade(self, how: How) -> None:
        """``upgrade``; a failure is remembered in ``failures``."""
        try:
            window = self.upgrade(how)
        except UpgradeFailed as failure:
            self.failures.append(str(failure))
            log(f"{how} {self.number} failed: {str(failure)[:500]}")
        else:
            outcome = self.outcomes[-1]
            pause_ms = outcome.get("pause_s", 0) * 1e3
            log(f"{how} {self.number}: {window.seconds:.2f} s, moved {outcome.get('moved')}, says {pause_ms:.0f} ms")

    def windows_of(self, how: How) -> list[Window]:
        return [window for window in self.windows if window.kind == how]

    def outcomes_of(self, how: How) -> list[dict[str, Any]]:
        pairs = zip(self.outcomes, self.windows, strict=True)
        return [outcome for outcome, window in pairs if window.kind == how]

    def _until_not_busy(self, how: How, ask: Callable[[], tuple[dict[str, Any], str]]) -> Window:
        deadline = time.monotonic() + BUSY_PATIENCE_S
        while True:
            begin = time.monotonic()
            outcome, said = ask()
            end = time.monotonic()
            if outcome.get("result") != "busy" or end > deadline:
                break
            self.waited_busy += 1
            time.sleep(0.2)
        if outcome.get("result") != "committed":
            raise UpgradeFailed(f"{how} {self.number}: {said}\n{self.cloud.log()}")
        self.outcomes.append(outcome)
        self.windows.append(Window(how, begin, end))
        self.check_serving()
        return self.windows[-1]

    def cloudctl(self, *words: str) -> tuple[dict[str, Any], str]:
        """The last JSON line, everything that was said."""
        command = [str(Path(sys.executable).parent / "cloudctl"), "--state", str(self.cloud.state), "--json", *words]
        environment = {**os.environ, "PYTHONPATH": str(self.cloud.tree)}
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=environment
        )
        lines = result.stdout.strip().splitlines()
        try:
            last = json.loads(lines[-1]) if lines else {}
        except ValueError:
            last = {}
        return last, f"exit code {result.returncode}, {result.stdout[-2000:]}{result.stderr[-2000:]}"

    def check_serving(self) -> None:
        """
        A new connection gets the new code's answer, at the latest when the listening sockets have been handed over.

        :raises UpgradeFailed: it gets another one
        """
        deadline = time.monotonic() + 5
        while True:
            with urllib.request.urlopen(self.cloud.url("object") + "/healthcheck", timeout=30) as answer:
                found = answer.read()
            if found == self.answer():
                return
            if time.monotonic() > deadline:
                raise UpgradeFailed(f"upgrade {self.number}: {found!r} is answered, not {self.answer()!r}")
            time.sleep(0.05)

    def status(self) -> dict[str, Any]:
        """What ``cloudctl status`` says."""
        return cast(dict[str, Any], plain(ControlClient(self.cloud.state).status()))

    def processes(self) -> list[int]:
        """The anchor and all below it."""
        assert self.cloud.process is not None
        return children(self.cloud.process.pid)

    def remove(self) -> None:
        """End the daemon, all processes of it, and remove its files."""
        self.cloud.remove()


@define
class Phases:
    """Stretches without an upgrade."""

    quiet: list[Window] = field(factory=list)

    def rest(self, seconds: float) -> None:
        begin = time.monotonic()
        time.sleep(seconds)
        self.quiet.append(Window("none", begin, time.monotonic()))


def log(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


def ended_by_signals() -> None:
    """Let SIGTERM and SIGHUP end a bench as Ctrl-C does: everything it started is ended and removed."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, end)


def said_by_anchor(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """The anchor's own figures of some upgrades."""
    follow: dict[str, int] = {}
    for outcome in outcomes:
        for reason, count in outcome.get("follow", {}).items():
            follow[reason] = follow.get(reason, 0) + count
    return {
        "duration_s": [outcome["duration_s"] for outcome in outcomes],
        "pause_ms": [round(outcome.get("pause_s", 0.0) * 1e3, 1) for outcome in outcomes],
        "moved": [outcome.get("moved", 0) for outcome in outcomes],
        "follow": follow,
        "warnings": sorted({warning for outcome in outcomes for warning in outcome.get("warnings", [])}),
    }
