"""Threads share few heaps, and what is free goes back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._heaps import HEAPS

SCRIPT = """
import ctypes, sys, threading
from cloudd.daemon._heaps import use_few_heaps
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

GIVE_BACK = """
from cloudd.daemon._heaps import give_back
def pages():
    return int(open("/proc/self/statm").read().split()[1])
strings = [b"%d" % number * 250 for number in range(20_000)]
kept = strings[::1000]
full = pages()
del strings
before = pages()
print(give_back(), full - before, before - pages())
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

    def test_what_is_free_goes_back(self) -> None:
        """Free memory between what is in use, which the C library would keep."""
        done = subprocess.run([sys.executable, "-c", GIVE_BACK], capture_output=True, text=True, timeout=60, check=True)
        given, _by_itself, pages = done.stdout.split()
        if platform.libc_ver()[0] != "glibc":
            self.assertEqual(given, "False")
            return
        self.assertEqual(given, "True")
        self.assertGreater(int(pages), 1000)
