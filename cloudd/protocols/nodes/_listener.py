# -*- test-case-name: tests.protocols.nodes.test_listener -*-
"""
Where others are let in: the port, its limits, and what each path is.

The port belongs to one generation of one agent's worker.  Its successor cannot bind it at the same time and tries again
and again, so there is a moment in an upgrade without it; who asks tries again, too (``cloudd.joining``).  A worker that
serves alone keeps it until the supervision of a hand-over is over: so long its successor waits, and is not unwell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from cloudd.interfaces.application import PartHealth, Resources
from cloudd.joining import JoinRequest, Refusal, RenewRequest
from cloudd.nodes import AuthorityUnavailable, JoinRefused, NodeError, Nodes

from ._connection import NodeConnection
from ._exchange import Asked
from ._limits import Limits

FIRST_S = 0.01
AGAIN_S = 0.5
PATIENCE_S = 5.0
BACKLOG = 64

M = TypeVar("M", bound=msgspec.Struct)
log = Logger()


@define(eq=False)
class NodeListener:
    """One part of a generation; without ``[nodes] listen`` it does nothing."""

    _resources: Resources
    _nodes: Nodes
    _cause: str = field(init=False, default="")
    _waits_from: float = field(init=False, default=0.0)  # since when the port is another's
    _port: Any = field(init=False, default=None)
    _timer: Any = field(init=False, default=None)
    _limits: Limits = field(init=False, factory=Limits)
    _connections: set[NodeConnection] = field(init=False, factory=set)
    _resting: bool = field(init=False, default=False)
    _waiting: list[Deferred[None]] = field(init=False, factory=list)
    _closing: bool = field(init=False, default=False)

    @property
    def port(self) -> int:
        """That is bound; 0: none is."""
        return 0 if self._port is None else int(self._port.getHost().port)

    async def self_check(self) -> None:
        """Nothing: the port is another generation's for now."""

    def start(self, state: Mapping[str, Any]) -> None:
        """Nothing yet."""

    def lead(self) -> None:
        """In the agent's worker: listen, now or as soon as the port is free.  Safe to call again."""
        leads = self._resources.role in ("agent", "all") and not self._resting
        if leads and self._nodes.place is not None and self._port is None and self._timer is None:
            self._listen()

    def snapshot(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def retire(self) -> None:
        """Accept no more; exchanges that are under way end here."""
        self.rest()

    def rest(self) -> Deferred[None]:
        """As ``retire``; fires when the port is closed and the last exchange has ended."""
        self._resting = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        port, self._port = self._port, None
        if port is not None:
            self._closing = True
            Deferred.fromCoroutine(self._close(port)).addErrback(
                lambda failure: log.failure("closing the port of nodes", failure)
            )
        if not self._closing and not self._connections:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def health(self) -> list[PartHealth]:
        """Only where it should listen."""
        if self._nodes.place is None or self._resources.role not in ("agent", "all"):
            return []
        return [PartHealth("nodes listener", not self._cause or self._is_patient, self._cause)]

    @property
    def _is_patient(self) -> bool:
        patience_s = PATIENCE_S + self._resources.settings.upgrade.window_s
        return bool(self._resources.reactor.seconds() - self._waits_from < patience_s)

    # ---- the port

    def _listen(self) -> None:
        place = self._nodes.place
        if place is None or self._resting:
            return
        factory = _Connections(self._accept)
        try:
            self._port = self._resources.reactor.listenTCP(place.port, factory, BACKLOG, place.interface)
            self._cause = ""
        except CannotListenError as error:
            if not self._cause:
                self._waits_from = self._resources.reactor.seconds()
            again_s = AGAIN_S if self._cause else FIRST_S  # within one process it is free in the next turn
            self._cause = f"[nodes] listen: {error.socketError}: it is tried again"
            self._timer = self._resources.reactor.callLater(again_s, self._listen)

    async def _close(self, port: Any) -> None:
        await port.stopListening()
        self._closing = False
        self._end_rest()

    def _accept(self, address: Any) -> NodeConnection | None:
        credentials = self._nodes.credentials
        peer = str(address.host)
        if credentials is None or not self._limits.enter(peer):
            return None
        connection = NodeConnection(
            credentials.serves, self._resources.reactor, peer, self._answer, self._refused, self._left
        )
        self._connections.add(connection)
        return connection

    def _left(self, connection: NodeConnection) -> None:
        self._limits.leave(connection.peer)
        self._connections.discard(connection)
        self._end_rest()

    def _end_rest(self) -> None:
        if self._resting and not self._closing and not self._connections:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)

    # ---- what is asked

    async def _answer(self, asked: Asked, node_id: str, peer: str) -> tuple[int, bytes]:
        waits_s = 0.0 if node_id else self._limits.waits_s(peer, self._resources.reactor.seconds())
        try:
            if waits_s:
                raise JoinRefused(f"too many attempts failed: try again in {waits_s:.0f} s", 429)
            return 200, msgspec.json.encode(await self._asked(asked, node_id, peer))
        except JoinRefused as error:
            return error.status, self._refused(error.status, error.cause, peer)
        except AuthorityUnavailable as error:
            return 503, self._refused(503, error.cause, peer)
        except NodeError as error:
            return 409, self._refused(409, error.cause, peer)
        except Exception:
            log.failure("{path} asked for by {peer}", path=asked.path, peer=peer)
            return 500, self._refused(500, "the daemon failed at this: see its log", peer)

    async def _asked(self, asked: Asked, node_id: str, peer: str) -> msgspec.Struct:
        admission = self._nodes.admission
        if asked.path == "/v1/authority" and asked.method == "GET":
            return await admission.authority()
        if asked.path == "/v1/join" and asked.method == "POST":
            return await admission.join(_read(asked, JoinRequest), peer)
        if asked.path == "/v1/renew" and asked.method == "POST":
            if not node_id:
                raise JoinRefused("show the node's certificate")
            return await admission.renew(node_id, _read(asked, RenewRequest), peer)
        raise JoinRefused("there is no such call", 404)

    def _refused(self, status: int, cause: str, peer: str) -> bytes:
        """Count what was in vain, and say why it was."""
        if status < 500:
            self._limits.failed(peer, self._resources.reactor.seconds())
        return msgspec.json.encode(Refusal(cause=cause))


class _Connections(Factory):
    noisy = False

    def __init__(self, accept: Callable[[Any], NodeConnection | None]) -> None:
        self._accept = accept

    def buildProtocol(self, addr: Any) -> NodeConnection | None:
        """One that is let in, or none."""
        return self._accept(addr)


def _read(asked: Asked, kind: type[M]) -> M:
    try:
        return msgspec.json.decode(asked.body, type=kind)
    except msgspec.MsgspecError as error:
        raise JoinRefused(f"the body is no {kind.__name__}: {error}", 400) from None
