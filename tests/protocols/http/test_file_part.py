"""Parts of large files: sent whole, and announced to the kernel where they are not in memory."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from threading import Thread
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.http import _transport
from cloudd.protocols.http._transport import FilePart

SIZE = 9_000_000
START = 1_000


class Sent:
    """As much of a request as a part looks at."""

    sent_bytes = 0


class FilePartTests(SynchronousTestCase):
    def setUp(self) -> None:
        path = Path(self.mktemp())
        self.content = os.urandom(SIZE)
        path.write_bytes(self.content)
        self.descriptor = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, self.descriptor)
        self.announced: list[tuple[int, int]] = []
        self.patch(os, "posix_fadvise", self.announce)

    def announce(self, _descriptor: int, offset: int, length: int, _advice: int) -> None:
        self.announced.append((offset, length))

    def send(self) -> bytes:
        """What arrives of all but the first bytes."""
        ours, theirs = socket.socketpair()
        got = bytearray()

        def receive() -> None:
            while data := theirs.recv(1_000_000):
                got.extend(data)

        thread = Thread(target=receive)
        thread.start()
        request: Any = Sent()
        part = FilePart(request, self.descriptor, START, SIZE - START)
        while part.left:
            part.send(ours.fileno())
        ours.close()
        thread.join()
        theirs.close()
        self.assertEqual(request.sent_bytes, SIZE - START)
        return bytes(got)

    def test_in_memory(self) -> None:
        """Nothing is announced: it was just written."""
        self.assertEqual(self.send(), self.content[START:])
        self.assertEqual(self.announced, [])

    def test_not_in_memory(self) -> None:
        """All is announced, in order and once, but for an end that one event sends."""

        def not_there(*_: object) -> int:
            raise BlockingIOError

        self.patch(os, "preadv", not_there)
        self.assertEqual(self.send(), self.content[START:])
        ends = START
        for offset, length in self.announced:
            self.assertEqual(offset, ends)
            ends += length
        self.assertLessEqual(ends, SIZE)
        self.assertGreater(ends, SIZE - _transport._WINDOW_BYTES)
