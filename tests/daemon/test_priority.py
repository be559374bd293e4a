"""A process that boots beside others steps back, and comes forward again."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.running_cloud import CHECKOUT

PROGRAM = """
import os
from cloudd.daemon import _priority
if {blind}:
    _priority._may_come_back = lambda: False
os.nice({before})
found = []
for step in (_priority.be_polite, _priority.be_normal):
    step()
    found.append(os.getpriority(os.PRIO_PROCESS, 0))
print(*found)
"""


class PriorityTests(SynchronousTestCase):
    def found(self, before: int, blind: bool) -> list[int]:
        program = PROGRAM.format(before=before, blind=blind)
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=30)
        return [int(word) for word in done.stdout.split()]

    def test_there_and_back(self) -> None:
        """Where it can come back it goes; where it cannot, it stays."""
        self.assertIn(self.found(0, blind=False), ([10, 0], [0, 0]))
        self.assertEqual(self.found(0, blind=True), [0, 0])

    def test_what_somebody_chose(self) -> None:
        """A priority that was given to the daemon is kept."""
        self.assertEqual(self.found(5, blind=False), [5, 5])
