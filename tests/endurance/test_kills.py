"""kill -9 of the whole daemon or of its workers: what was acknowledged is there, and nothing else is."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing

from twisted.trial.unittest import SynchronousTestCase

from bench.durability import arguments, measure
from bench.swap import log_in, put
from cloudd.cli._client import ControlClient
from tests.running_cloud import RunningCloud


class KillsUnderLoad(SynchronousTestCase):
    def test_acknowledged_objects_outlive_kills(self) -> None:
        """1,000 objects written while the daemon is killed 20 times: none lost, corrupt or orphaned."""
        found = measure(arguments([]))
        self.assertGreaterEqual(found["acknowledged"], 1000)
        self.assertEqual(found["kills"], 20)
        self.assertEqual((found["lost"], found["corrupt"], found["orphans"], found["refused"]), (0, 0, 0, []))


class WorkersThatEnd(SynchronousTestCase):
    def test_objects_outlive_workers(self) -> None:
        """Objects written while workers end one by one, in order or killed, are there after the daemon's restart."""
        cloud = RunningCloud("[workers]\nfront = 2\n")
        self.addCleanup(cloud.remove)
        cloud.start()
        control = ControlClient(cloud.state)
        token, account = log_in(cloud)
        put(cloud, f"{account}/c", token, b"")
        written = []
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for position in range(3):
                worker = control.status().workers[position]
                os.kill(worker.pid, sign)
                deadline = time.monotonic() + 30
                while not all(each.ready and each.pid != worker.pid for each in control.status().workers):
                    self.assertLess(time.monotonic(), deadline, cloud.log())
                    time.sleep(0.05)
                for number in range(4):  # a connection each, so that every front gets some
                    written.append(f"{sign.name}-{position}-{number}")
                    put(cloud, f"{account}/c/{written[-1]}", token, b"x")
        cloud.stop()
        with closing(sqlite3.connect(cloud.state / "objects.sqlite")) as index:
            self.assertEqual(index.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            self.assertEqual([name for (name,) in index.execute("SELECT name FROM objects")], sorted(written))
