"""
Ask for an address by DHCPv6: ``python -m tests.net.dhcp6 MAC``, in a guest's namespace.

Prints the addresses that are given, or ``nothing``.  Source: RFC 8415 (Solicit with rapid commit, by DUID-LL).
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator

TRIES = 5


def _option(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        kind, length = struct.unpack_from("!HH", data)
        yield kind, data[4 : 4 + length]
        data = data[4 + length :]


def _given(reply: bytes) -> list[str]:
    """Addresses (option 5) of the association (option 3)."""
    associations = [value for kind, value in _options(reply[4:]) if kind == 3]
    return [
        socket.inet_ntop(socket.AF_INET6, value[:16])
        for association in associations
        for kind, value in _options(association[12:])
        if kind == 5
    ]


def main(mac: str) -> None:
    identity = struct.pack("!HH", 3, 1) + bytes.fromhex(mac.replace(":", ""))
    association = struct.pack("!III", 1, 0, 0)
    transaction = os.urandom(3)
    solicit = b"\x01" + transaction + _option(1, identity) + _option(14, b"") + _option(3, association)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
        client.bind(("::", 546))
        client.settimeout(1)
        for _ in range(TRIES):
            client.sendto(solicit, ("ff02::1:2", 547, 0, socket.if_nametoindex("eth0")))
            try:
                reply = client.recv(4096)
            except TimeoutError:
                continue
            if reply[1:4] == transaction and (given := _given(reply)):
                sys.stdout.write(" ".join(given))
                return
    sys.stdout.write("nothing")


if __name__ == "__main__":
    main(*sys.argv[1:])
