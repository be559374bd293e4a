"""
A cloud of three hosts: it stands what is quick to play; all faults are played by ``python -m bench.cluster faults``.

One cloud for all tests of this module, since each fault leaves it well.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from . import faults
from .clients import Clients
from .cloud import Cluster
from .history import History, judge
from .kills import Killer
from .test_hosts import needs_root

KILLS = 8


class FaultTests(SynchronousTestCase):
    def setUp(self) -> None:
        needs_root()
        self.cluster = Cluster(with_broker=False)
        self.addCleanup(self.cluster.remove)
        self.cluster.make()
        self.cluster.start()

    def play(self, fault: Callable[[Cluster], faults.Figures]) -> faults.Played:
        played = faults.play(self.cluster, fault, Path(self.mktemp()))
        self.assertTrue(played.is_good, played.told())
        self.assertGreater(played.verdict.counts["tasks_done"], 0)
        return played

    def test_faults(self) -> None:
        """A host without power, a database that is restarted, and processes of all kinds that are killed."""
        others = self.play(faults.power_cut).silence_s
        self.assertLess(others["n1"], 10)
        self.play(faults.servers_restarted)
        self.kill()

    def kill(self) -> None:
        history = History(Path(self.mktemp()))
        clients = Clients(self.cluster, history, wanted=60, records=False)
        killer = Killer(self.cluster, random.Random(1))
        clients.start()
        for _ in range(KILLS):
            self.assertIsNotNone(killer.kill_one())
            until = time.monotonic() + 1
            while time.monotonic() < until:
                self.cluster.tend()
                time.sleep(0.05)
        self.tended(lambda: clients.is_done, "60 orders were accepted")
        clients.stop()
        self.tended(lambda: self.cluster.count_open() == 0, "all tasks have ended")
        verdict = judge(history.entries, self.cluster.ending_of(history.entries))
        self.assertTrue(verdict.is_good, verdict.told())
        self.assertGreaterEqual(verdict.counts["outcomes"], 60)
        self.assertGreater(len(killer.killed), 2)

    def tended(self, condition: Callable[[], bool], what: str) -> None:
        """Until something is so; what has ended is started again meanwhile."""

        def look() -> bool:
            self.cluster.tend()
            return condition()

        self.cluster.wait(look, what)
