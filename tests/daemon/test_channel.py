"""The channel: messages with descriptors between processes."""

from __future__ import annotations

import os

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._channel import ChannelClosed, Exited, Fork, Forked, ForkFailed, channel_pair, receive, send


class ChannelTests(SynchronousTestCase):
    def test_messages_keep_their_borders_and_descriptors(self) -> None:
        """Messages arrive whole and in order; a descriptor arrives as another number of the same file."""
        near, far = channel_pair()
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        reading, writing = os.pipe()
        fork = Fork(1, msgspec.Raw(b'{"name":"front-1"}'))
        send(near, fork, [writing])
        for message in (Forked(1, 77), ForkFailed(2, "no"), Exited(1, -9)):
            send(near, message)
        os.close(writing)
        received, descriptors = receive(far)
        assert isinstance(received, Fork)
        self.assertEqual(bytes(received.spec), b'{"name":"front-1"}')
        os.write(descriptors[0], b"x")
        self.assertEqual(os.read(reading, 1), b"x")
        self.assertFalse(os.get_inheritable(descriptors[0]))
        os.close(descriptors[0])
        os.close(reading)
        self.assertEqual([receive(far)[0] for _ in range(3)], [Forked(1, 77), ForkFailed(2, "no"), Exited(1, -9)])

    def test_the_other_end_has_gone(self) -> None:
        """Both directions tell."""
        near, far = channel_pair()
        far.close()
        self.assertRaises(ChannelClosed, receive, near)
        self.assertRaises(ChannelClosed, send, near, Exited(1, 0))
        near.close()

    def test_nothing_there(self) -> None:
        """A channel that does not block says so."""
        near, far = channel_pair()
        near.setblocking(False)
        self.assertRaises(BlockingIOError, receive, near)
        near.close()
        far.close()
