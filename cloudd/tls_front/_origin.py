# -*- test-case-name: tests.tls_front.test_origin -*-
"""
Where a connection came from, in the form of the PROXY protocol, version 2.

Source: "The PROXY protocol", https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, sections 2.2 to 2.2.6.  The
header travels as one message beside the connection's descriptor, so it is whole or it is refused.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
MAX_ORIGIN_BYTES = 1024

_START = struct.Struct("!12sBBH")
_PROXY = 0x21  # version 2, command PROXY
_TCP4, _TCP6 = 0x11, 0x21
_ADDRESSES = {_TCP4: (socket.AF_INET, struct.Struct("!4s4sHH")), _TCP6: (socket.AF_INET6, struct.Struct("!16s16sHH"))}
_TLV = struct.Struct("!BH")
_AUTHORITY, _TLS = 0x02, 0x20
_TLS_START = struct.Struct("!BI")
_CLIENT_USES_TLS, _NOT_VERIFIED = 0x01, 1
_TLS_VERSION, _TLS_CIPHER = 0x21, 0x23


class OriginError(Exception):
    """These bytes are no origin; the text says why."""


class Origin(NamedTuple):
    """
    One connection's facts.

    :ivar host: the client's address, IPv4 or IPv6
    :ivar our_host: the address it connected to
    :ivar version: ``TLSv1.3``; empty: not told
    :ivar cipher: as OpenSSL names it
    :ivar name: the host name that the client asked for (SNI); empty: none
    """

    host: str
    port: int
    our_host: str
    our_port: int
    version: str = ""
    cipher: str = ""
    name: str = ""

    def encode(self) -> bytes:
        """
        The header.

        :raises OriginError: an address is none, or a text does not fit
        """
        kind = _TCP6 if ":" in self.host else _TCP4
        family, layout = _ADDRESSES[kind]
        try:
            packed = layout.pack(_packed(family, self.host), _packed(family, self.our_host), self.port, self.our_port)
            facts = _tlv(_TLS_VERSION, self.version) + _tlv(_TLS_CIPHER, self.cipher)
        except (OSError, struct.error, UnicodeEncodeError) as error:
            raise OriginError(f"{self!r} cannot be told: {error}") from error
        tls = _TLS_START.pack(_CLIENT_USES_TLS, _NOT_VERIFIED) + facts
        body = packed + _tlv(_AUTHORITY, self.name) + _TLV.pack(_TLS, len(tls)) + tls
        header = _START.pack(SIGNATURE, _PROXY, kind, len(body)) + body
        if len(header) > MAX_ORIGIN_BYTES:
            raise OriginError(f"{self!r} is longer than {MAX_ORIGIN_BYTES} bytes")
        return header

    @classmethod
    def decode(cls, data: bytes) -> Origin:
        """
        Read a header that is all of ``data``.

        :raises OriginError: it is cut, has bytes behind it, or is none; unknown parts are passed over
        """
        if len(data) < _START.size:
            raise OriginError(f"{len(data)} bytes are no header")
        signature, command, kind, length = _START.unpack_from(data)
        if signature != SIGNATURE or command != _PROXY or kind not in _ADDRESSES:
            raise OriginError("this is no header of version 2 for a TCP connection")
        if len(data) != _START.size + length:
            raise OriginError(f"the header says {length} bytes, {len(data) - _START.size} are there")
        family, layout = _ADDRESSES[kind]
        end = _START.size + layout.size
        if len(data) < end:
            raise OriginError("the addresses are cut")
        source, target, port, our_port = layout.unpack_from(data, _START.size)
        texts = dict(_tlvs(data[end:]))
        tls = texts.get(_TLS, b"")
        facts = dict(_tlvs(tls[_TLS_START.size :]))
        return cls(
            socket.inet_ntop(family, source),
            port,
            socket.inet_ntop(family, target),
            our_port,
            _text(facts.get(_TLS_VERSION, b"")),
            _text(facts.get(_TLS_CIPHER, b"")),
            _text(texts.get(_AUTHORITY, b"")),
        )


def _packed(family: int, host: str) -> bytes:
    return socket.inet_pton(family, host.partition("%")[0])  # a link-local address carries its interface's name


def _tlv(kind: int, text: str) -> bytes:
    value = text.encode("utf-8")
    return _TLV.pack(kind, len(value)) + value if value else b""


def _tlvs(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        if len(data) - at < _TLV.size:
            raise OriginError("a part is cut")
        kind, length = _TLV.unpack_from(data, at)
        at += _TLV.size
        if len(data) - at < length:
            raise OriginError("a part is cut")
        yield kind, data[at : at + length]
        at += length


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise OriginError("a text is no UTF-8") from error
