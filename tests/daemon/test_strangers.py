"""Children that nobody waits for."""

from __future__ import annotations

import os
import time
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._strangers import LOOK_S, StrangerReaper


class StrangerTests(SynchronousTestCase):
    def child(self) -> int:
        """One that has ended."""
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)
        return pid

    def test_reaped_at_the_second_look(self) -> None:
        """Until then whoever has started it may ask for it."""
        clock, pid = Clock(), self.child()
        reaper = StrangerReaper(clock)
        reaper.start()
        self.assertTrue(Path(f"/proc/{pid}").exists())
        clock.advance(LOOK_S)
        self.assertFalse(Path(f"/proc/{pid}").exists())
        reaper.stop()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_one_that_somebody_waits_for(self) -> None:
        """It is left to who does."""
        clock, pid = Clock(), self.child()
        reaper = StrangerReaper(clock)
        reaper.start()
        self.assertEqual(os.waitpid(pid, 0)[0], pid)
        clock.advance(LOOK_S)
        reaper.stop()

    def test_no_children(self) -> None:
        """There is nothing to do."""
        StrangerReaper(Clock()).look()
