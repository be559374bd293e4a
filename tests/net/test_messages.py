"""Messages of netlink, as the kernel writes them and as nobody does."""

from __future__ import annotations

import socket
import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from net._messages import Message, Route, link_request, messages, request, route_of, table_of


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


class MessagesTest(SynchronousTestCase):
    @given(st.lists(st.tuples(st.integers(16, 99), st.integers(0, 2**32 - 1), st.binary(max_size=40)), max_size=5))
    def test_round_trip(self, sent: list[tuple[int, int, bytes]]) -> None:
        """What is put into one datagram comes out of it, in order."""
        wire = b"".join(
            written + bytes(-len(written) % 4)
            for written in (request(kind, 0, sequence, body) for kind, sequence, body in sent)
        )
        read = [(message.kind, message.sequence, message.body.tobytes()) for message in messages(wire)]
        self.assertEqual(read, sent)

    @given(st.binary(max_size=200))
    def test_anything(self, data: bytes) -> None:
        """Bytes that are no messages end, and raise nothing."""
        list(messages(data))

    def test_routes_of_others(self) -> None:
        """Another protocol, another table or a prefix is no route of ours."""
        more = _attribute(1, socket.inet_aton("10.0.0.5")) + _attribute(4, struct.pack("=I", 7))

        def read(length: int, table: int, protocol: int) -> Route | None:
            head = struct.pack("=BBBBBBBBI", 2, length, 0, 0, table, protocol, 0, 0, 0)
            return route_of(Message(24, 0, 0, memoryview(head + more)))

        self.assertEqual(read(32, 254, 199), Route(7, "10.0.0.5"))
        self.assertEqual([read(24, 254, 199), read(32, 255, 199), read(32, 254, 2)], [None] * 3)

    def test_tables(self) -> None:
        """A notification of nftables names its table; the end of a transaction names none."""
        body = memoryview(struct.pack("=BBH", 1, 0, 0) + _attribute(1, b"cloudd\0"))
        self.assertEqual(table_of(Message(10 << 8 | 12, 0, 0, body)), "cloudd")
        self.assertIs(table_of(Message(10 << 8 | 15, 0, 0, body)), None)
        self.assertEqual(table_of(Message(2, 0, 0, memoryview(link_request()))), "")
