"""Threads leave to the reactor what is the reactor's."""

from __future__ import annotations

import signal
from pathlib import Path

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from cloudd.daemon._threads import WorkerThreads


def held_back() -> int:
    """Mask of the signals that this thread does not take."""
    status = Path("/proc/thread-self/status").read_text()
    return int(status.split("SigBlk:")[1].split()[0], 16)


class ThreadsTests(TestCase):
    async def test_signals(self) -> None:
        """Those that stop the daemon reach no thread of the pool: one that it took would be lost over an exec."""
        threads = WorkerThreads(reactor, 2)
        threads.start()
        try:
            mask = await threads.run(held_back)
        finally:
            threads.stop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self.assertTrue(mask >> number - 1 & 1, number)
            self.assertFalse(held_back() >> number - 1 & 1, number)

    async def test_again(self) -> None:
        """Threads that were ended can be started again, as where the anchor's exec fails."""
        threads = WorkerThreads(reactor, 2)
        for _ in range(3):
            threads.start()
            try:
                self.assertEqual(await threads.run(len, "abc"), 3)
                self.assertEqual(threads.backlog(), 0)
            finally:
                threads.stop()
