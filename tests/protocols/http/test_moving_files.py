"""One download through sendfile that is moved again and again, wherever the kernel has just come to."""

from __future__ import annotations

import contextlib
import os
import random
import socket

from cloudd.protocols.http import HTTPAdopter, MovableHTTP, Request, http_kinds

from .conversation import TEXT, get
from .test_sockets import BIG, SocketCase


class MovingFileTests(SocketCase):
    """``MovableHTTP`` and ``HTTPAdopter`` on real sockets, in one process."""

    def setUp(self) -> None:
        super().setUp()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 50_000)
        self.abandoned = 0
        self.site.handler = self.answer

    async def answer(self, request: Request) -> None:
        if request.resumed is None:
            descriptor = os.dup(self.file.fileno())
            request.start(200, [TEXT], BIG)
        else:
            (descriptor,) = request.resumed_descriptors

        def abandon() -> None:
            self.abandoned += 1

        request.can_move(dict, abandon, lambda: (descriptor,))
        try:
            await request.send_file(descriptor, request.sent_bytes, BIG - request.sent_bytes)
        finally:
            os.close(descriptor)
        request.finish()

    def move(self) -> None:
        """To another transport of the same socket, as a new process has it."""
        (connection,) = self.factory.connections
        movable = MovableHTTP(connection)
        movable.freeze()
        offer = movable.offer()
        snapshot = http_kinds().received(offer.snapshot.pack())
        adopted = HTTPAdopter(self.reactor, {"api": self.factory}).adopt(
            snapshot, [os.dup(d) for d in offer.descriptors]
        )
        self.assertFalse(movable.changed())
        movable.release()
        adopted.resume()

    def take(self, client: socket.socket, got: bytearray, size: int) -> None:
        """Read until there are ``size`` more bytes, or all of them."""
        end = min(len(got) + size, self.whole(got))

        def enough() -> bool:
            with contextlib.suppress(BlockingIOError):
                got.extend(client.recv(end - len(got)))
            return len(got) >= end

        self.turn_until(enough)

    def whole(self, got: bytearray) -> int:
        """Bytes of the whole answer."""
        head = got.find(b"\r\n\r\n")
        return BIG + head + 4 if head >= 0 else BIG

    def test_moved_again_and_again(self) -> None:
        before = set(os.listdir("/proc/self/fd"))
        client = self.connect()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
        client.send(get(b"/") + get(b"/"))
        sizes = random.Random(5)
        got = bytearray()
        moves = 0
        while len(got) < self.whole(got):
            self.take(client, got, sizes.randrange(1, 400_000))
            if self.factory.connections and len(self.site.over) == 0:
                self.move()
                moves += 1
        self.assertGreater(moves, 8)
        self.assertTrue(bytes(got).partition(b"\r\n\r\n")[2] == self.content)
        # The pipelined request that waited all the time is answered by the same connection.
        self.assertTrue(self.receive(client, size=BIG).partition(b"\r\n\r\n")[2] == self.content)
        self.turn_until(lambda: len(self.site.over) == 2)
        self.assertEqual([request.sent_bytes for request in self.site.over], [BIG, BIG])
        self.assertEqual(len(self.site.away), moves)
        self.assertIn(self.abandoned, range(1, moves + 1))  # one that has moved on before its turn never had a handler
        self.assertEqual(len(self.factory.connections), 1)
        left = set(os.listdir("/proc/self/fd")) - before
        self.assertEqual(len(left), 2, left)  # the client's and the server's end

    def test_thawed(self) -> None:
        """Offered and not taken: it goes on here."""
        client = self.connect()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
        client.send(get(b"/"))
        got = bytearray()
        for _ in range(5):
            self.take(client, got, 100_000)
            (connection,) = self.factory.connections
            movable = MovableHTTP(connection)
            movable.freeze()
            offer = movable.offer()
            descriptors = [os.dup(descriptor) for descriptor in offer.descriptors]
            HTTPAdopter(self.reactor, {"api": self.factory}).adopt(offer.snapshot, descriptors).discard()
            movable.thaw()
        self.take(client, got, BIG)
        self.assertTrue(bytes(got).partition(b"\r\n\r\n")[2] == self.content)
        self.assertEqual(self.abandoned, 0)
