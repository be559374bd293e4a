"""Makes an object now and then, so that event streams have something to hear."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection as Orders

from attrs import frozen

from . import _sockets


@frozen
class Tick:
    """One object: its number, and when it was asked for and acknowledged."""

    number: int
    sent: float
    acknowledged: float


def run_ticker(port: int, path: str, token: str, interval_s: float, orders: Orders) -> list[Tick]:
    """
    PUT ``path/tick-N`` every ``interval_s``, on one connection.

    :raises ConnectionError: that connection broke, or an object was not made
    """
    client = _sockets.connect(port, 0)
    client.settimeout(60)
    ticks: list[Tick] = []
    orders.send(("ready", None))
    due = time.monotonic()
    while not orders.poll(max(0.0, due - time.monotonic())):
        number, sent = len(ticks) + 1, time.monotonic()
        request = f"PUT {path}/tick-{number} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\nContent-Length: 0\r\n\r\n"
        client.sendall(request.encode())
        answer = b""
        while not _sockets.head_length(answer):
            data = client.recv(65_536)
            if not data:
                raise ConnectionError(f"closed after {answer!r}")
            answer += data
        if not answer.startswith(b"HTTP/1.1 201"):
            raise ConnectionError(answer.decode("latin-1"))
        ticks.append(Tick(number, sent, time.monotonic()))
        due = max(due + interval_s, time.monotonic())
    return ticks
