"""The example of a swap does what it shows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

EXAMPLES = Path(__file__).parent.parent.parent / "docs" / "examples"
TIMEOUT_S = 60


class SwapExampleTests(SynchronousTestCase):
    def test_show(self) -> None:
        """Old and new code answer on one connection, state goes along, old code is freed, bad code is kept out."""
        environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent.parent)}
        shown = subprocess.run(
            [sys.executable, str(EXAMPLES / "show_swap.py")],
            capture_output=True,
            text=True,
            env=environment,
            timeout=TIMEOUT_S,
            check=False,
        )
        self.assertEqual(shown.returncode, 0, shown.stderr)
        for text in (
            "before: good day Ann, line 1",
            "generation 1 is freed",
            "new code: hello Ann, line 2",
            "kept: ZeroDivisionError",
            "changes nothing: hello Ann, line 3",
        ):
            self.assertIn(text, shown.stdout)
