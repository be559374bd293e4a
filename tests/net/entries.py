"""Entries of connection tracking, written as the kernel writes them, and put into it."""

from __future__ import annotations

import socket
import struct

from net._messages import ERROR, error_of, messages, request

_NEW = 0x100
_CREATE_AND_ANSWER = 0x400 | 4
_IS_CONFIRMED = 8


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def tuple_of(kind: int, source: str, destination: str, protocol: int, numbers: dict[int, bytes]) -> bytes:
    """``numbers``: by attribute; ports are 2 and 3, ICMP's identifier, type and code 4, 5 and 6."""
    family, first = (socket.AF_INET6, 3) if ":" in source else (socket.AF_INET, 1)
    ends = [attribute(first + n, socket.inet_pton(family, end)) for n, end in enumerate((source, destination))]
    parts = attribute(1, bytes([protocol])) + b"".join(attribute(*number) for number in numbers.items())
    return attribute(kind | 0x8000, attribute(1 | 0x8000, b"".join(ends)) + attribute(2 | 0x8000, parts))


def ports_of(source: int, destination: int) -> dict[int, bytes]:
    return {2: struct.pack("!H", source), 3: struct.pack("!H", destination)}


def fill(count: int, source: str, destination: str) -> None:
    """That many flows of UDP in this thread's namespace, each of another port, for ten minutes."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as link:
        for number in range(count):
            ports = (1024 + number, 53)
            body = struct.pack("=BBH", socket.AF_INET, 0, 0)
            body += tuple_of(1, source, destination, 17, ports_of(*ports))
            body += tuple_of(2, destination, source, 17, ports_of(*ports[::-1]))
            body += attribute(3, struct.pack("!I", _IS_CONFIRMED)) + attribute(7, struct.pack("!I", 600))
            link.send(request(_NEW, _CREATE_AND_ANSWER, number, body))
            (answer,) = messages(link.recv(1 << 16))
            assert answer.kind == ERROR and not error_of(answer), error_of(answer)
