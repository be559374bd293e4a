"""
The client walks of ``tests/clients`` against one daemon whose code is replaced every few seconds.

    python -m bench.walks_under_upgrades [--minutes 5] [--every 5] [--walks openstack swift rclone aws boto3]

Starts its own cloudd on a copy of this checkout.  ``cloudctl upgrade`` (swaps with ``--canary 0`` and hand-overs in
turn) begins every ``--every`` seconds, or when the one before has ended if that takes longer; meanwhile trial runs the
walks of all clients (openstack, swift, rclone, aws, s3cmd, boto3), again and again until the time is over, each time to
the end.

Prints one JSON object; exits with 1 when a walk or an upgrade failed, or a walk was skipped.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from attrs import define, field

from bench.clients import summary
from bench.upgrading import How, UpgradedCloud, UpgradeFailed, ended_by_signals, log, said_by_anchor
from tests.running_cloud import CHECKOUT, described

WALKS = ("openstack", "swift", "rclone", "aws", "boto3")
RESULT = re.compile(r"^  +(test_\w+) \.\.\. +\[(\w+)\]$", re.M)
PROBLEM = re.compile(r"^={79}\n\[(?:FAIL|ERROR)\]\n(.*?)(?=^={79}|^-{79})", re.M | re.S)
ROUND_TIMEOUT_S = 1800


@define
class Upgrading:
    """Upgrades one after the other, in a thread, until ``stop``."""

    code: UpgradedCloud
    every_s: float
    kinds: tuple[How, ...]
    failures: list[str] = field(factory=list)
    _ended: threading.Event = field(factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """After the upgrade that is under way."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        due, number = time.monotonic(), 0
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            due = max(due + self.every_s, time.monotonic())
            how = self.kinds[number % len(self.kinds)]
            number += 1
            try:
                window = self.code.upgrade(how)
            except (UpgradeFailed, OSError, subprocess.SubprocessError) as error:
                self.failures.append(f"{how}: {error}"[:3000])
                log(f"{how} failed")
                if len(self.failures) >= 10:
                    return
                continue
            log(f"{how} in {window.seconds:.1f} s")


@define
class Walked:
    """What became of the walks."""

    passed: dict[str, int] = field(factory=dict)
    others: dict[str, int] = field(factory=dict)
    problems: list[str] = field(factory=list)

    def add(self, output: str) -> None:
        for name, result in RESULT.findall(output):
            kind = self.passed if result == "OK" else self.others
            kind[name] = kind.get(name, 0) + 1
        self.problems += [f"{problem[:3000]}\n[...]\n{problem[-1000:]}" for problem in PROBLEM.findall(output)]


def one_round(code: UpgradedCloud, options: argparse.Namespace, folder: str) -> str:
    """All walks once; what trial said."""
    program = str(Path(sys.executable).parent / "trial")
    command = [program, "--reporter=verbose", f"--temp-directory={folder}/trial"]
    command += [f"tests.clients.test_{walk}" for walk in options.walks]
    environment = {**os.environ, **described(code.cloud), "PYTHONPATH": str(CHECKOUT)}
    result = subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=ROUND_TIMEOUT_S, check=False
    )
    return result.stdout + result.stderr


def measure(options: argparse.Namespace) -> dict[str, Any]:
    settings = f"[upgrade]\nwindow_s = {options.window}\n"
    code, walked, rounds = UpgradedCloud.create(settings), Walked(), 0
    upgrading = Upgrading(code, options.every, tuple(options.kinds))
    began = time.monotonic()
    try:
        code.cloud.start()
        with tempfile.TemporaryDirectory(prefix="cloudd-walks-") as folder:
            upgrading.start()
            while rounds == 0 or time.monotonic() - began < options.minutes * 60:
                walked.add(one_round(code, options, folder))
                rounds += 1
                log(f"round {rounds}: {sum(walked.passed.values())} passed, {sum(walked.others.values())} not")
            upgrading.stop()
        processes = len(code.processes())
    finally:
        code.remove()
    made = list(zip(code.outcomes, code.windows, strict=True))
    return {
        "options": vars(options),
        "seconds": round(time.monotonic() - began, 1),
        "rounds": rounds,
        "walks_passed": sum(walked.passed.values()),
        "walks_not_passed": walked.others,
        "problems": walked.problems[:10],
        "upgrades": {how: sum(window.kind == how for _outcome, window in made) for how in options.kinds},
        "upgrades_failed": upgrading.failures,
        "upgrade_seconds": {
            how: summary([w.seconds for _outcome, w in made if w.kind == how]) for how in options.kinds
        },
        "began_every_s": summary([b[1].begin - a[1].begin for a, b in pairwise(made)]),
        "anchor": said_by_anchor([outcome for outcome, window in made if window.kind == "hand-over"]),
        "processes_at_the_end": processes,
    }


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="no round of walks begins later than that")
    parser.add_argument("--every", type=float, default=5.0, help="seconds from the begin of one upgrade to the next")
    parser.add_argument("--window", type=float, default=1.0, help="[upgrade] window_s of the daemon")
    parser.add_argument("--walks", nargs="+", choices=WALKS, default=list(WALKS), help="s3cmd is in aws")
    parser.add_argument("--kinds", nargs="+", choices=["swap", "hand-over"], default=["swap", "hand-over"])
    return parser.parse_args(words)


if __name__ == "__main__":
    ended_by_signals()
    found = measure(arguments())
    print(json.dumps(found, indent=2))
    sys.exit(1 if found["walks_not_passed"] or found["upgrades_failed"] or not found["walks_passed"] else 0)
