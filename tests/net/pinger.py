"""
Ask for an echo each millisecond: ``python -m tests.net.pinger ADDRESS``, in a guest's namespace.

A line with a number on standard input is answered by ``heard`` after that many more echoes.  At its end no more are
asked for, those on the way are waited for, and ``SENT LOST`` is printed.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
import time

INTERVAL_S = 0.001
LAST_WAIT_S = 3


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


class Pinger:
    """Echoes in the air; a number of one's own for each, as 16 bits of a sequence are soon used up."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._waiting: set[int] = set()
        self.sent = self.heard = 0

    def ask(self) -> None:
        body = struct.pack("!QHH", self.sent, 0, 0)
        head = struct.pack("!BBHHH", 8, 0, 0, 4711, self.sent & 0xFFFF)
        head = struct.pack("!BBHHH", 8, 0, _checksum(head + body), 4711, self.sent & 0xFFFF)
        self._socket.sendto(head + body, (self._address, 0))
        self._waiting.add(self.sent)
        self.sent += 1

    def hear(self) -> None:
        while True:
            try:
                packet = self._socket.recv(2048)
            except BlockingIOError:
                return
            # 20 bytes of IP, and type 0: an answer.
            if len(packet) >= 36 and packet[20] == 0:
                (number,) = struct.unpack_from("!Q", packet, 28)
                if number in self._waiting:
                    self._waiting.discard(number)
                    self.heard += 1

    @property
    def lost(self) -> int:
        return len(self._waiting)


def main(address: str) -> None:
    pinger = Pinger(address)
    wanted: int | None = None
    following = time.monotonic()
    while True:
        rest = max(0.0, following - time.monotonic())
        if select.select([0], [], [], rest)[0]:
            line = os.read(0, 4096)
            if not line:
                break
            wanted = pinger.heard + int(line)
        pinger.hear()
        if time.monotonic() >= following:
            pinger.ask()
            following += INTERVAL_S
        if wanted is not None and pinger.heard >= wanted:
            wanted = None
            sys.stdout.write("heard\n")
            sys.stdout.flush()
    until = time.monotonic() + LAST_WAIT_S
    while pinger.lost and time.monotonic() < until:
        select.select([], [], [], INTERVAL_S)
        pinger.hear()
    sys.stdout.write(f"{pinger.sent} {pinger.lost}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
