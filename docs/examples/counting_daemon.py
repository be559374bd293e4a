"""
A line server that hands its clients' connections to a new process of itself, while they talk.

    python docs/examples/counting_daemon.py 7000            # serves on 127.0.0.1:7000, as generation 1
    kill -USR2 PID                                          # spawns generation 2 from the file as it is on disk now
    kill -HUP PID                                           # within 30 s: generation 1 takes everything back

Each line is answered with its number on this connection and the generation that answered: ``3 1 hello``.  ``get N``
gives N bytes; ``slow TEXT`` answers after half a second, during which the connection cannot move: it follows.
``docs/examples/show_handover.py`` plays it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from reload import (
    AdoptedConnection,
    Ending,
    HandoverLimits,
    IAdopter,
    Kinds,
    Link,
    MovableConnection,
    NewProcess,
    NotMovable,
    OldProcess,
    Reason,
    Snapshot,
    adopt_transport,
    link_pair,
    listen_on,
    listening_socket,
    unsent_output,
)

reactor: Any = _reactor
KINDS = Kinds({"counting-connection": 1})
LIMITS = HandoverLimits(window_s=30)


def say(text: str) -> None:
    """Tell whoever watches."""
    sys.stderr.write(f"{os.getpid()} {text}\n")
    sys.stderr.flush()


class Counting(Protocol):
    """One client.  All that has to move is plain: a number, half a line, and what the transport has not sent."""

    transport: Any
    count = 0
    received = b""
    slow = 0

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon

    def connectionMade(self) -> None:
        self.daemon.clients.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.daemon.clients.discard(self)
        self.daemon.may_move(self)

    def dataReceived(self, data: bytes) -> None:
        *lines, self.received = (self.received + data).split(b"\n")
        for line in lines:
            self.line_received(line)

    def line_received(self, line: bytes) -> None:
        self.count += 1
        words = line.split()
        if words[:1] == [b"get"]:
            self.transport.write(bytes(range(256)) * (int(words[1]) // 256))
        elif words[:1] == [b"slow"]:
            self.slow += 1
            reactor.callLater(0.5, self.answer_slowly, line)
        else:
            self.answer(line)

    def answer(self, line: bytes) -> None:
        self.transport.write(b"%d %d %s\n" % (self.count, self.daemon.generation, line))

    def answer_slowly(self, line: bytes) -> None:
        self.slow -= 1
        self.answer(line)
        self.daemon.may_move(self)

    # ---- for the hand-over

    def tell(self) -> Snapshot:
        """What another process needs."""
        if self.slow:
            raise NotMovable(Reason.BUSY, "a slow answer is being made")
        fields = {"count": self.count, "received": self.received, "output": unsent_output(self.transport)}
        return Snapshot("counting-connection", 1, fields)

    def movable(self) -> MovableConnection:
        return MovableConnection(self.transport, self.tell, lambda: self.daemon.clients.discard(self))


@implementer(IAdopter)
class Adopter:
    """Where connections arrive."""

    versions = KINDS.versions

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon

    def adopt(self, snapshot: Snapshot, descriptors: Sequence[int]) -> AdoptedConnection:
        client = Counting(self.daemon)
        client.count, client.received = snapshot.fields["count"], snapshot.fields["received"]
        (descriptor,) = descriptors
        return AdoptedConnection(adopt_transport(reactor, descriptor, client), client, snapshot.fields["output"])


class Daemon(Factory):
    """One process."""

    noisy = False

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.clients: set[Counting] = set()
        self.listener = -1
        self.port: Any = None
        self.side: OldProcess | NewProcess | None = None

    def buildProtocol(self, addr: Any) -> Counting:
        return Counting(self)

    def movables(self) -> list[MovableConnection]:
        return [client.movable() for client in self.clients]

    def may_move(self, client: Counting) -> None:
        """A client has ended, or what kept it here has."""
        if self.side is not None:
            self.side.ready(client.movable())

    def accept(self, listener: int) -> None:
        self.listener = listener
        self.port = listen_on(reactor, listener, self)

    def stop_accepting(self) -> None:
        """Only here: the socket stays open, and clients wait in its queue."""
        port, self.port = self.port, None
        if port is not None:
            port.stopListening()

    # ---- the old process

    def hand_over(self) -> None:
        """Spawn the next generation and give it everything."""
        ours, theirs = link_pair()
        arguments = [sys.executable, str(Path(__file__).resolve()), "--link", "3", str(self.generation + 1)]
        descriptors = {0: 0, 1: 1, 2: 2, 3: theirs.fileno()}
        child = reactor.spawnProcess(ProcessProtocol(), sys.executable, arguments, env=None, childFDs=descriptors)
        theirs.close()
        say(f"spawned {child.pid}")
        old = OldProcess(
            reactor,
            Link(reactor, ours),
            KINDS,
            self.movables,
            self.stop_accepting,  # a real daemon makes its decision durable here
            adopter=Adopter(self),
            listeners={"lines": self.listener},
            limits=LIMITS,
            fence=lambda _cause: child.signalProcess("KILL"),
            going_back=lambda _cause: self.accept(self.listener),
        )
        self.side = old
        old.start().addCallbacks(lambda progress: say(f"moved {progress}"), lambda failure: say(str(failure.value)))
        old.ended.addCallback(self.handed_over)

    def handed_over(self, ending: Ending) -> None:
        self.side = None
        say(f"{ending.how} {ending.cause}")
        if ending.how == "moved":
            reactor.stop()
        elif self.port is None:
            self.accept(self.listener)

    def take_back(self) -> None:
        if isinstance(self.side, OldProcess):
            back = self.side.take_back("SIGHUP")
            back.addCallbacks(lambda progress: say(f"returned {progress}"), lambda failure: say(str(failure.value)))

    # ---- the new process

    def receive(self, link: socket.socket) -> None:
        """Take everything from the process at the other end."""
        new = NewProcess(
            reactor,
            Link(reactor, link),
            KINDS,
            Adopter(self),
            accept=lambda listeners: self.accept(listeners["lines"]),
            source=self.movables,
            limits=LIMITS,
            going_back=lambda _cause: self.stop_accepting(),
        )
        self.side = new
        new.start().addErrback(lambda failure: say(str(failure.value)))
        new.ended.addCallback(self.received)

    def received(self, ending: Ending) -> None:
        self.side = None
        if ending.how != "moved" and not self.clients:
            reactor.stop()


def main(arguments: list[str]) -> None:
    """Serve."""
    if arguments[:1] == ["--link"]:
        daemon = Daemon(generation=int(arguments[2]))
        daemon.receive(socket.socket(fileno=int(arguments[1])))
    else:
        daemon = Daemon(generation=1)
        listener = listening_socket("127.0.0.1", int(arguments[0]))
        daemon.accept(listener.detach())
        reactor.callWhenRunning(say, f"serving on port {daemon.port.getHost().port}")
    signal.signal(signal.SIGUSR2, lambda *_: reactor.callFromThread(daemon.hand_over))
    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(daemon.take_back))
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
