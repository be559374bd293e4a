"""Messages with descriptors, and who is at the other end."""

from __future__ import annotations

import os
import socket

from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._passing import close_descriptors, peer_of, receive_with_descriptors


class PassingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(self.ours.close)
        self.addCleanup(self.theirs.close)

    def test_with_descriptors(self) -> None:
        """They come with their message, and are not inherited."""
        read, write = os.pipe()
        socket.send_fds(self.theirs, [b"two"], [read, write])
        close_descriptors([read, write])
        self.theirs.send(b"none")
        data, descriptors = receive_with_descriptors(self.ours, 100, 4)
        self.assertEqual((data, len(descriptors)), (b"two", 2))
        self.assertEqual([os.get_inheritable(descriptor) for descriptor in descriptors], [False, False])
        os.write(descriptors[1], b"through")
        self.assertEqual(os.read(descriptors[0], 100), b"through")
        close_descriptors(descriptors)
        self.assertRaises(OSError, os.fstat, descriptors[0])
        self.assertEqual(receive_with_descriptors(self.ours, 100, 4), (b"none", []))

    def test_nothing_there(self) -> None:
        """A socket that does not block says so; an end is an empty message."""
        self.ours.setblocking(False)
        self.assertRaises(BlockingIOError, receive_with_descriptors, self.ours, 100, 4)
        self.theirs.close()
        self.assertEqual(receive_with_descriptors(self.ours, 100, 4), (b"", []))

    def test_peer(self) -> None:
        """The kernel knows who is there."""
        self.assertEqual(peer_of(self.ours), (os.getpid(), os.geteuid()))
