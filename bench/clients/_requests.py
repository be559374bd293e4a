"""
Keep-alive connections that ask at a fixed rate, whatever the server does, and idle ones that are asked when told to.

The schedule is open: request k is due at ``start + k / rate``, on connection k modulo their number.  It is asked when
this client comes to it, also where its connection still waits for an answer: then it waits on the client's side, and
the server is charged for that.  So a server that stands still is charged for all that it kept waiting, and this
client's own lateness, ``asked - due``, which the server has no part in, is told beside it.
"""

from __future__ import annotations

import select
import time
from array import array
from collections import deque
from multiprocessing.connection import Connection as Orders

from attrs import define, field, frozen

from . import _sockets
from ._stolen import StolenTime

PATIENCE_S = 30.0
PRECISION_S = 0.0001


@frozen
class Target:
    """Something to ask for; an answer is right with status 200 and a body that begins with ``expected``."""

    port: int
    request: bytes
    expected: bytes = b""


@frozen
class RequestLoad:
    """
    :ivar targets: connection k asks for target k modulo their number
    :ivar active: connections that share ``rate`` (requests a second)
    :ivar idle: connections that are used once at the start, and once after each order ``touch``
    :ivar first: number of the first connection, from which its address is made
    :ivar reconnect: open a lost connection again when it is wanted, and ask again; else a lost one is an error
    :ivar touch_rate: idle connections that are used a second after an order
    """

    targets: tuple[Target, ...]
    active: int
    idle: int
    rate: float
    first: int = 0
    reconnect: bool = False
    touch_rate: float = 500.0


def get(path: str, token: str = "") -> bytes:
    login = f"X-Auth-Token: {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{login}\r\n".encode()


@define
class RequestResult:
    """
    What the clients saw.

    :ivar due: when each answered request of the active connections was due
    :ivar asked: when the client came to it; ``done`` when the answer was there
    :ivar touched: answered requests of idle connections
    :ivar closed: connections that the server closed or reset
    :ivar lost: requests that were sent and got no answer
    :ivar reconnects: connections that were opened again
    :ivar wrong: answers that were not what they had to be
    :ivar stolen: what the machine's host kept from it meanwhile
    :ivar bodies: bodies seen, of each target the different ones
    """

    due: array[float] = field(factory=lambda: array("d"))
    asked: array[float] = field(factory=lambda: array("d"))
    done: array[float] = field(factory=lambda: array("d"))
    touched: int = 0
    touch_longest_s: float = 0.0
    closed: int = 0
    lost: int = 0
    unsent: int = 0
    reconnects: int = 0
    wrong: int = 0
    stolen: StolenTime = field(factory=StolenTime)
    examples: list[str] = field(factory=list)
    bodies: list[set[bytes]] = field(factory=list)

    @property
    def errors(self) -> int:
        return self.closed + self.lost + self.unsent + self.wrong


class _Line:
    """One connection."""

    __slots__ = ("buffer", "fd", "idle", "number", "socket", "target", "waiting")

    def __init__(self, number: int, target: int, idle: bool) -> None:
        self.number = number
        self.target = target
        self.idle = idle
        self.socket = None
        self.fd = -1
        self.buffer = b""
        # (due, asked) of the request that is under way, then of those that wait for it
        self.waiting: deque[tuple[float, float]] | None = None


