# -*- test-case-name: tests.net.test_connections -*-
"""
Entries of connection tracking as values, and the messages that ask for them and delete them.  Pure.

An entry has two tuples: of the packet that began it, and of the replies to it.  They differ from each other's reverse
where addresses are translated.  Rules of groups see a packet between the two translations: its source is that of the
first tuple, its destination the source of the replies.  Numbers in attributes are big-endian; the bytes of a tuple go
back into the order to delete as they came.

Source: ``linux/netfilter/nfnetlink_conntrack.h``, ``net/netfilter/nf_conntrack_netlink.c``.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from attrs import field, frozen

from ._messages import Message, attributes
from ._values import IPV4, IPV6

GET: Final = 0x101
DELETE: Final = 0x102
"""Without a tuple it deletes all entries: none is ever sent so."""

FAMILY_OF: Final[dict[int, int]] = {IPV4: socket.AF_INET, IPV6: socket.AF_INET6}
_VERSION_OF: Final = {family: version for version, family in FAMILY_OF.items()}
_GENERIC: Final = struct.Struct("=BBH")
_NESTED: Final = 0x8000
_ORIGINAL, _REPLY, _ID, _MASTER, _ZONE, _FILTER = 1, 2, 12, 14, 18, 25
_IP, _PROTOCOL = 1, 2
_SOURCE_OF: Final = {IPV4: 1, IPV6: 3}
_TUPLES: Final = 4
"""Where the first tuple begins, after the generic header."""

_ENDS: Final = {
    int(socket.AF_INET): (slice(16, 20), slice(24, 28)),
    int(socket.AF_INET6): (slice(16, 32), slice(36, 52)),
}
"""Where the source and destination of the first tuple are, behind the heads of tuple, addresses and each address."""

_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_TYPE_OF: Final = {IPV4: 5, IPV6: 8}
_BY_SOURCE: Final = 1
"""``CTA_FILTER_F_CTA_IP_SRC``."""


@frozen
class Flow:
    """
    What rules ask of the packet that began a connection.

    :ivar version: of IP
    :ivar source: before it is translated
    :ivar destination: after it is translated
    :ivar source_port: 0 where the protocol has none
    :ivar port: of the destination, or the type of ICMP
    :ivar code: of ICMP
    """

    version: int
    protocol: int
    source: str
    destination: str
    source_port: int = 0
    port: int = 0
    code: int = 0


@frozen
class Connection:
    """
    One entry.

    :ivar flow: that which rules let in: its own, or that of the connection which it belongs to (data of FTP)
    :ivar addresses: all that its tuples name
    :ivar order: the body of the message that deletes exactly this entry
    """

    flow: Flow
    addresses: frozenset[str]
    order: bytes = field(repr=False)


@frozen
class _Tuple:
    source: str
    destination: str
    protocol: int
    source_port: int
    destination_port: int
    icmp_type: int
    icmp_code: int


def requests_for(address: str) -> Iterator[bytes]:
    """
    Two, for entries that an address began, and for those that it answers: the kernel looks at all and tells of these.

    A kernel before 5.8 knows no filter and tells of all.
    """
    version = IPV6 if ":" in address else IPV4
    packed = socket.inet_pton(FAMILY_OF[version], address)
    which = _nested(_IP, _attribute(_SOURCE_OF[version], packed))
    for kind in (_ORIGINAL, _REPLY):
        flags = (_attribute(each, struct.pack("=I", _BY_SOURCE if each == kind else 0)) for each in (_ORIGINAL, _REPLY))
        yield request_for_all(version) + _nested(kind, which) + _nested(_FILTER, b"".join(flags))


def request_for_all(version: int) -> bytes:
    return _GENERIC.pack(FAMILY_OF[version], 0, 0)


def packed_of(addresses: Iterable[str]) -> frozenset[bytes]:
    """Addresses as they are in messages."""
    return frozenset(socket.inet_pton(socket.AF_INET6 if ":" in each else socket.AF_INET, each) for each in addresses)


def may_name(message: Message, packed: Collection[bytes]) -> bool:
    """
    Whether ``connection_of`` is worth its 15 us: an address is an end of the first tuple, or ends are translated.

    The kernel writes the tuples first, the addresses first in each.
    """
    place = _ENDS.get(message.body[0]) if message.body else None
    if place is None or len(message.body) < _TUPLES + 4:
        return True
    source, destination = place
    length = int.from_bytes(message.body[_TUPLES : _TUPLES + 2], sys.byteorder)
    ends = message.body[source].tobytes(), message.body[destination].tobytes()
    if ends[0] in packed or ends[1] in packed:
        return True
    replies = message.body[(length + 3) & ~3 :]
    return (replies[destination].tobytes(), replies[source].tobytes()) != ends


def connection_of(message: Message) -> Connection | None:
    """``None`` for what is no entry of IP."""
    if len(message.body) < _GENERIC.size:
        return None
    version = _VERSION_OF.get(message.body[0])
    found = attributes(message.body, _GENERIC.size)
    if version is None or _ORIGINAL not in found or _REPLY not in found:
        return None
    original, reply = _tuple_of(found[_ORIGINAL], version), _tuple_of(found[_REPLY], version)
    if original is None or reply is None:
        return None
    master = _tuple_of(found[_MASTER], version) if _MASTER in found else None
    return Connection(
        _flow(version, master, None) if master else _flow(version, original, reply),
        frozenset((original.source, original.destination, reply.source, reply.destination)),
        _order(message.body[0], found),
    )


def _flow(version: int, original: _Tuple, reply: _Tuple | None) -> Flow:
    is_icmp = original.icmp_type >= 0
    port = reply.source_port if reply else original.destination_port
    return Flow(
        version,
        original.protocol,
        original.source,
        reply.source if reply else original.destination,
        original.source_port,
        original.icmp_type if is_icmp else port,
        original.icmp_code if is_icmp else 0,
    )


def _tuple_of(body: memoryview, version: int) -> _Tuple | None:
    parts = attributes(body, 0)
    if _IP not in parts or _PROTOCOL not in parts:
        return None
    addresses, protocol = attributes(parts[_IP], 0), attributes(parts[_PROTOCOL], 0)
    source, size = _SOURCE_OF[version], 4 if version == IPV4 else 16
    ends = [addresses.get(source, b""), addresses.get(source + 1, b"")]
    if any(len(end) != size for end in ends) or not protocol.get(_NUMBER):
        return None
    icmp = _TYPE_OF[version]
    return _Tuple(
        socket.inet_ntop(FAMILY_OF[version], ends[0]),
        socket.inet_ntop(FAMILY_OF[version], ends[1]),
        protocol[_NUMBER][0],
        _port(protocol.get(_SOURCE_PORT)),
        _port(protocol.get(_DESTINATION_PORT)),
        protocol[icmp][0] if protocol.get(icmp) else -1,
        protocol[icmp + 1][0] if protocol.get(icmp + 1) else 0,
    )


def _order(family: int, found: dict[int, memoryview]) -> bytes:
    """With the entry's id: another that has taken its place meanwhile stays."""
    parts = [_GENERIC.pack(family, 0, 0), _nested(_ORIGINAL, found[_ORIGINAL].tobytes())]
    parts += [_attribute(kind, found[kind].tobytes()) for kind in (_ID, _ZONE) if kind in found]
    return b"".join(parts)


def _port(value: memoryview | None) -> int:
    return 0 if value is None or len(value) < 2 else value[0] << 8 | value[1]


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _nested(kind: int, value: bytes) -> bytes:
    return _attribute(kind | _NESTED, value)
