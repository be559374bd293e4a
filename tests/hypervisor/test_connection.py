"""The kernel's connection to libvirt: with libvirt's own simulated hypervisor, and with a libvirtd that is killed."""

from __future__ import annotations

import gc
import os
import signal
import threading
import weakref
from pathlib import Path
from typing import Any

import libvirt
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from cloudd.daemon._threads import WorkerThreads
from cloudd.hypervisor import DomainChange, Hypervisor, HypervisorAway
from tests.hypervisor.own_libvirt import OwnLibvirt


def names(connection: Any) -> list[str]:
    return [domain.name() for domain in connection.listAllDomains()]


class Observer:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.changes: list[DomainChange] = []
        self.connections = 0
        self.next: Deferred[None] = Deferred()

    def changed(self, change: DomainChange) -> None:
        self.changes.append(change)
        self._fire()

    def connected(self) -> None:
        self.connections += 1
        self._fire()

    def _fire(self) -> None:
        waiting, self.next = self.next, Deferred()
        waiting.callback(None)


class HypervisorCase(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.threads = WorkerThreads(reactor, 4)
        self.threads.start()
        self.addCleanup(self.threads.stop)

    def make(self, uri: str, **facts: float) -> Hypervisor:
        hypervisor = Hypervisor(reactor, uri, self.threads, **facts)
        self.addCleanup(hypervisor.stop)
        return hypervisor


class SimulatedTests(HypervisorCase):
    """libvirt's ``test`` driver, which lives in this process."""

    async def test_calls_in_threads(self) -> None:
        hypervisor = self.make("test:///default")
        await hypervisor.start()
        self.assertEqual(hypervisor.away, "")
        self.assertEqual(await hypervisor.call(names), ["test"])
        self.assertIsNot(await hypervisor.call(lambda _: threading.current_thread()), threading.current_thread())

    async def test_errors_of_a_call_are_its_own(self) -> None:
        """They say nothing of the connection."""
        hypervisor = self.make("test:///default")
        await hypervisor.start()
        with self.assertRaises(libvirt.libvirtError):
            await hypervisor.call(lambda connection: connection.lookupByName("nobody"))
        self.assertEqual(hypervisor.away, "")

    async def test_changes_come_by_the_reactor(self) -> None:
        hypervisor, observer = self.make("test:///default"), Observer()
        await hypervisor.start()
        watch = hypervisor.observe(observer.changed, observer.connected)
        self.assertEqual(observer.connections, 1)
        told = observer.next
        await hypervisor.call(lambda connection: connection.lookupByName("test").suspend())
        await told
        change = observer.changes[0]
        self.assertEqual((change.name, change.event), ("test", libvirt.VIR_DOMAIN_EVENT_SUSPENDED))
        watch.end()

    async def test_nothing_is_kept_of_an_observer(self) -> None:
        """Code that goes would stay in memory for ever else."""
        hypervisor, observer = self.make("test:///default"), Observer()
        await hypervisor.start()
        watch = hypervisor.observe(observer.changed, observer.connected)
        gone = weakref.ref(observer)
        watch.end()
        watch.end()
        del observer, watch
        gc.collect()
        self.assertIsNone(gone())

    async def test_before_and_after(self) -> None:
        """Without a connection calls fail with a cause, and it may be started again."""
        hypervisor = self.make("test:///default")
        with self.assertRaises(HypervisorAway):
            await hypervisor.call(names)
        await hypervisor.start()
        await hypervisor.stop()
        with self.assertRaises(HypervisorAway):
            await hypervisor.call(names)
        await hypervisor.start()
        self.assertEqual(await hypervisor.call(names), ["test"])

    async def test_nobody_there(self) -> None:
        """The cause names where it was looked for, and the next step."""
        hypervisor = self.make(f"qemu+unix:///system?socket={Path(self.mktemp()).resolve()}")
        await hypervisor.start()
        with self.assertRaises(HypervisorAway) as caught:
            await hypervisor.call(names)
        self.assertIn(hypervisor.uri, caught.exception.cause)
        self.assertIn("script/libvirt", caught.exception.next_step)


class DaemonTests(HypervisorCase):
    """A libvirtd in another process."""

    async def test_comes_back(self) -> None:
        """Killed, stopped and started: calls fail with a cause meanwhile, and go on by themselves after."""
        own = OwnLibvirt()
        self.addCleanup(own.remove)
        hypervisor, observer = self.make(own.uri), Observer()
        await hypervisor.start()
        self.assertNotEqual(hypervisor.away, "")
        hypervisor.observe(observer.changed, observer.connected)
        told = observer.next
        await self.threads.run(own.start)
        await told
        self.assertEqual(await hypervisor.call(names), [])

        told = observer.next
        os.kill(own.pid("libvirtd"), signal.SIGKILL)
        await told  # by the keeper
        self.assertEqual(await hypervisor.call(names), [])

        await self.threads.run(own.stop)
        while not hypervisor.away:
            await deferLater(reactor, 0.02)
        with self.assertRaises(HypervisorAway):
            await hypervisor.call(names)
        told = observer.next
        await self.threads.run(own.start)
        await told
        self.assertEqual(await hypervisor.call(names), [])
        self.assertEqual(observer.connections, 3)

    async def test_hangs(self) -> None:
        """One that takes connections and says nothing is away: calls, a start and a stop end all the same."""
        own = OwnLibvirt()
        self.addCleanup(own.remove)
        await self.threads.run(own.start)
        stopped, calls, starts = (self.make(own.uri, patience_s=2) for _ in range(3))
        for hypervisor in (stopped, calls):
            await hypervisor.start()
        observer = Observer()
        calls.observe(observer.changed, observer.connected)
        process = own.pid("libvirtd")
        os.kill(process, signal.SIGSTOP)
        self.addCleanup(os.kill, process, signal.SIGCONT)
        await stopped.stop()
        with self.assertRaises(HypervisorAway):
            await calls.call(names)
        await starts.start()
        with self.assertRaises(HypervisorAway) as caught:
            await starts.call(names)
        self.assertIn("says nothing", caught.exception.cause)
        await starts.stop()
        told = observer.next
        os.kill(process, signal.SIGCONT)
        await told
        self.assertEqual(await calls.call(names), [])
