"""Where a libvirtd is, and whether it answers: with sockets that take connections and say nothing."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from shutil import rmtree

from twisted.trial.unittest import SynchronousTestCase

from cloudd.hypervisor._place import logs_of, silence_of, socket_of


class PlaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cloudd-place-"))  # short enough for a socket
        self.addCleanup(rmtree, self.folder)
        self.place = self.folder / "run/libvirt-sock"
        self.uri = f"qemu+unix:///system?socket={self.place}"
        self.place.parent.mkdir()

    def test_read_from_the_uri(self) -> None:
        self.assertEqual(socket_of(self.uri), self.place)
        self.assertIsNone(socket_of("test:///default"))
        self.assertIsNone(logs_of("test:///default"))
        self.assertEqual(logs_of(self.uri), self.folder / "log/qemu")

    def test_silent(self) -> None:
        """One that takes connections and does nothing is told from one that is not there, which libvirt finds out."""
        self.assertEqual(silence_of(self.uri, 0.2), "")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self.place))
            listening.listen()
            self.assertIn("0.2 s", silence_of(self.uri, 0.2))
        os.unlink(self.place)
