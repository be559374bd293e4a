"""
The control socket itself: the one place where these tests need the kernel, for file modes and peer credentials.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.control import SocketError, bind_control
from cloudd.protocols.control._listening import peer_credentials


class SocketTests(SynchronousTestCase):
    def setUp(self) -> None:
        # trial's own folders are too deep for a socket's path
        self.folder = Path(tempfile.mkdtemp(prefix="cloudd-test-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def test_only_its_owner_may_use_it(self) -> None:
        """Mode 0600 from the first moment, whatever the process's umask, which stays as it was."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        listener = bind_control(self.folder / "control.sock")
        self.addCleanup(listener.close)
        self.assertEqual(stat.S_IMODE((self.folder / "control.sock").stat().st_mode), 0o600)
        self.assertEqual(os.umask(0), 0)
        self.assertFalse(listener.getblocking())

    def test_what_a_killed_daemon_left_is_replaced(self) -> None:
        """A second bind on the same path succeeds."""
        bind_control(self.folder / "control.sock").close()
        bind_control(self.folder / "control.sock").close()

    def test_reasons(self) -> None:
        """A path that is too long, and a folder that is not there, are told in words."""
        error = self.assertRaises(SocketError, bind_control, self.folder / ("x" * 100) / "control.sock")
        self.assertIn("longer than 107 bytes", str(error))
        error = self.assertRaises(SocketError, bind_control, self.folder / "absent" / "control.sock")
        self.assertIn("No such file", str(error))

    def test_credentials_are_the_kernels(self) -> None:
        """The other end of a pair is this very process."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)

        class Transport:
            getHandle = staticmethod(lambda: ours)

        self.assertEqual(peer_credentials(Transport()), (os.getuid(), os.getpid()))
