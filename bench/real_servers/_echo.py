"""Pings, as a host sends them to its guests."""

from __future__ import annotations

import select
import socket
import struct
import time


def echoes(address: str, patience_s: float = 1.0) -> bool:
    """Whether a host answers an ICMP echo (RFC 792)."""
    body = b"cloudd--"
    head = struct.pack("!BBHHH", 8, 0, 0, 4712, 1)
    total = sum(struct.unpack("!8H", head + body))
    total = (total >> 16) + (total & 0xFFFF)
    head = struct.pack("!BBHHH", 8, 0, ~(total + (total >> 16)) & 0xFFFF, 4712, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as link:
        try:
            link.sendto(head + body, (address, 0))
        except OSError:
            return False
        until = time.monotonic() + patience_s
        while (left := until - time.monotonic()) > 0 and select.select([link], [], [], left)[0]:
            answer, (who, _) = link.recvfrom(200)
            if who == address and answer.endswith(body):
                return True
    return False
