"""The worker's threads share few heaps."""

from __future__ import annotations

import platform
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._threads import HEAPS

SCRIPT = """
import ctypes, sys, threading
from cloudd.daemon._threads import use_few_heaps
print(use_few_heaps())
gate = threading.Barrier(9)
malloc = ctypes.CDLL(None).malloc
def take():
    malloc(100_000)
    gate.wait(20)
for _ in range(8):
    threading.Thread(target=take).start()
gate.wait(20)
sys.stdout.flush()
ctypes.CDLL(None).malloc_stats()
"""


class HeapTests(SynchronousTestCase):
    def test_how_many_there_are(self) -> None:
        """However many threads allocate; the C library is asked, in a process of its own."""
        done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True)
        if platform.libc_ver()[0] != "glibc":
            self.assertEqual(done.stdout, "False\n")
            return
        self.assertEqual(done.stdout, "True\n")
        self.assertLessEqual(done.stderr.count("Arena "), HEAPS)
