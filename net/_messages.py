# -*- test-case-name: tests.net.test_messages -*-
"""
Messages of netlink that are read, as values; and the requests for them.  Pure.

Only what this package looks at is decoded: of 1,000 links that costs 15 ms, where a decoder of everything takes 300.
Numbers are the machine's own byte order.  Source: ``linux/netlink.h``, ``linux/rtnetlink.h``, ``linux/if_link.h``,
``linux/netfilter/nfnetlink.h``, ``linux/netfilter/nf_tables.h``.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Final

from attrs import frozen

ERROR: Final = 2
DONE: Final = 3
NEW_LINK, DELETE_LINK, GET_LINK = 16, 17, 18
NEW_ADDRESS, DELETE_ADDRESS, GET_ADDRESS = 20, 21, 22
NEW_ROUTE, DELETE_ROUTE, GET_ROUTE = 24, 25, 26
ROUTE_PROTOCOL: Final = 199
"""``rtm_protocol`` of our routes: free in ``/etc/iproute2/rt_protos``."""

DUMP: Final = 0x300
DUMP_BROKEN: Final = 0x10
"""``NLM_F_DUMP_INTR``: something changed while it was read."""

_REQUEST: Final = 1
_HEADER: Final = struct.Struct("=IHHII")
_LINK: Final = struct.Struct("=BxHiII")
_ADDRESS: Final = struct.Struct("=BBBBI")
_ROUTE: Final = struct.Struct("=BBBBBBBBI")
_MAIN_TABLE: Final = 254
_WITHOUT_STATISTICS: Final = struct.pack("=HHI", 8, 29, 8)
"""``IFLA_EXT_MASK``: ``RTEXT_FILTER_SKIP_STATS``."""

_UP: Final = 1
_NO_PREFIX_ROUTE: Final = 0x200
_NFTABLES: Final = 10
_NEW_GENERATION: Final = 15


@frozen
class Message:
    """One message; ``body`` is what follows the header of netlink."""

    kind: int
    flags: int
    sequence: int
    body: memoryview


@frozen
class Link:
    """
    :ivar mac: empty for links that have none
    :ivar group: the number by which links may be deleted together
    """

    index: int
    name: str
    kind: str
    alias: str
    mac: str
    mtu: int
    up: bool
    group: int


@frozen
class Address:
    """:ivar ours: not the link-local one that the kernel makes by itself"""

    index: int
    text: str
    ours: bool


@frozen
class Route:
    """A route to one address, in the main table, with our protocol."""

    index: int
    destination: str


def messages(data: bytes) -> Iterator[Message]:
    """Of one datagram."""
    view, start = memoryview(data), 0
    while start + _HEADER.size <= len(view):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(view, start)
        if length < _HEADER.size:
            return
        yield Message(kind, flags, sequence, view[start + _HEADER.size : start + length])
        start += (length + 3) & ~3


def attributes(body: memoryview, start: int) -> dict[int, memoryview]:
    """By type, without the flags for nesting and byte order."""
    found: dict[int, memoryview] = {}
    while start + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, start)
        if length < 4:
            break
        found[kind & 0x3FFF] = body[start + 4 : start + length]
        start += (length + 3) & ~3
    return found


def request(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, sequence, 0) + body


def link_request(index: int = 0) -> bytes:
    return _LINK.pack(0, 0, index, 0, 0) + _WITHOUT_STATISTICS


def address_request(index: int = 0) -> bytes:
    """The kernel looks at the index where the socket asks for strict checking."""
    return _ADDRESS.pack(0, 0, 0, 0, index)


def route_request(family: int, index: int = 0) -> bytes:
    of_link = struct.pack("=HHI", 8, 4, index) if index else b""
    return _ROUTE.pack(family, 0, 0, 0, _MAIN_TABLE, ROUTE_PROTOCOL, 0, 0, 0) + of_link


def link_of(message: Message) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(message.body)
    found = attributes(message.body, _LINK.size)
    kind = attributes(found[18], 0).get(1) if 18 in found else None
    return Link(
        index=index,
        name=_text(found.get(3)),
        kind=_text(kind),
        alias=_text(found.get(20)),
        mac=found[1].hex(":") if 1 in found else "",
        mtu=_number(found.get(4)),
        up=bool(flags & _UP),
        group=_number(found.get(27)),
    )


def address_of(message: Message) -> Address:
    family, length, flags, _, index = _ADDRESS.unpack_from(message.body)
    found = attributes(message.body, _ADDRESS.size)
    packed = found[1]
    flags = _number(found.get(8)) if 8 in found else flags
    is_link_local = packed[:2].tobytes() in {b"\xa9\xfe"} if family == socket.AF_INET else _is_link_local(packed)
    text = f"{socket.inet_ntop(family, packed)}/{length}"
    return Address(index, text, not is_link_local or bool(flags & _NO_PREFIX_ROUTE))


def route_of(message: Message) -> Route | None:
    """``None`` for a route that cannot be ours."""
    family, length, _, _, table, protocol, _, _, _ = _ROUTE.unpack_from(message.body)
    if table != _MAIN_TABLE or protocol != ROUTE_PROTOCOL:
        return None
    found = attributes(message.body, _ROUTE.size)
    if 1 not in found or 4 not in found or length != 8 * len(found[1]):
        return None
    return Route(_number(found[4]), socket.inet_ntop(family, found[1]))


def error_of(message: Message) -> int:
    """``errno`` of an answer, 0 for an acknowledgement."""
    code: int = struct.unpack_from("=i", message.body)[0]
    return -code


def table_of(message: Message) -> str | None:
    """The table of nftables that a notification is about; ``None`` for the end of a transaction."""
    if message.kind >> 8 != _NFTABLES:
        return ""
    if message.kind & 0xFF == _NEW_GENERATION:
        return None
    # The name of the table is the first attribute of tables, chains, rules, sets, elements and objects alike.
    return _text(attributes(message.body, 4).get(1))


def _is_link_local(packed: memoryview) -> bool:
    return packed[0] == 0xFE and packed[1] & 0xC0 == 0x80


def _text(value: memoryview | None) -> str:
    return "" if value is None else value.tobytes().rstrip(b"\0").decode(errors="replace")


def _number(value: memoryview | None) -> int:
    return 0 if value is None else int(struct.unpack_from("=I", value)[0])
