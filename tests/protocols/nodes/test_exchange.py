"""One request in any pieces; whatever is none is refused, with bounds on all of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.nodes._exchange import MAX_HEAD_BYTES, Asked, BadExchange, Exchange, answer

GOOD = b"POST /v1/join HTTP/1.1\r\nHost: x:1\r\ncontent-length: 5\r\nX-Odd:\r\n\r\nhello"


class ExchangeTests(SynchronousTestCase):
    def refused(self, data: bytes) -> int:
        with self.assertRaises(BadExchange) as caught:
            Exchange().feed(data)
        return int(caught.exception.status)

    def test_any_pieces(self) -> None:
        """Byte by byte and cut in two anywhere it is the same."""
        wanted = Asked("POST", "/v1/join", b"hello")
        self.assertEqual(Exchange().feed(GOOD), wanted)
        exchange = Exchange()
        found = [exchange.feed(GOOD[place : place + 1]) for place in range(len(GOOD))]
        self.assertEqual(found, [None] * (len(GOOD) - 1) + [wanted])
        for cut in range(1, len(GOOD)):
            exchange = Exchange()
            self.assertIsNone(exchange.feed(GOOD[:cut]))
            self.assertEqual(exchange.feed(GOOD[cut:]), wanted)
        self.assertEqual(Exchange().feed(b"GET / HTTP/1.0\r\n\r\n"), Asked("GET", "/", b""))

    def test_refused(self) -> None:
        """What HTTP might allow and nobody of ours says, and what nobody may say."""
        start = b"POST /x HTTP/1.1\r\n"
        for head in (
            b"PUT /x HTTP/1.1\r\n\r\n",
            b"GET x HTTP/1.1\r\n\r\n",
            b"GET /x HTTP/2\r\n\r\n",
            b"GET  /x HTTP/1.1\r\n\r\n",
            b"\r\nGET /x HTTP/1.1\r\n\r\n",
            start + b"Transfer-Encoding: chunked\r\n\r\n",
            start + b"Expect: 100-continue\r\n\r\n",
            start + b"Content-Length: 1\r\ncontent-length: 1\r\n\r\nx",
            start + b"Content-Length: -1\r\n\r\n",
            start + b"Content-Length: +1\r\n\r\nx",
            start + b"Content-Length: 1e1\r\n\r\n",
            start + b"Content-Length : 1\r\n\r\nx",
            start + b" folded\r\n\r\n",
            start + b"A: b\nB: c\r\n\r\n",
            start + b"A: \x00\r\n\r\n",
            GOOD + b"G",
        ):
            self.assertEqual(self.refused(head), 400, head)
        self.assertEqual(self.refused(start + b"Content-Length: 65537\r\n\r\n"), 413)
        self.assertEqual(self.refused(start + b"Content-Length: 9999999999\r\n\r\n"), 400)
        self.assertEqual(self.refused(b"x" * (MAX_HEAD_BYTES + 1)), 431)
        self.assertEqual(self.refused(start + b"A: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n"), 431)

    @given(st.binary(max_size=300), st.integers(0, 300))
    def test_anything(self, data: bytes, cut: int) -> None:
        """Nothing else is raised, and what is given is whole."""
        exchange = Exchange()
        for piece in (data[:cut], data[cut:]):
            try:
                found = exchange.feed(piece)
            except BadExchange:
                return
            if found is not None:
                self.assertIn(found.method, ("GET", "POST"))
                return

    def test_answer(self) -> None:
        """Its length is said, and that nothing follows."""
        head, _, body = answer(403, b"{}").partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 403 Forbidden\r\n"))
        self.assertIn(b"content-length: 2\r\n", head)
        self.assertIn(b"connection: close", head)
        self.assertEqual(body, b"{}")
