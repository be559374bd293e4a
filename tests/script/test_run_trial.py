"""What ``script/run_trial`` makes of trial's output."""

from __future__ import annotations

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
        """What runs one at a time and what runs side by side are all packages and modules of tests."""
        alone, others = self.run_trial.split()
        self.assertEqual(alone, ["tests.daemon", "tests.endurance"])
        files = (CHECKOUT / "tests").rglob("test_*.py")
        tops = {path.relative_to(CHECKOUT / "tests").with_suffix("").parts[0] for path in files}
        self.assertEqual(sorted(alone + others), sorted(f"tests.{top}" for top in tops))

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
