"""Transports in memory, with what the connection asks of one."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.python.failure import Failure


@define(eq=False)
class MemoryTransport:
    """
    Keeps what was written.

    :ivar room: bytes that the client takes before the producer is paused
    """

    written: bytearray = field(factory=bytearray)
    protocol: Any = None
    producer: Any = None
    room: int | None = None
    reading: bool = True
    closing: bool = False
    half_closed: bool = False
    aborted: bool = False
    gone: bool = False
    unsent_bytes: bytes = b""

    def write(self, data: bytes) -> None:
        assert type(data) is bytes, type(data)
        if self.closing or self.half_closed or self.gone:
            return
        self.written += data
        if self.room is not None and self.producer is not None and len(self.written) > self.room:
            self.producer.pauseProducing()

    def take(self) -> bytes:
        """What the client reads; makes room."""
        data = bytes(self.written)
        self.written.clear()
        if self.room is not None and self.producer is not None:
            self.producer.resumeProducing()
        return data

    def registerProducer(self, producer: Any, _streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        assert self.reading
        self.reading = False

    def resumeProducing(self) -> None:
        assert not self.reading
        self.reading = True

    def loseConnection(self) -> None:
        self.closing = True

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def abortConnection(self) -> None:
        self.aborted = True

    def export_output(self) -> bytes:
        return self.unsent_bytes

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 5000)

    def lose(self) -> None:
        """The connection goes, as the reactor tells it."""
        self.gone = True
        self.protocol.connectionLost(Failure(ConnectionAborted() if self.aborted else ConnectionDone()))
