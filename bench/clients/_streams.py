"""
Event streams that must hear every event once, in order.

What is told apart are the objects ``tick-1``, ``tick-2``, … that ``run_ticker`` makes: each stream must hear of all of
them, one after the other.  Ids must only grow, and the streams of all processes must have heard the same ids, of which
``chain`` is a checksum.
"""

from __future__ import annotations

import re
import select
import socket
import time
import zlib
from multiprocessing.connection import Connection as Orders

from attrs import define, field, frozen

from . import _sockets

EVENT = re.compile(rb"^id: c(\d+)\.o(\d+)\nevent: \S+\ndata: (.*)$", re.M)
TICK = re.compile(rb'"name":"tick-(\d+)"')
AT_ONCE = 100  # streams that are being opened
QUIET_S = 1.0
PATIENCE_S = 180.0  # for the last event, after everything else has ended


@frozen
class StreamLoad:
    """
    :ivar path: what to ask for, ``/events?types=…``
    :ivar first: number of the first connection, from which its address is made
    """

    port: int
    token: str
    path: str
    streams: int
    first: int = 0


@define
class StreamResult:
    """
    :ivar begun: streams that were answered with 200
    :ivar dropped: of those, how many ended
    :ivar gaps: events that a stream missed; ``doubled`` that it got twice or out of order
    :ivar chains: checksum of the ids that a stream heard -> how many streams
    :ivar heard: number of a tick -> when the first and the last stream heard of it, and how many did
    """

    begun: int = 0
    dropped: int = 0
    gaps: int = 0
    doubled: int = 0
    chains: dict[tuple[int, int], int] = field(factory=dict)
    heard: dict[int, list[float]] = field(factory=dict)
    examples: list[str] = field(factory=list)


class _Stream:
    __slots__ = ("chain", "count", "kept", "last", "socket", "tick")

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self.kept: bytes | None = b""
        self.chain = 0
        self.count = 0
        self.last = (0, 0)
        self.tick = 0


class _Streams:
    def __init__(self, load: StreamLoad, orders: Orders) -> None:
        self.load = load
        self.orders = orders
        self.result = StreamResult()
        self.poller = select.epoll()
        self.poller.register(orders.fileno(), select.EPOLLIN)
        self.streams: dict[int, _Stream] = {}
        self.opened = 0
        self.finished = False
        self.last_event = 0.0
        self.last_tick = 0

    def run(self) -> StreamResult:
        request = f"GET {self.load.path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {self.load.token}\r\n\r\n".encode()
        for number in range(self.load.first, self.load.first + self.load.streams):
            while self.opened - self.result.begun - self.result.dropped >= AT_ONCE:
                self.look(0.5)
            opened = _sockets.connect(self.load.port, number)
            self.streams[opened.fileno()] = _Stream(opened)
            self.opened += 1
            opened.send(request)
            self.poller.register(opened.fileno(), select.EPOLLIN)
        while self.result.begun + self.result.dropped < self.load.streams:
            self.look(0.5)
        self.orders.send(("ready", None))
        while not self.finished:
            self.look(1.0)
        self.last_event = time.monotonic()
        deadline = self.last_event + PATIENCE_S
        while not self.complete() and time.monotonic() < deadline:
            self.look(0.1)
        for stream in self.streams.values():
            found = (stream.count, stream.chain)
            self.result.chains[found] = self.result.chains.get(found, 0) + 1
        return self.result

    def complete(self) -> bool:
        """Whether all have heard of the last tick, and for a moment nothing came but heartbeats, which never end."""
        heard = self.result.heard.get(self.last_tick, [0, 0, 0])[2] if self.last_tick else len(self.streams)
        return heard >= len(self.streams) and time.monotonic() - self.last_event > QUIET_S

    def look(self, seconds: float) -> int:
        events = self.poller.poll(seconds, 4096)
        for fd, _mask in events:
            stream = self.streams.get(fd)
            if stream is not None:
                self.receive(fd, stream)
            elif fd == self.orders.fileno():
                words = self.orders.recv().split()
                self.finished = words[0] == "finish"
                self.last_tick = int(words[1]) if len(words) > 1 else 0
        return len(events)

    def receive(self, fd: int, stream: _Stream) -> None:
        try:
            data = stream.socket.recv(65_536)
        except BlockingIOError:
            return
        except OSError as problem:
            self.drop(fd, stream, repr(problem))
            return
        if not data:
            self.drop(fd, stream, "ended by the server")
            return
        if stream.tick == 0 and stream.kept == b"" and stream.count == 0 and data.startswith(b"HTTP/1.1 "):
            if not data.startswith(b"HTTP/1.1 200"):
                self.drop(fd, stream, data[:200].decode("latin-1"))
                return
            self.result.begun += 1
        kept = (stream.kept or b"") + data
        end = kept.rfind(b"\n\n") + 2
        if end > 1:
            self.hear(fd, stream, kept[:end])
            kept = kept[end:]
        stream.kept = kept or None

    def hear(self, fd: int, stream: _Stream, text: bytes) -> None:
        now, result = time.monotonic(), self.result
        for found in EVENT.finditer(text):
            self.last_event = now
            position = (int(found[1]), int(found[2]))
            if position <= stream.last:
                result.doubled += 1
                self.note(fd, f"id {found[1]!r}.{found[2]!r} after {stream.last}")
            stream.last = position
            stream.chain = zlib.crc32(b"%d.%d" % position, stream.chain)
            stream.count += 1
            tick = TICK.search(found[3])
            if tick is None:
                continue
            number = int(tick[1])
            if stream.tick and number != stream.tick + 1:
                result.gaps += max(0, number - stream.tick - 1)
                result.doubled += number <= stream.tick
                self.note(fd, f"tick {number} after {stream.tick}")
            stream.tick = number
            times = result.heard.setdefault(number, [now, now, 0])
            times[1] = now
            times[2] += 1

    def drop(self, fd: int, stream: _Stream, cause: str) -> None:
        self.result.dropped += 1
        self.note(fd, cause)
        self.poller.unregister(fd)
        stream.socket.close()
        del self.streams[fd]

    def note(self, fd: int, cause: str) -> None:
        if len(self.result.examples) < 10:
            self.result.examples.append(f"{time.monotonic():.3f} stream {fd}: {cause}")


def run_streams(load: StreamLoad, orders: Orders) -> StreamResult:
    """The process of a ``StreamLoad``; ``finish N``: when all have heard of tick N, or ``PATIENCE_S`` later."""
    return _Streams(load, orders).run()
