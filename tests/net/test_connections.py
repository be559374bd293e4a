"""Entries of connection tracking, as the kernel writes them and as nobody does."""

from __future__ import annotations

import socket
import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from net._connections import Flow, connection_of, may_name, packed_of, requests_for
from net._messages import Message, attributes

from .entries import attribute, ports_of, tuple_of

GUEST, OUTSIDE, FLOATING = "10.0.0.5", "198.51.100.7", "203.0.113.9"


def _message(*parts: bytes, family: int = socket.AF_INET) -> Message:
    return Message(0x100, 2, 1, memoryview(struct.pack("=BBH", family, 0, 0) + b"".join(parts)))


class ConnectionsTest(SynchronousTestCase):
    def test_tcp(self) -> None:
        """The flow is that of the first packet; the order names the entry by tuple and id, and is never without one."""
        original = tuple_of(1, GUEST, OUTSIDE, 6, ports_of(4000, 443))
        reply = tuple_of(2, OUTSIDE, GUEST, 6, ports_of(443, 4000))
        number = attribute(12, b"\1\2\3\4")
        found = connection_of(_message(original, reply, attribute(3, bytes(4)), number))
        assert found
        self.assertEqual(found.flow, Flow(4, 6, GUEST, OUTSIDE, 4000, 443))
        self.assertEqual(found.addresses, {GUEST, OUTSIDE})
        self.assertEqual(found.order, struct.pack("=BBH", socket.AF_INET, 0, 0) + original + number)

    def test_translated(self) -> None:
        """Rules see the source before and the destination after translation."""
        original = tuple_of(1, OUTSIDE, FLOATING, 17, ports_of(4000, 53))
        reply = tuple_of(2, GUEST, OUTSIDE, 17, ports_of(5353, 4000))
        found = connection_of(_message(original, reply))
        assert found
        self.assertEqual(found.flow, Flow(4, 17, OUTSIDE, GUEST, 4000, 5353))
        self.assertEqual(found.addresses, {OUTSIDE, FLOATING, GUEST})

    def test_worth_reading(self) -> None:
        """An entry of the addresses, and each that is translated, is read whole; of others none."""
        ends = {4: (GUEST, OUTSIDE, FLOATING), 6: ("2001:db8::5", "2001:db8::6", "2001:db8::7")}
        for version, (guest, outside, other) in ends.items():
            family = socket.AF_INET if version == 4 else socket.AF_INET6
            for numbers in (ports_of(4000, 53), {4: b"\0\7", 5: b"\x08", 6: b"\0"}):
                original = tuple_of(1, guest, outside, 17, numbers)
                plain = _message(original, tuple_of(2, outside, guest, 17, numbers), family=family)
                self.assertEqual([may_name(plain, packed_of({each})) for each in (guest, outside)], [True] * 2)
                self.assertFalse(may_name(plain, packed_of({other})))
                translated = _message(original, tuple_of(2, other, guest, 17, numbers), family=family)
                self.assertTrue(may_name(translated, packed_of({other})))

    def test_icmp(self) -> None:
        """Type and code are those of the request."""
        original = tuple_of(1, GUEST, OUTSIDE, 1, {4: b"\0\7", 5: b"\x08", 6: b"\0"})
        reply = tuple_of(2, OUTSIDE, GUEST, 1, {4: b"\0\7", 5: b"\0", 6: b"\0"})
        found = connection_of(_message(original, reply))
        assert found
        self.assertEqual(found.flow, Flow(4, 1, GUEST, OUTSIDE, 0, 8, 0))

    def test_icmp_of_ipv6(self) -> None:
        """It has attributes of its own."""
        ends = ("2001:db8::5", "2001:db8::6")
        original = tuple_of(1, *ends, 58, {7: b"\0\7", 8: b"\x80", 9: b"\0"})
        reply = tuple_of(2, *ends[::-1], 58, {7: b"\0\7", 8: b"\x81", 9: b"\0"})
        found = connection_of(_message(original, reply, family=socket.AF_INET6))
        assert found
        self.assertEqual(found.flow, Flow(6, 58, *ends, 0, 128, 0))

    def test_what_belongs_to_another(self) -> None:
        """Rules let in the connection that it belongs to."""
        original = tuple_of(1, OUTSIDE, GUEST, 6, ports_of(20, 4001))
        reply = tuple_of(2, GUEST, OUTSIDE, 6, ports_of(4001, 20))
        master = tuple_of(14, GUEST, OUTSIDE, 6, ports_of(4000, 21))
        found = connection_of(_message(original, reply, master))
        assert found
        self.assertEqual(found.flow, Flow(4, 6, GUEST, OUTSIDE, 4000, 21))

    def test_requests(self) -> None:
        """One for who began and one for who answers, each with the address as the source."""
        asked = [attributes(memoryview(body), 4) for body in requests_for("2001:db8::5")]
        kinds = [next(kind for kind in (1, 2) if kind in each) for each in asked]
        self.assertEqual(kinds, [1, 2])
        for kind, each in zip(kinds, asked, strict=True):
            source = attributes(attributes(each[kind], 0)[1], 0)[3]
            self.assertEqual(socket.inet_ntop(socket.AF_INET6, source), "2001:db8::5")
            flags = {number: struct.unpack("=I", value)[0] for number, value in attributes(each[25], 0).items()}
            self.assertEqual(flags, {1: int(kind == 1), 2: int(kind == 2)})

    @given(st.binary(max_size=200), st.sampled_from([socket.AF_INET, socket.AF_INET6, 0, 7]))
    def test_anything(self, data: bytes, family: int) -> None:
        """Bytes that are no entry are none, and raise nothing."""
        connection_of(_message(data, family=family))
        connection_of(_message(attribute(1, data), attribute(2, data), family=family))
        self.assertIs(connection_of(Message(0x100, 0, 1, memoryview(data[:3]))), None)
        may_name(_message(data, family=family), packed_of({GUEST}))
        may_name(Message(0x100, 0, 1, memoryview(data[:3])), packed_of({GUEST}))