class _Requests:
    def __init__(self, load: RequestLoad, orders: Orders) -> None:
        self.load = load
        self.orders = orders
        self.result = RequestResult(bodies=[set() for _ in load.targets])
        self.poller = select.epoll()
        self.poller.register(orders.fileno(), select.EPOLLIN)
        self.lines: dict[int, _Line] = {}
        self.active = [_Line(load.first + n, n % len(load.targets), idle=False) for n in range(load.active)]
        count = len(load.targets)
        self.idle = [_Line(load.first + load.active + n, n % count, idle=True) for n in range(load.idle)]
        self.touches: deque[_Line] = deque()
        self.next_touch = 0.0
        self.outstanding = 0

    def run(self) -> RequestResult:
        for line in [*self.active, *self.idle]:
            self.open(line)
        self.touch()
        self.turn_until(lambda: not self.touches and not self.outstanding)
        for line in self.active:  # their first answers are no part of the measurement either
            self.ask(line, time.monotonic(), record=False)
        self.turn_until(lambda: not self.outstanding)
        self.result.touched = 0
        self.result.touch_longest_s = 0.0
        self.orders.send(("ready", None))
        self.follow_schedule()
        self.turn_until(lambda: not self.touches and not self.outstanding)
        self.result.lost += self.outstanding
        return self.result

    def open(self, line: _Line) -> None:
        opened = _sockets.connect(self.load.targets[line.target].port, line.number)
        line.socket, line.fd, line.buffer = opened, opened.fileno(), b""  # type: ignore[assignment]
        self.lines[line.fd] = line
        self.poller.register(line.fd, select.EPOLLIN)

    def turn_until(self, condition: object) -> None:
        """Work without the schedule until something is so, or for ``PATIENCE_S`` at most."""
        assert callable(condition)
        deadline = time.monotonic() + PATIENCE_S + len(self.touches) / self.load.touch_rate
        while not condition() and time.monotonic() < deadline:
            self.send_touches(time.monotonic())
            self.look(0.002)

    def follow_schedule(self) -> None:
        active, interval, number = self.active, 1 / self.load.rate if self.load.rate else 3600.0, 0
        start = time.monotonic() + 0.05
        while True:
            now = time.monotonic()
            while active and (due := start + number * interval) <= now:
                self.ask(active[number % len(active)], due)
                number += 1
            self.send_touches(now)
            self.result.stolen.look(now)
            wanted = min(
                start + number * interval if active else now + 0.5, self.next_touch if self.touches else now + 1
            )
            if self.look(max(0.0, wanted - time.monotonic())):
                return

    def touch(self) -> None:
        self.touches.extend(self.idle)
        self.next_touch = time.monotonic()

    def send_touches(self, now: float) -> None:
        while self.touches and self.next_touch <= now:
            self.ask(self.touches.popleft(), self.next_touch)
            self.next_touch += 1 / self.load.touch_rate

    def ask(self, line: _Line, due: float, record: bool = True) -> None:
        if line.socket is None and self.load.reconnect:
            self.open(line)
            self.result.reconnects += 1
        if line.socket is None:
            self.result.unsent += 1
            return
        if line.waiting is None:
            line.waiting = deque()
        line.waiting.append((due if record else 0.0, time.monotonic()))
        self.outstanding += 1
        if len(line.waiting) == 1:
            self.send(line)

    def send(self, line: _Line) -> None:
        assert line.waiting is not None and line.socket is not None
        try:
            line.socket.send(self.load.targets[line.target].request)
        except OSError as problem:
            self.lose(line, f"sending: {problem!r}")

    def look(self, seconds: float) -> bool:
        """Take what has come, wait for it as long as this; whether the order to finish was among it."""
        if seconds > PRECISION_S:  # epoll waits for whole milliseconds, select for microseconds
            select.select([self.poller], [], [], seconds)
        finished = False
        for fd, _mask in self.poller.poll(0, 4096):
            line = self.lines.get(fd)
            if line is not None:
                self.receive(line)
            elif fd == self.orders.fileno():
                if self.orders.recv() == "touch":
                    self.touch()
                else:
                    finished = True
        return finished

    def receive(self, line: _Line) -> None:
        assert line.socket is not None
        try:
            data = line.socket.recv(65_536)
        except BlockingIOError:
            return
        except OSError as problem:
            self.lose(line, repr(problem))
            return
        now = time.monotonic()
        if not data:
            self.lose(line, "closed by the server")
            return
        line.buffer += data
        start = _sockets.head_length(line.buffer)
        if not start:
            return
        head = line.buffer[:start]
        end = start + int(_sockets.field(head, b"content-length") or b"0")
        if len(line.buffer) < end:
            return
        body, line.buffer = line.buffer[start:end], line.buffer[end:]
        self.answered(line, head, body, now)

    def answered(self, line: _Line, head: bytes, body: bytes, now: float) -> None:
        result, target = self.result, self.load.targets[line.target]
        if not line.waiting:
            self.note(line, f"an answer that nobody asked for: {head[:100]!r}")
            result.wrong += 1
            return
        due, asked = line.waiting.popleft()
        self.outstanding -= 1
        if not head.startswith(b"HTTP/1.1 200") or not body.startswith(target.expected) or line.buffer:
            result.wrong += 1
            self.note(line, f"{head[:200]!r} {body[:200]!r}")
        if len(result.bodies[line.target]) < 1000:
            result.bodies[line.target].add(body[:200])
        if line.idle:
            result.touched += 1
            result.touch_longest_s = max(result.touch_longest_s, now - due)
        elif due:
            result.due.append(due)
            result.asked.append(asked)
            result.done.append(now)
        if line.waiting:
            self.send(line)
        else:
            line.waiting = None

    def lose(self, line: _Line, cause: str) -> None:
        assert line.socket is not None
        self.note(line, cause)
        self.result.closed += 1
        self.poller.unregister(line.fd)
        del self.lines[line.fd]
        line.socket.close()
        line.socket = None
        waiting = line.waiting or deque()
        self.result.lost += bool(waiting)
        if self.load.reconnect and waiting:
            self.open(line)
            self.result.reconnects += 1
            self.send(line)
        if self.load.reconnect:
            return
        self.result.unsent += max(0, len(waiting) - 1)
        self.outstanding -= len(waiting)
        line.waiting = None

    def note(self, line: _Line, cause: str) -> None:
        if len(self.result.examples) < 10:
            kind = "idle" if line.idle else "active"
            self.result.examples.append(f"{time.monotonic():.3f} {kind} connection {line.number}: {cause}")


def run_requests(load: RequestLoad, orders: Orders) -> RequestResult:
    """The process of a ``RequestLoad``; it knows the order ``touch``."""
    return _Requests(load, orders).run()
