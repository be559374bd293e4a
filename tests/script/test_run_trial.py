"""What ``script/run_trial`` makes of trial's output."""

from __future__ import annotations

import io
import sys
import time
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.running_cloud import CHECKOUT

RULE, LINE = "=" * 79, "-" * 79
SKIPS = f"""{RULE}
[SKIPPED]
no root

tests.storage.test_space.SpaceTests.test_small_disk
tests.storage.test_space.SpaceTests.test_other
{RULE}
[TODO]
later

tests.x.T.test_todo
{LINE}
Ran 9 tests in 1.0s

"""


def load() -> Any:
    loader = SourceFileLoader("run_trial", str(CHECKOUT / "script" / "run_trial"))
    spec = spec_from_loader("run_trial", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


class RunTrialTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.run_trial = load()
        self.patch(sys, "stdout", io.StringIO())

    def test_counts(self) -> None:
        """Errors and unexpected successes are failures, expected failures are none."""
        for summary, counts in (
            ("PASSED (successes=7)", (7, 0, 0)),
            ("PASSED (skips=2, expectedFailures=1, successes=4)", (5, 0, 2)),
            ("FAILED (failures=1, errors=2, unexpectedSuccesses=3, successes=4)", (4, 6, 0)),
            ("PASSED", (0, 0, 0)),
            ("Killed", (0, 1, 0)),
        ):
            self.assertEqual(self.run_trial.counts(f"{LINE}\nRan 9 tests in 1.0s\n\n{summary}\n"), counts, summary)

    def test_every_test_is_run_once(self) -> None:
        """The lanes have all modules of tests, each once; what runs again on PostgreSQL is not counted."""
        names = [
            name
            for one_after_the_other in self.run_trial.lanes()
            for lane in one_after_the_other
            if not lane.environment
            for name in lane.tests
        ]
        for path in (CHECKOUT / "tests").rglob("test_*.py"):
            module = ".".join(path.relative_to(CHECKOUT).with_suffix("").parts)
            self.assertEqual([n for n in names if f"{module}.".startswith(f"{n}.")][1:], [], module)
            self.assertTrue(any(f"{module}.".startswith(f"{name}.") for name in names), module)

    def lane(self, *lines: str) -> Any:
        """A lane with one test of these lines, which has run in a folder of its own."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "test_sample.py").write_text(
            "import time, unittest\nclass SampleTests(unittest.TestCase):\n    def test_it(self):\n"
            + "".join(f"        {line}\n" for line in lines)
        )
        self.run_trial.ROOT = folder
        return self.run_trial.Lane("sample", ["test_sample"], environment={"PYTHONPATH": str(folder)})

    def test_a_lane(self) -> None:
        """It has trial's status and output, and the reports of what failed are found in it."""
        lane = self.lane("pass")
        self.run_trial.run_all([[lane]])
        self.assertEqual((lane.status, self.run_trial.counts(lane.output)), (0, (1, 0, 0)))
        self.assertEqual(self.run_trial.what_failed(lane.output), [])
        lane = self.lane("self.assertEqual('left', 'right')")
        self.run_trial.run_all([[lane]])
        self.assertEqual((lane.status, self.run_trial.counts(lane.output)), (1, (0, 1, 0)))
        (report,) = self.run_trial.what_failed(lane.output)
        self.assertIn("'left' != 'right'", report)
        line = self.run_trial.in_a_line(report)
        self.assertTrue(line.startswith("test_sample.SampleTests.test_it: "), line)
        self.assertIn("AssertionError: 'left' != 'right'", line)

    def test_left_over(self) -> None:
        """A process that a test has left behind, and that holds trial's output, holds up nothing, and is ended."""
        lane = self.lane("import subprocess", "print('left', subprocess.Popen(['sleep', '600']).pid)")
        self.run_trial.run_all([[lane]])
        self.assertEqual(self.run_trial.counts(lane.output), (1, 0, 0))
        pid = int(lane.output.partition("left ")[2].split()[0])
        deadline = time.monotonic() + 30
        while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
            self.assertLess(time.monotonic(), deadline)

    def test_late(self) -> None:
        """A lane that does not end is interrupted, and tells at what; what would have come after it does not begin."""
        lane, next_lane = self.lane("print('I sleep', flush=True)", "time.sleep(600)"), self.run_trial.Lane("next", [])
        self.run_trial.MOST_S = 8.0  # a busy machine takes long to begin
        self.run_trial.run_all([[lane, next_lane]])
        self.assertIn("test_it", lane.output)
        self.assertIn("interrupted after 8.0 s", lane.output)
        for each in (lane, next_lane):
            self.assertNotEqual(each.status, 0)
            self.assertEqual(self.run_trial.counts(each.output)[0], 0)
        self.assertIn("not begun within 8.0 s", next_lane.output)

    def test_skips(self) -> None:
        """A skip that is not listed is named; what is listed, by name or pattern, is not."""
        root = Path(self.mktemp())
        (root / "tests").mkdir(parents=True)
        listed = root / "tests" / "allowed_skips"
        self.run_trial.ROOT = root
        listed.write_text("# why\ntests.storage.test_space.SpaceTests.test_small_disk  needs root\n")
        self.assertEqual(self.run_trial.unlisted_skips(SKIPS), ["tests.storage.test_space.SpaceTests.test_other"])
        listed.write_text("tests.storage.*  needs root\n")
        self.assertEqual(self.run_trial.unlisted_skips(SKIPS), [])
