"""Framing and target rules that stand even where llhttp would let something through."""

from __future__ import annotations

import contextlib

from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.http._errors import BadRequest
from cloudd.protocols.http._head import Head, HeadParser, joined, read_framing


class FramingTests(SynchronousTestCase):
    def length(self, version: tuple[int, int] = (1, 1), **fields: bytes) -> int | None:
        head = Head()
        head.version = version
        head.fields = {name.replace("_", "-").encode(): value for name, value in fields.items()}
        read_framing(head)
        return head.length

    def status(self, version: tuple[int, int] = (1, 1), **fields: bytes) -> int:
        status: int = self.assertRaises(BadRequest, self.length, version, **fields).status
        return status

    def test_lengths(self) -> None:
        self.assertEqual(self.length(), 0)
        self.assertEqual(self.length(content_length=b"017"), 17)
        self.assertEqual(self.length(content_length=b"9" * 18), 10**18 - 1)
        self.assertIs(self.length(transfer_encoding=b"Chunked"), None)

    def test_refused(self) -> None:
        for value in (b"", b"+1", b"-1", b"1,1", b"1, 1", b"1 1", b"0x1", b"1_0", b"1.0", "\u0661".encode(), b"9" * 19):
            self.assertEqual(self.status(content_length=value), 400, value)
        self.assertEqual(self.status(content_length=b"1", transfer_encoding=b"chunked"), 400)
        self.assertEqual(self.status((1, 0), transfer_encoding=b"chunked"), 400)
        for coding in (b"gzip", b"gzip, chunked", b"chunked, chunked", b"chunked;q=1", b"", b"identity"):
            self.assertEqual(self.status(transfer_encoding=coding), 501, coding)

    def test_repeated_fields_are_joined(self) -> None:
        """A repeated length or coding is therefore never a plain one."""
        self.assertEqual(joined([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]), {b"a": b"1, 3", b"b": b"2"})

    def test_parser_forgets(self) -> None:
        """A head that was refused, or that announced a body, leaves nothing behind for the next one."""
        parser = HeadParser()
        good = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
        for before in (
            b"GET /a HTTP/1.1\r\nHost : x\r\n\r\n",
            b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n",
            b"PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        ):
            with contextlib.suppress(BadRequest):
                parser.parse(before, Head())
            head = Head()
            parser.parse(good, head)
            self.assertEqual((head.path, head.length, head.keep, head.headers), (b"/a", 0, True, [(b"host", b"x")]))
