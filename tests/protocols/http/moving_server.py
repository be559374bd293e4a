"""
An HTTP server that hands its connections to a new process of itself on SIGUSR2, and takes them back on SIGUSR1; for
``test_moving``.

Arguments: ``serve``, a folder or nothing, and for how long (seconds) connections may be handed back.  With a folder
it has the object face on a store there as well, below ``/v1/``.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import ProcessProtocol

from cloudd.interfaces.settings import HTTPSettings
from cloudd.protocols.http import HTTPAdopter, HTTPServerFactory, MovableHTTP, Request, http_kinds, listen
from reload import Ending, HandoverLimits, Link, NewProcess, OldProcess, link_pair, listening_socket

from .moving_store import object_face, prepare

reactor: Any = _reactor
KINDS = http_kinds()
TEXT = (b"Content-Type", b"text/plain")


class Counting:
    """A body's reader that cannot tell its state."""

    def __init__(self) -> None:
        self.total = 0

    def write(self, data: bytes) -> None:
        self.total += len(data)


class Server:
    """One process; its own site."""

    def __init__(self, generation: int, folder: str) -> None:
        self.generation = generation
        self.folder = folder
        self.window_s = 1.0
        self.objects: Any = None
        self.store: Any = None
        if folder:
            self.objects, self.store = object_face(reactor, Path(folder))
        self.factory = HTTPServerFactory(self, HTTPSettings(), "api", reactor)
        self.listener = -1
        self.port: Any = None
        self.side: Any = None
        self.finished_here: dict[str, int] = {}
        self.moved_away = 0

    # ---- the site

    def handle(self, request: Request) -> Coroutine[Any, Any, None]:
        answer: Coroutine[Any, Any, None]
        answer = self.objects(request) if request.path.startswith(b"/v1/") else self.answer(request)
        return answer

    async def answer(self, request: Request) -> None:
        text = b"%d " % self.generation
        if request.path == b"/large":
            text += b"x" * 2_000_000
        elif request.path == b"/document":
            text += await request.body.read(1_000_000)
        elif request.path == b"/upload":
            sink = Counting()
            await request.body.stream_to(sink)
            text += b"%d" % sink.total
        elif request.path == b"/counts":
            text += b"%d %d %d" % (sum(self.finished_here.values()), len(self.finished_here), self.moved_away)
        request.respond(200, [TEXT], text)

    def finished(self, request: Request) -> None:
        self.finished_here[request.id] = self.finished_here.get(request.id, 0) + 1

    def may_follow(self, connection: Any) -> None:
        if self.side is not None and connection.transport is not None:
            self.side.ready(self.movable(connection))

    # ---- the hand-over

    def moved(self, _: Request) -> None:
        self.moved_away += 1

    def movable(self, connection: Any) -> MovableHTTP:
        return MovableHTTP(connection)

    def accept(self, listener: int) -> None:
        self.listener = listener
        self.port = listen(reactor, listener, self.factory)

    def stop_accepting(self) -> None:
        self.port.stopListening()

    def hand_over(self) -> None:
        ours, theirs = link_pair()
        module = "tests.protocols.http.moving_server"
        arguments = [sys.executable, "-m", module, "link", self.folder, str(self.generation + 1)]
        reactor.spawnProcess(
            ProcessProtocol(), sys.executable, arguments, env=None, childFDs={0: 0, 1: 1, 2: 2, 3: theirs.fileno()}
        )
        theirs.close()
        self.side = OldProcess(
            reactor,
            Link(reactor, ours),
            KINDS,
            lambda: [self.movable(connection) for connection in self.factory.connections],
            self.stop_accepting,
            listeners={"api": self.listener},
            adopter=HTTPAdopter(reactor, {"api": self.factory}),
            limits=HandoverLimits(window_s=self.window_s),
        )
        self.factory.may_move = self.may_follow
        self.side.start().addCallbacks(self.said, lambda failure: say(f"failed: {failure.value}"))
        self.side.ended.addCallback(self.over)

    def take_back(self) -> None:
        self.accept(self.listener)
        returned = self.side.take_back("wanted")
        returned.addCallbacks(
            lambda progress: say(f"back {progress.taken} of {progress.moved}"), lambda failure: say(str(failure.value))
        )

    def said(self, progress: Any) -> None:
        say(f"moved {progress.moved} later {len(self.side.later)}")

    def over(self, ending: Ending) -> None:
        say(f"over {ending.how} {ending.progress.moved} {self.moved_away} {sum(self.finished_here.values())}")
        if ending.how == "moved":
            reactor.stop()

    def receive(self) -> None:
        self.side = NewProcess(
            reactor,
            Link(reactor, socket.socket(fileno=3)),
            KINDS,
            HTTPAdopter(reactor, {"api": self.factory}),
            accept=lambda listeners: self.accept(listeners["api"]),
            source=lambda: [self.movable(connection) for connection in self.factory.connections],
            going_back=lambda _: self.stop_accepting(),
        )
        self.factory.may_move = self.may_follow
        self.side.start().addErrback(lambda failure: say(str(failure.value)))
        self.side.ended.addCallback(lambda _: setattr(self, "side", None))


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main(arguments: list[str]) -> None:
    """Serve."""
    if arguments[0] == "link":
        Server(int(arguments[2]), arguments[1]).receive()
    else:
        server = Server(1, arguments[1])
        ready: Deferred[None] = succeed(None) if server.store is None else Deferred.fromCoroutine(prepare(server.store))
        server.accept(listening_socket("127.0.0.1", 0).detach())
        signal.signal(signal.SIGUSR2, lambda *_: reactor.callFromThread(server.hand_over))
        signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(server.take_back))
        server.window_s = float(arguments[2])
        # Whoever knows the port may ask at once.
        reactor.callWhenRunning(ready.addCallback, lambda _: say(f"port {server.port.getHost().port}"))
    reactor.callLater(120, os._exit, 3)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
