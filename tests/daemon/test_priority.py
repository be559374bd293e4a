"""A process that boots beside others steps back, and comes forward again."""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._priority import POLITE, may_come_back
from tests.running_cloud import CHECKOUT

OURS = os.getpriority(os.PRIO_PROCESS, 0)
LOWEST = 19
PROGRAM = """
import os, threading
from cloudd.daemon import _priority
if {blind}:
    _priority.may_come_back = lambda: False
os.nice({before})
found = []
_priority.be_polite()
threading.Thread(target=threading.Event().wait, daemon=True).start()
for step in (lambda: None, _priority.be_normal):
    step()
    (nice,) = {{os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in os.listdir("/proc/self/task")}}
    found.append(nice)
print(*found)
"""


class PriorityTests(SynchronousTestCase):
    def found(self, before: int, blind: bool) -> list[int]:
        program = PROGRAM.format(before=before, blind=blind)
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=30)
        return [int(word) for word in done.stdout.split()]

    def test_there_and_back(self) -> None:
        """Where it can come back it goes, with all its threads; where it cannot, it stays."""
        polite = POLITE if may_come_back() else OURS
        self.assertEqual(self.found(0, blind=False), [polite, OURS])
        self.assertEqual(self.found(0, blind=True), [OURS, OURS])

    def test_what_somebody_chose(self) -> None:
        """A priority that was given to the daemon is kept, that of ``nice twistd`` too."""
        for chosen in (5, 10):
            lower = min(OURS + chosen, LOWEST)
            self.assertEqual(self.found(chosen, blind=False), [lower, lower])
