"""A broker's side of the protocol, played by a test: it lets everybody in, and then says what it is told to."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from cloudd.protocols.amqp._frames import METHOD, FrameReader, pack_frame
from cloudd.protocols.amqp._methods import find_method, pack_method, unpack_method

OFFER = ("connection.start", 0, 9, {"product": "a test"}, b"PLAIN AMQPLAIN", b"en_US")
ANSWERS: dict[str, tuple[Any, ...]] = {
    "connection.start-ok": ("connection.tune", 100, 131_072, 0),
    "connection.open": ("connection.open-ok", ""),
    "connection.close": ("connection.close-ok",),
    "channel.open": ("channel.open-ok", b""),
    "channel.close": ("channel.close-ok",),
    "confirm.select": ("confirm.select-ok",),
    "basic.qos": ("basic.qos-ok",),
    "queue.declare": ("queue.declare-ok", "q", 0, 0),
}


class Peer(Protocol):
    """
    :ivar heard: names of the methods that came
    """

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._reader = FrameReader()
        self._greeting = b""

    def dataReceived(self, data: bytes) -> None:
        """After eight bytes that say which protocol it is, frames."""
        if len(self._greeting) < 8:
            self._greeting += data
            if len(self._greeting) < 8:
                return
            data = self._greeting[8:]
            self.say(*OFFER)
        for frame in self._reader.feed(data):
            if frame.kind == METHOD:
                self._answer(frame.channel, frame.payload)

    def _answer(self, channel: int, payload: bytes) -> None:
        method, arguments = unpack_method(payload)
        name = f"{method.klass.name}.{method.name}"
        self.heard.append(name)
        if name == "basic.consume":
            tag = arguments[method.fields.index(method.fields.byname["consumer-tag"])]
            self.say("basic.consume-ok", tag, channel=channel)
        elif name in ANSWERS:
            self.say(*ANSWERS[name], channel=channel)

    def say(self, name: str, *arguments: Any, channel: int = 0) -> None:
        """A method."""
        if self.transport is not None:
            self.transport.write(pack_frame(METHOD, channel, pack_method(find_method(name), list(arguments))))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It says no more."""
        self.transport = None


class Peers(Factory):
    """
    :ivar met: one for each connection, the last one last
    """

    def __init__(self) -> None:
        self.met: list[Peer] = []

    def buildProtocol(self, addr: Any) -> Peer:
        """Another one."""
        self.met.append(Peer())
        return self.met[-1]
