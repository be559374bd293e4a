# -*- test-case-name: tests.protocols.http.test_request -*-
"""All connections of one port: what they share, their one timer, and their ordered end."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from zope.interface import implementer

from cloudd.interfaces.settings import HTTPSettings
from reload import Snapshot

from ._answer import common_lines, id_names
from ._connection import HTTPConnection
from ._errors import NotExportable
from ._head import HeadParser
from ._ids import RequestIds
from ._lots import Lots
from ._request import Request
from ._snapshot import restore, take_snapshot
from ._timeouts import check

_log = Logger()
_SWEEP_S = 1.0
_SWEEP_SLICE = 1_000  # connections that are looked at in one turn of the reactor: about a millisecond
_SLICE_S = 0.005  # of the reactor's time, for handlers of requests from another process


class Site(Protocol):
    """What a connection asks."""

    def handle(self, request: Request) -> Coroutine[Any, Any, None] | None:
        """
        Answer ``request``, whose head is complete.

        A coroutine is run by the connection.  It goes on when the client leaves if the method changes state, else it
        is cancelled.  What it raises becomes a 500, or ends the connection if the answer had begun.
        """

    def finished(self, request: Request) -> None:
        """
        Called exactly once per request: its last byte was queued, or the client left and the handler has ended.

        Also for bytes that were refused before they were a request, which ``handle`` has not seen: then ``route`` is
        ``refused``, ``generation`` is 0, method and path are empty.
        """

    def moved(self, request: Request) -> None:
        """
        ``request``, which was handled here, goes on in another process, or as another request in a newer generation.

        It is not reported as finished: let go of what was kept for it.
        """


@implementer(IProtocolFactory)
class HTTPServerFactory(ServerFactory):
    """
    Makes the connections of one port.

    :ivar connections: the open ones
    :ivar accepted: how many there have been
    :ivar refused: count by status of bytes that were no request
    :ivar common: header lines that all answers have, good until ``common_until``
    :ivar may_move: while connections move to another process: called, in a turn of the reactor of its own, with a
        connection whose request has ended, whose handler can tell its state now, whose client has taken most of what
        waited for it, or which is gone
    :ivar secure: its connections come over TLS, which ends in another process
    :ivar draining: no further request is taken on a connection after its current one
    :ivar lots: for its connections
    :ivar per_client: most connections of one address, whose clients may be anybody's; 0: any
    """

    noisy = False

    def __init__(
        self,
        site: Site,
        limits: HTTPSettings,
        face: str,
        reactor: Any,
        random: Random | None = None,
        *,
        per_client: int = 0,
    ) -> None:
        self.site = site
        self.limits = limits
        self.face = face
        self.reactor = reactor
        self.parser = HeadParser()
        self.ids = RequestIds()
        self.id_names = id_names(face)
        self.connections: set[HTTPConnection] = set()
        self.per_client = per_client
        self._of_client: Counter[str] = Counter()
        self.accepted = 0
        self.refused: dict[int, int] = {}
        self.secure = False
        self.draining = False
        self.may_move: Callable[[HTTPConnection], None] | None = None
        self._may_move_now: dict[HTTPConnection, None] = {}
        self._waiting: deque[HTTPConnection] = deque()
        self.lots = Lots(random or Random())  # noqa: S311  (nothing secret)
        self.now = 0.0
        self.seconds: Callable[[], float] = reactor.seconds
        self.common = b""
        self.common_until = 0.0
        self._sweeping = False
        self._drained: Deferred[int] | None = None
        self._cut = 0
        self._tick()

    def buildProtocol(self, addr: Any) -> HTTPConnection:  # type: ignore[override]
        """A connection for a client at ``addr``."""
        return HTTPConnection(self, peer_text(addr))

    def has_room_for(self, host: str) -> bool:
        """Whether one more connection from this address is served."""
        return not self.per_client or self._of_client[host] < self.per_client

    def resume(self, snapshot: Snapshot, transport: Any, descriptors: tuple[int, ...] = ()) -> HTTPConnection:
        """
        Go on with a connection that another process (or this one) has served until ``snapshot``.

        :param transport: of the same client, connected; its protocol is set by the caller
        :param descriptors: those that the request's handler has passed on; the connection's from now on
        :raises ValueError: a snapshot of another kind or version
        """
        connection = self.restore(snapshot, descriptors)
        connection.makeConnection(transport)
        return connection

    def restore(self, snapshot: Snapshot, descriptors: tuple[int, ...] = ()) -> HTTPConnection:
        """
        The first half of ``resume``: nothing is sent and no handler called before ``makeConnection``.

        :param descriptors: stay the caller's when it raises
        """
        connection = HTTPConnection(self, snapshot.fields["peer"])
        restore(connection, snapshot, descriptors)
        return connection

    def begin_later(self, connection: HTTPConnection) -> None:
        """Let the handler of a request from another process begin soon: many come at once, and others wait for none."""
        if not self._waiting:
            self.reactor.callLater(0, self._begin_some)
        self._waiting.append(connection)

    def _begin_some(self) -> None:
        enough = self.seconds() + _SLICE_S
        while self._waiting:
            try:
                self._waiting.popleft().begin_waiting()
            except Exception:
                _log.failure("a request from another process could not begin")
            if self._waiting and self.seconds() >= enough:
                self.reactor.callLater(0, self._begin_some)
                return

    def tell_may_move(self, connection: HTTPConnection) -> None:
        """``connection`` may have become movable: say so when it has come to rest."""
        if self.may_move is not None:
            if not self._may_move_now:
                self.reactor.callLater(0, self._tell_may_move)
            self._may_move_now[connection] = None

    def _tell_may_move(self) -> None:
        connections, self._may_move_now = self._may_move_now, {}
        for connection in connections:
            if self.may_move is not None:
                try:
                    self.may_move(connection)
                except Exception:
                    _log.failure("nobody could be told that a connection may move")

    def snapshot_all(self) -> dict[HTTPConnection, Snapshot | NotExportable]:
        """A snapshot of each connection, or why there is none at this moment; changes nothing."""
        taken: dict[HTTPConnection, Snapshot | NotExportable] = {}
        for connection in self.connections:
            try:
                taken[connection] = take_snapshot(connection)
            except NotExportable as error:
                taken[connection] = error
        return taken

    def opened(self, connection: HTTPConnection) -> None:
        """``connection`` has its transport."""
        self.accepted += 1
        self.connections.add(connection)
        if self.per_client:
            self._of_client[host_of(connection.peer)] += 1
        if not self._sweeping:
            self._sweeping = True
            self._tick()
            self.reactor.callLater(_SWEEP_S, self._sweep)

    def closed(self, connection: HTTPConnection) -> None:
        """``connection`` is gone."""
        if self.per_client and connection in self.connections:
            host = host_of(connection.peer)
            self._of_client[host] -= 1
            if not self._of_client[host]:
                del self._of_client[host]
        self.connections.discard(connection)
        self.tell_may_move(connection)
        self._check_drained()

    def _tick(self) -> None:
        self.now = self.seconds()
        self.renew_common()

    def renew_common(self) -> bytes:
        """
        The lines that all answers of this second share.

        An answer takes ``common`` as long as it is before ``common_until``: the sweep alone would leave a ``Date`` that
        is older than the ``Last-Modified`` of what was written since (RFC 9110 section 8.8.2.1).
        """
        second = int(self.seconds())
        self.common = common_lines(second)
        self.common_until = second + 1.0
        return self.common

    def _sweep(self) -> None:
        """The one timer: runs while there are connections."""
        self._tick()
        if not self.connections:
            self._sweeping = False
            return
        self._check_some(list(self.connections))

    def _check_some(self, connections: list[HTTPConnection]) -> None:
        """Look for what has taken too long, and at the rest in later turns: many thousands take as many µs."""
        for connection in connections[-_SWEEP_SLICE:]:
            if connection not in self.connections:
                continue
            try:
                check(connection, self.now)
            except Exception:
                _log.failure("a time-out check failed; the connection is dropped")
                connection.transport.abortConnection()
        del connections[-_SWEEP_SLICE:]
        if connections:
            self.reactor.callLater(0, self._check_some, connections)
        else:
            self.reactor.callLater(_SWEEP_S, self._sweep)

    # ---- the end

    def drain(self, timeout_s: float) -> Deferred[int]:
        """
        End all connections in order: idle ones now, the others after their current request.

        :return: fires when none is left, at the latest after ``timeout_s``, with the number that were cut off
        """
        self.draining = True
        for connection in list(self.connections):
            if connection.request is None and not connection.unparsed:
                connection.close(linger=False)
        if not self.connections:
            return succeed(0)
        drained: Deferred[int] = Deferred()
        self._drained = drained
        timer = self.reactor.callLater(timeout_s, self._cut_off)

        def stop_timer(result: int) -> int:
            if timer.active():
                timer.cancel()
            return result

        return drained.addBoth(stop_timer)

    def _cut_off(self) -> None:
        for connection in list(self.connections):
            self._cut += 1
            connection.transport.abortConnection()

    def _check_drained(self) -> None:
        if self._drained is not None and not self.connections:
            drained, self._drained = self._drained, None
            drained.callback(self._cut)


def host_of(peer: str) -> str:
    """The address in what ``peer_text`` gave; ``local``: none."""
    return peer.rpartition(":")[0].strip("[]")


def peer_text(addr: Any) -> str:
    """A client's address for logs."""
    host = getattr(addr, "host", None)
    if host is None:
        return "local"
    return f"[{host}]:{addr.port}" if ":" in host else f"{host}:{addr.port}"
