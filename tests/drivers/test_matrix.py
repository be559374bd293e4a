"""The support matrix tells what the contract's tests have told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.contracts.server_driver import MINIMUM, ServerDriverContract
from tests.contracts.server_driver_matrix import DRIVERS, contract_tests, page, read

ROOT = Path(__file__).resolve().parent.parent.parent


class MatrixTests(SynchronousTestCase):
    def test_complete(self) -> None:
        """What is committed is of all tests that there are: else run the module with the driver's name."""
        results = read()
        self.assertEqual(set(results["simulated"]), set(contract_tests()))
        self.assertEqual(set(results["simulated"].values()), {"passed"})
        self.assertLessEqual(set(results), set(DRIVERS))
        for driver in results:
            self.assertLessEqual(set(results[driver]), set(contract_tests()), driver)

    def test_minimum(self) -> None:
        """What is needed is tested, and each test says what it checks in one line."""
        self.assertLessEqual(MINIMUM, set(contract_tests()))
        for name in contract_tests():
            told = getattr(ServerDriverContract, name).__doc__
            self.assertTrue(told and "\n" not in told.strip() and "|" not in told, name)

    def test_page(self) -> None:
        """A line for each test, a column for each driver; what was not run is not said to pass."""
        lines = page({"b": {"test_life": "failed"}, "a": {"test_life": "passed"}}).split("\n")
        self.assertEqual(lines[0], "| Fact | Needed | a | b |")
        self.assertEqual(len(lines), 2 + len(contract_tests()))
        (life,) = [line for line in lines if line.startswith("| `life`")]
        self.assertTrue(life.endswith("| yes | passed | failed |"), life)
        self.assertIn("not run", lines[2])

    def test_unknown(self) -> None:
        words = [sys.executable, "-m", "tests.contracts.server_driver_matrix", "xen"]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("xen", done.stderr)
