"""Every message cut at every byte, with and without a move to another process at the cut."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from .conversation import answer, bytewise, chunked, converse, get, post, text

MESSAGES = {
    "get": get(b"/hello?a=1"),
    "fields": get(b"/hello", b"X-A: 1", b"x-a:2", b"Cookie: x=y; z", b"X-Empty:"),
    "missing": get(b"/other"),
    "old": get(b"/hello", version=b"HTTP/1.0"),
    "old, kept": get(b"/hello", b"Connection: keep-alive", version=b"HTTP/1.0") * 2,
    "closing": get(b"/hello", b"Connection: close"),
    "head": get(b"/hello", method=b"HEAD") + get(b"/hello"),
    "pipeline": get(b"/hello?1") + get(b"/known") + get(b"/nothing") + get(b"/stream") + get(b"/hello?2"),
    "empty lines": b"\r\n\r\n" + get(b"/hello?1") + b"\r\n" + get(b"/hello?2"),
    "document": post(b"/echo", b'{"a": 1}') + get(b"/hello"),
    "empty document": post(b"/echo", b"") + get(b"/hello"),
    "streamed": post(b"/sum", bytes(range(40))) + get(b"/hello"),
    "chunks": chunked(b"/sum", b'5\r\nhello\r\n0000A;x="y";z\r\n, world!!!\r\n0\r\n\r\n') + get(b"/hello"),
    "chunked document": chunked(b"/echo", b"3\r\nabc\r\n1;\t\r\nd\r\n0\r\n\r\n") + get(b"/hello"),
    "trailers": chunked(b"/sum", b"1\r\na\r\n0;last\r\nX-Sum: 97 \r\nX-Other:y\r\n\r\n") + get(b"/hello"),
    "continue": post(b"/echo", b"hallo", b"Expect: 100-continue") + get(b"/hello"),
    "refused without a read": post(b"/refuse", b"x" * 30) + get(b"/hello"),
    "refused before continue": post(b"/refuse", b"x" * 30, b"Expect: 100-Continue") + get(b"/hello"),
    "refused chunks": chunked(b"/refuse", b"1\r\na\r\n0\r\n\r\n") + get(b"/hello"),
    "upgrade": get(b"/hello", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAM")
    + get(b"/hello"),
    "absolute": get(b"http://other.example/hello?x") + get(b"/hello"),
    "asterisk": get(b"*", method=b"OPTIONS"),
    "streamed to 1.0": get(b"/stream", version=b"HTTP/1.0"),
    "bad line": get(b"/hello") + b"GET /hello\r\nHost: x\r\n\r\n",
    "bad version": get(b"/hello", version=b"HTTP/3.0"),
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no host": b"GET /hello HTTP/1.1\r\n\r\n",
    "bare line feed": b"GET /hello HTTP/1.1\nHost: x\n\n",
    "folded": get(b"/hello", b"X-A: b", b" c"),
    "two lengths": get(b"/echo", b"Content-Length: 1", b"Content-Length: 1", method=b"POST") + b"x",
    "length and chunks": post(b"/echo", b"0\r\n\r\n", b"Transfer-Encoding: chunked"),
    "own id": get(b"/hello", b"X-OpenStack-Request-ID: req-01234567-89ab-4cde-8f01-23456789abcd"),
}


class CutTests(SynchronousTestCase):
    """What a client sees does not depend on how its bytes arrive."""

    def test_cut_in_two(self) -> None:
        for name, message in MESSAGES.items():
            whole = converse([message])
            for cut in range(1, len(message)):
                self.assertEqual(whole, converse([message[:cut], message[cut:]]), (name, cut))

    def test_byte_by_byte(self) -> None:
        for name, message in MESSAGES.items():
            self.assertEqual(converse([message]), converse(bytewise(message)), name)

    def test_moved_at_every_byte(self) -> None:
        for name, message in MESSAGES.items():
            whole = converse([message])
            for cut in range(1, len(message)):
                pieces = [message[:cut], message[cut:]]
                self.assertEqual(whole, converse(pieces, moving=True), (name, cut))

    def test_moved_after_every_byte(self) -> None:
        for name, message in MESSAGES.items():
            self.assertEqual(converse([message]), converse(bytewise(message), moving=True), name)

    def test_the_messages_are_answered(self) -> None:
        """The comparisons above are of real answers."""
        expected = {
            "get": (text(b"200 OK", b"hello GET a=1\n"), True),
            "head": (
                text(b"200 OK", b"hello HEAD \n")[: -len(b"hello HEAD \n")] + text(b"200 OK", b"hello GET \n"),
                True,
            ),
            "document": (text(b"200 OK", b'[{"a": 1}]') + text(b"200 OK", b"hello GET \n"), True),
            "continue": (
                b"HTTP/1.1 100 Continue\r\n\r\n" + text(b"200 OK", b"[hallo]") + text(b"200 OK", b"hello GET \n"),
                True,
            ),
            "trailers": (text(b"200 OK", b"1 1 97 x-sum=97,x-other=y") + text(b"200 OK", b"hello GET \n"), True),
            "refused without a read": (text(b"403 Forbidden", b"not you") + text(b"200 OK", b"hello GET \n"), True),
            "refused before continue": (
                answer(
                    b"403 Forbidden",
                    b"Content-Length: 7\r\nConnection: close",
                    b"not you",
                    b"Content-Type: text/plain",
                ),
                False,
            ),
            "streamed to 1.0": (
                answer(b"200 OK", b"Connection: close", b"one two three", b"Content-Type: text/plain"),
                False,
            ),
        }
        for name, state in expected.items():
            self.assertEqual(converse([MESSAGES[name]]), state, name)
        self.assertEqual(converse([MESSAGES["pipeline"]])[0].count(b"HTTP/1.1 20"), 5)
