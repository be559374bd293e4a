"""The anchor's side of a loader: what it is started with, and at which priority it boots."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.daemon import _loader_process, _priority
from cloudd.daemon._loader_process import LoaderProcess
from tests.running_cloud import CHECKOUT


class RecordingReactor(Clock):
    """Starts nothing, and notes what it was to start."""

    def __init__(self) -> None:
        super().__init__()
        self.arguments: list[str] = []

    def spawnProcess(self, protocol: Any, executable: str, args: list[str], **more: Any) -> Any:
        self.arguments = args
        return type("Process", (), {"pid": 0})()

    def addReader(self, reader: Any) -> None:
        """Nothing is ever read."""

    removeReader = addReader


def make_loader(over: Any, *, polite: bool) -> LoaderProcess:
    """A loader of this checkout, which preloads nothing."""
    return LoaderProcess(over, CHECKOUT, sys.executable, 0, polite, False, None, lambda *_: None, lambda: None)


def nice_of(pid: int) -> int:
    """The priority of a process; 0: of this one."""
    return os.getpriority(os.PRIO_PROCESS, pid)


def session_nice_of(pid: str) -> int:
    """The priority of a process's session, where the kernel shares among sessions."""
    group = Path(f"/proc/{pid}/autogroup")
    return int(group.read_text().split()[-1]) if group.exists() else 0


class ArgumentsTests(SynchronousTestCase):
    def arguments(self, *, polite: bool) -> list[str]:
        over = RecordingReactor()
        loader = make_loader(over, polite=polite)
        loader.start({})
        loader.end()
        self.assertEqual(over.getDelayedCalls(), [])
        return over.arguments

    def test_priority(self) -> None:
        """A loader that boots beside those who serve is told to step back, any other is not."""
        self.assertIn("polite", self.arguments(polite=True))
        self.assertNotIn("polite", self.arguments(polite=False))


class PriorityTests(TestCase):
    async def pause(self) -> None:
        await deferLater(cast(Any, reactor), 0.02, lambda: None)

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            await self.pause()

    async def test_there_and_back(self) -> None:
        """It boots politely where it can come back, and comes back with its session."""
        self.patch(_loader_process, "POLITE_S", 3600.0)
        loader = make_loader(reactor, polite=True)
        loader.start(os.environ)
        try:
            await self.wait_for(lambda: loader.boot_seconds > 0)
            self.assertEqual(nice_of(loader.pid), _priority.POLITE if _priority.may_come_back() else nice_of(0))
            loader.hasten()
            self.assertEqual(nice_of(loader.pid), nice_of(0))
            self.assertLessEqual(session_nice_of(str(loader.pid)), session_nice_of("self"))
        finally:
            await loader.end()

    async def test_not_for_long(self) -> None:
        """After its time it goes on as all others do, also where it has not booted."""
        self.patch(_loader_process, "POLITE_S", 0.3)
        loader = make_loader(reactor, polite=True)
        loader.start(os.environ)
        try:
            await self.wait_for(lambda: not loader.is_polite)
            self.assertEqual(nice_of(loader.pid), nice_of(0))
        finally:
            await loader.end()
