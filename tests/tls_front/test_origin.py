"""Where a connection came from, as bytes."""

from __future__ import annotations

import contextlib
import socket

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.tls_front import MAX_ORIGIN_BYTES, Origin, OriginError

PORTS = st.integers(0, 65535)
V4 = st.ip_addresses(v=4).map(str)
V6 = st.ip_addresses(v=6).map(lambda address: socket.inet_ntop(socket.AF_INET6, address.packed))
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
ORIGINS = st.sampled_from([V4, V6]).flatmap(
    lambda hosts: st.builds(Origin, hosts, PORTS, hosts, PORTS, TEXTS, TEXTS, TEXTS)
)
SAMPLE = Origin("192.0.2.7", 40000, "198.51.100.1", 443, "TLSv1.3", "TLS_AES_128_GCM_SHA256", "www.example.org")


class OriginTests(SynchronousTestCase):
    @given(ORIGINS)
    @example(SAMPLE)
    def test_round_trip(self, origin: Origin) -> None:
        """What is told is what is read."""
        self.assertEqual(Origin.decode(origin.encode()), origin)

    @given(ORIGINS)
    @example(SAMPLE)
    def test_cut_anywhere(self, origin: Origin) -> None:
        """A header that is cut at any byte is refused, and so is one with a byte behind it."""
        data = origin.encode()
        for length in range(len(data)):
            self.assertRaises(OriginError, Origin.decode, data[:length])
        self.assertRaises(OriginError, Origin.decode, data + b"\0")

    @given(st.binary(max_size=200), st.integers(0, 60))
    def test_garbage(self, junk: bytes, place: int) -> None:
        """Whatever comes is an origin or is refused; no other error escapes."""
        whole = SAMPLE.encode()
        for data in (junk, whole[:place] + junk, whole[:16] + junk, whole[:place] + junk + whole[place + len(junk) :]):
            with contextlib.suppress(OriginError):
                self.assertIsInstance(Origin.decode(data), Origin)

    def test_bytes(self) -> None:
        """The bytes are those of the PROXY protocol, version 2, written by hand."""
        expected = (
            b"\r\n\r\n\0\r\nQUIT\n" + b"\x21\x11" + b"\x00\x2f" + bytes([192, 0, 2, 7, 198, 51, 100, 1])
            + b"\x9c\x40\x01\xbb" + b"\x02\x00\x05a.org" + b"\x20\x00\x18" + b"\x01\0\0\0\x01"
            + b"\x21\x00\x07TLSv1.3" + b"\x23\x00\x06cipher"
        )  # fmt: skip
        origin = Origin("192.0.2.7", 40000, "198.51.100.1", 443, "TLSv1.3", "cipher", "a.org")
        self.assertEqual(origin.encode(), expected)

    def test_unknown_parts(self) -> None:
        """Parts of a later version are passed over."""
        data = SAMPLE.encode() + b"\xee\x00\x03abc"
        length = len(data) - 16
        self.assertEqual(Origin.decode(data[:14] + length.to_bytes(2, "big") + data[16:]), SAMPLE)

    def test_refusals(self) -> None:
        """What is no address, or too long, is not told; an interface's name is left out of an address."""
        for origin in (
            SAMPLE._replace(host="unknown"),
            SAMPLE._replace(our_host="::1"),
            SAMPLE._replace(name="x" * MAX_ORIGIN_BYTES),
        ):
            self.assertRaises(OriginError, origin.encode)
        local = SAMPLE._replace(host="fe80::1%eth0", our_host="fe80::2%eth0")
        self.assertEqual(Origin.decode(local.encode()).host, "fe80::1")
