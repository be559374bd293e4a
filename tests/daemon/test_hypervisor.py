"""The way to the hypervisor that the kernel lends: who gets one, and whether somebody is behind its socket."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

from attrs import evolve
from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.daemon._hypervisor import LentHypervisor, hypervisor_of
from cloudd.interfaces.settings import ComputeSettings, Settings

SETTINGS = Settings(state=Path("/nowhere"))


class WhoTests(SynchronousTestCase):
    def test_who(self) -> None:
        """The worker that runs guests, where libvirt may be what does."""
        found = {
            (role, driver): hypervisor_of(role, evolve(SETTINGS, compute=ComputeSettings(driver=driver)), reactor)
            is not None
            for role in ("front", "agent", "all")
            for driver in ("auto", "libvirt", "simulated", "none")
        }
        wanted = {key for key, lent in found.items() if lent}
        self.assertEqual(wanted, {(role, driver) for role in ("agent", "all") for driver in ("auto", "libvirt")})


class ListenTests(TestCase):
    def test_listens(self) -> None:
        """By its socket, without libvirt-python; what has none may be there."""
        folder = tempfile.TemporaryDirectory()  # a path of a socket is short
        self.addCleanup(folder.cleanup)
        place = f"{folder.name}/s"
        lent = LentHypervisor(reactor, f"qemu+unix:///system?socket={place}")
        self.assertFalse(lent.listens())
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(place)
            self.assertFalse(lent.listens())
            listening.listen(1)
            self.assertTrue(lent.listens())
        self.assertFalse(lent.listens())
        self.assertTrue(LentHypervisor(reactor, "test:///default").listens())

    async def test_close(self) -> None:
        """Nothing that was not asked for is there to be ended; what was is."""
        lent = LentHypervisor(reactor, "qemu:///system")
        await lent.close()
        threads = lent.slow()
        self.assertEqual(await threads.run(int, "7"), 7)
        await lent.close()
