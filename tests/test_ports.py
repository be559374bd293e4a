"""Tests that run side by side get no port twice."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests import ports
from tests.running_cloud import CHECKOUT

PROGRAM = """
import sys
from tests import ports
ports.random.randrange = lambda *_: next(candidates)
candidates = map(int, sys.argv[1:])
print(ports.free_port(), flush=True)
sys.stdin.read()
"""


class FreePortTests(SynchronousTestCase):
    def test_none_twice_in_a_process(self) -> None:
        given = [ports.free_port() for _ in range(500)]
        self.assertEqual(len(set(given)), 500)

    def test_none_that_another_process_has(self) -> None:
        """Also before a server listens there; when that process has ended it may be given again."""
        mine = ports.free_port()
        more = range(mine + 1, mine + 500)  # tests that run beside this one have some of them
        other = self.process(mine, *more)
        theirs = self.given(other)
        self.assertIn(theirs, more)
        self.assertNotIn(self.given(self.process(mine, theirs, *more)), (mine, theirs))
        other.kill()
        other.wait()
        self.assertEqual(self.given(self.process(mine, theirs, *more)), theirs)

    def process(self, *candidates: int) -> subprocess.Popen[str]:
        """One that is offered these, and keeps what it takes until it ends."""
        command = [sys.executable, "-c", PROGRAM, *map(str, candidates)]
        process = subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def given(self, process: subprocess.Popen[str]) -> int:
        """The port that it got."""
        assert process.stdout is not None
        return int(process.stdout.readline())
