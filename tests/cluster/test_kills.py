"""Which processes are killed."""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from .kills import Target, _parent, _words, kill


class KillTests(SynchronousTestCase):
    def test_killed(self) -> None:
        """With signal 9, alone or with its group; what has ended already is no error."""
        for group in (False, True):
            process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
            self.addCleanup(process.communicate)
            self.assertEqual(_parent(process.pid), os.getpid())
            kill(Target("front", "n1", process.pid, group))
            self.assertEqual(process.wait(10), -9)
            kill(Target("front", "n1", process.pid, group))
            self.assertEqual((_words(process.pid), _parent(process.pid)), ([], 0))
