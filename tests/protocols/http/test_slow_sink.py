"""A body whose last byte comes while its sink is busy."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from cloudd.protocols.http import Request
from tests.http_client import HTTPClient


class Busy:
    """A sink that takes one piece at a time, each until the test lets it go on."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[None]] = []

    def write(self, _data: bytes) -> Deferred[None]:
        self.waiting.append(Deferred())
        return self.waiting[-1]


class SlowSinkTests(TestCase):
    bodies = (b"Content-Length: 4\r\n\r\nbody", b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")

    async def test_end_is_told(self) -> None:
        """The reader hears of the end as soon as the sink has taken the last piece."""
        for body in self.bodies:
            sink = Busy()

            async def count(request: Request, sink: Busy = sink) -> None:
                size = await request.body.stream_to(sink)
                request.respond(200, [], b"%d" % size)

            connection = HTTPClient(count).connect()
            connection.send(b"PUT / HTTP/1.1\r\nHost: x\r\n" + body)
            answer = connection.answer()
            self.assertNoResult(answer)
            sink.waiting.pop().callback(None)
            self.assertEqual(self.successResultOf(answer).body, b"4")

    async def test_failure_is_told(self) -> None:
        """So does it hear that the sink failed with the last piece."""
        for body in self.bodies:
            sink = Busy()

            async def refuse(request: Request, sink: Busy = sink) -> None:
                try:
                    await request.body.stream_to(sink)
                except OSError:
                    request.respond(507)

            connection = HTTPClient(refuse).connect()
            connection.send(b"PUT / HTTP/1.1\r\nHost: x\r\n" + body)
            answer = connection.answer()
            sink.waiting.pop().errback(OSError("full"))
            self.assertEqual(self.successResultOf(answer).status, 507)
