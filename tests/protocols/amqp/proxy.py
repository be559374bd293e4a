"""A TCP proxy that cuts one connection after so many bytes, and lets all others be."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

HOST = "127.0.0.1"


@define(eq=False)
class Proxy:
    """
    :param cut: number of the connection, which side speaks (``client`` or ``broker``), after how many bytes of it
    :ivar passed: bytes of each connection and side
    """

    reactor: Any
    target: int
    cut: tuple[int, str, int] = (-1, "", 0)
    passed: dict[tuple[int, str], int] = field(factory=dict)
    was_cut: bool = False
    _listening: Any = None
    _halves: list[Any] = field(factory=list)
    _met: int = 0

    def start(self) -> int:
        """Listen; where."""
        factory: Any = Factory.forProtocol(lambda: _Half(self, self._next(), "client"))
        self._listening = self.reactor.listenTCP(0, factory, interface=HOST)
        return int(self._listening.getHost().port)

    async def stop(self) -> None:
        """Cut everything."""
        await self._listening.stopListening()
        for half in self._halves:
            half.transport.abortConnection()

    def _next(self) -> int:
        self._met += 1
        return self._met - 1

    def allowed(self, number: int, side: str, data: bytes) -> bytes:
        """What of it passes."""
        before = self.passed.get((number, side), 0)
        if self.cut[:2] == (number, side):
            data = data[: max(0, self.cut[2] - before)]
        self.passed[number, side] = before + len(data)
        return data

    def is_over(self, number: int, side: str) -> bool:
        """Whether this was its last byte."""
        return self.cut[:2] == (number, side) and self.passed.get((number, side), 0) >= self.cut[2]


class _Half(Protocol):
    """One of the two TCP connections."""

    transport: Any

    def __init__(self, proxy: Proxy, number: int, side: str) -> None:
        self.proxy, self.number, self.side = proxy, number, side
        self.other: _Half | None = None
        self._early = b""

    def connectionMade(self) -> None:
        self.proxy._halves.append(self)
        if self.side == "client":
            half = _Half(self.proxy, self.number, "broker")
            half.other = self
            endpoint = HostnameEndpoint(self.proxy.reactor, HOST, self.proxy.target)
            endpoint.connect(Factory.forProtocol(lambda: half)).addCallbacks(self._connected, self._refused)

    def _connected(self, half: Any) -> None:
        self.other = half
        early, self._early = self._early, b""
        self.pass_on(early)

    def _refused(self, _: Failure) -> None:
        self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if self.other is None:
            self._early += data
        else:
            self.pass_on(data)

    def pass_on(self, data: bytes) -> None:
        """Up to where it is cut; both ends notice."""
        if self.other is None or self.other.transport is None:
            return
        self.other.transport.write(self.proxy.allowed(self.number, self.side, data))
        if self.proxy.is_over(self.number, self.side):
            self.proxy.was_cut = True
            for each in (self.other, self):
                each.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.proxy._halves.remove(self)
        if self.other is not None and self.other.transport is not None:
            self.other.transport.loseConnection()
