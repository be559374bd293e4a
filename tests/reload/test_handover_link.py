"""The socket between the two processes, driven by hand: no reactor runs."""

from __future__ import annotations

import os
import resource
import socket
from typing import Any

from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reload._handover_frames import Frame, close_all
from reload._handover_link import Link, link_pair


class Reactor:
    """Remembers who wants what."""

    def __init__(self) -> None:
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        self.addReader, self.addWriter = self.readers.add, self.writers.add
        self.removeReader, self.removeWriter = self.readers.discard, self.writers.discard


class Receiver:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.heard: list[str] = []

    def frame_received(self, frame: Frame) -> None:
        self.frames.append(frame)

    def link_broken(self, cause: str) -> None:
        self.heard.append("broken")

    def link_ended(self, cause: str) -> None:
        self.heard.append(f"ended: {cause}")


class LinkTests(SynchronousTestCase):
    """``Link``."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        ends = link_pair()
        self.one, self.two = (Link(self.reactor, end) for end in ends)
        self.other_end = ends[1]
        self.receivers = Receiver(), Receiver()
        self.one.start(self.receivers[0])
        self.two.start(self.receivers[1])
        self.addCleanup(self.one.close)
        self.addCleanup(self.two.close)
        self.got = self.receivers[1].frames
        self.addCleanup(lambda: close_all(number for frame in self.got for number in frame.descriptors))

    def pump(self) -> None:
        """Whatever can happen."""
        for _ in range(200):
            for link in list(self.reactor.writers):
                link.doWrite()
            if self.two in self.reactor.readers:
                self.two.doRead()

    def test_interface(self) -> None:
        """A reactor can drive it."""
        verifyObject(IReadWriteDescriptor, self.one)
        self.assertEqual(self.one.logPrefix(), "handover-link")
        self.assertFalse(os.get_inheritable(self.one.fileno()))

    def test_frame_with_descriptors(self) -> None:
        """A frame arrives with duplicates of the descriptors, which children do not inherit."""
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        self.one.send(b"payload", (write,))
        os.close(write)
        self.two.doRead()
        (frame,) = self.got
        self.assertEqual((frame.payload, frame.announced), (b"payload", 1))
        self.assertFalse(os.get_inheritable(frame.descriptors[0]))
        os.write(frame.descriptors[0], b"through")
        self.assertEqual(os.read(read, 10), b"through")

    def test_more_than_fits(self) -> None:
        """What the socket has no room for waits, with its descriptors, which may be closed meanwhile."""
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        for number in range(30):
            self.one.send(b"%d" % number * 500_000, (write,))
        os.close(write)
        self.assertIn(self.one, self.reactor.writers)
        self.pump()
        self.assertEqual([frame.payload[:2] for frame in self.got[10:]], [b"%d" % number for number in range(10, 30)])
        self.assertEqual([len(frame.descriptors) for frame in self.got], [1] * 30)
        self.assertNotIn(self.one, self.reactor.writers)

    def test_no_descriptors_left(self) -> None:
        """A receiver that can open no more gets the frame with the first of them; the next frame is whole."""
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        self.addCleanup(os.close, write)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.one.send(b"three", (write, write, write))
        self.one.send(b"two", (write, write))
        used = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        try:
            while True:
                used.append(os.dup(read))
        except OSError:
            os.close(used.pop())
        finally:
            self.two.doRead()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            close_all(used)
        self.two.doRead()
        counts = [(frame.payload, len(frame.descriptors), frame.announced) for frame in self.got]
        self.assertEqual(counts, [(b"three", 1, 3), (b"two", 2, 2)])

    def test_end(self) -> None:
        """Closing one end is heard once at the other, after what was sent before."""
        self.one.send(b"last words", ())
        self.one.close()
        self.one.close()
        self.one.send(b"too late", ())
        self.pump()
        self.assertEqual([frame.payload for frame in self.got], [b"last words"])
        self.assertEqual(self.receivers[1].heard, ["ended: the link was closed"])
        self.assertEqual((self.reactor.readers, self.two.fileno()), (set(), -1))
        self.assertEqual(self.receivers[0].heard, [])

    def test_dead_reader(self) -> None:
        """Sending to a dead process does nothing; its end is heard where its last words are read."""
        self.two.send(b"goodbye", ())
        self.two.close()
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        self.addCleanup(os.close, write)
        for _ in range(20):
            self.one.send(b"x" * 1_000_000, (write,))
        self.assertEqual(self.receivers[0].heard, [])
        self.one.doRead()
        self.one.doRead()
        self.assertEqual([frame.payload for frame in self.receivers[0].frames], [b"goodbye"])
        self.assertEqual(len(self.receivers[0].heard), 1)

    def test_truncated(self) -> None:
        """The end in the middle of a frame is told so, and its descriptors are closed."""
        before = len(os.listdir("/proc/self/fd"))
        read, write = os.pipe()
        socket.send_fds(self.one._socket, [b"hov1\x00\x00\x00\x09\x00\x01par"], [write])
        os.close(read)
        os.close(write)
        self.one.close()
        self.pump()
        self.assertEqual(self.receivers[1].heard, ["ended: the link was closed within a frame"])
        self.assertEqual(len(os.listdir("/proc/self/fd")), before - 2)

    def test_garbage(self) -> None:
        """Garbage is heard of once; after that only the end is."""
        read, write = os.pipe()
        self.one._socket.send(b"GET / HTTP/1.1\r\n")
        self.two.doRead()
        socket.send_fds(self.one._socket, [b"more"], [write])
        os.close(read)
        os.close(write)
        before = len(os.listdir("/proc/self/fd"))
        self.two.doRead()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
        self.assertEqual(self.receivers[1].heard, ["broken"])
        self.one.close()
        self.pump()
        self.assertEqual(self.receivers[1].heard, ["broken", "ended: the link was closed"])

    def test_nothing_to_read(self) -> None:
        """A wake-up without a reason is nothing."""
        self.two.doRead()
        self.assertEqual((self.got, self.receivers[1].heard), ([], []))

    def test_reactor_stops(self) -> None:
        """The end of the reactor is the end of the link."""
        self.two.connectionLost(Failure(ConnectionError("stopped")))
        self.assertEqual(self.receivers[1].heard, ["ended: stopped"])
