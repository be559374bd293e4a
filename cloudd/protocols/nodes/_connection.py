# -*- test-case-name: tests.protocols.nodes.test_listener -*-
"""
One connection: TLS by Python's ``ssl`` between TCP and one exchange.

Twisted's own TLS wants pyOpenSSL, which then is imported by every process that uses Twisted at all.  A connection has
``PATIENCE_S`` for all that it has to say, however slowly it comes, and as long again to take the answer.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from cloudd.joining import node_of

from ._exchange import Asked, BadExchange, Exchange, answer

PATIENCE_S = 10.0
ANSWER_S = 30.0  # to decide
READ_BYTES = 65_536

log = Logger()

#: A request, the id of the node that has shown its certificate (empty: none), the address -> status and body.
Answers = Callable[[Asked, str, str], Awaitable[tuple[int, bytes]]]


class NodeConnection(Protocol):
    """
    :param context: of this node, for this handshake
    :param answers: decides; never raises
    :param refusal: what is answered to what is no request: status, cause, address -> body
    :param left: told when the connection has ended
    """

    transport: Any

    def __init__(
        self,
        context: ssl.SSLContext,
        reactor: Any,
        peer: str,
        answers: Answers,
        refusal: Callable[[int, str, str], bytes],
        left: Callable[[NodeConnection], None],
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._reactor, self.peer = reactor, peer
        self._answers, self._refusal, self._left = answers, refusal, left
        self._exchange = Exchange()
        self._state = "shaking"  # then reading, deciding, ending
        self._timer: Any = None

    def connectionMade(self) -> None:
        """Wait for a handshake."""
        self._give_time(PATIENCE_S)

    def dataReceived(self, data: bytes) -> None:
        """Records, whole or not."""
        if self._state in {"deciding", "ending"}:
            return  # nothing more is wanted
        self._incoming.write(data)
        if self._state == "shaking":
            self._shake()
        if self._state == "reading":
            self._read()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """By whomever; a decision that is under way is made all the same."""
        self._state = "ending"
        self._stop_timer()
        self._left(self)

    def abort(self) -> None:
        """End at once."""
        self._state = "ending"
        self.transport.abortConnection()

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as error:
            log.info("{peer}: TLS: {cause}", peer=self.peer, cause=error.reason or str(error))
            self._refusal(400, "TLS", self.peer)
            self._flush()  # the alert that tells the other side why
            self._state = "ending"
            self.transport.loseConnection()
            return
        self._flush()
        self._state = "reading"

    def _read(self) -> None:
        try:
            while self._state == "reading":
                piece = self._tls.read(READ_BYTES)
                if not piece:
                    self.abort()  # it has ended before it had said all
                    return
                asked = self._exchange.feed(piece)
                if asked is not None:
                    self._decide(asked)
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError:
            self._refusal(400, "TLS", self.peer)
            self._flush()
            self.abort()
        except BadExchange as error:
            self._answer(error.status, self._refusal(error.status, str(error), self.peer))

    def _decide(self, asked: Asked) -> None:
        self._state = "deciding"
        self.transport.pauseProducing()
        self._give_time(ANSWER_S)
        deciding = Deferred.fromCoroutine(self._decided(asked))
        deciding.addErrback(lambda failure: log.failure("answering a node", failure))

    async def _decided(self, asked: Asked) -> None:
        status, body = await self._answers(asked, self._node_id(), self.peer)
        if self._state == "deciding":
            self._answer(status, body)

    def _answer(self, status: int, body: bytes) -> None:
        self._state = "ending"
        self._give_time(PATIENCE_S)
        try:
            self._tls.write(answer(status, body))
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # the other side's last word is not waited for
        self._flush()
        self.transport.loseConnection()

    def _node_id(self) -> str:
        """Of a certificate that our authority has signed: the handshake has seen to that."""
        shown: Any = self._tls.getpeercert() or {}
        names = [name for kind, name in shown.get("subjectAltName", ()) if kind == "DNS"]
        return next(filter(None, map(node_of, names)), "")

    def _flush(self) -> None:
        if self._outgoing.pending:
            self.transport.write(self._outgoing.read())

    def _give_time(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._reactor.callLater(seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._refusal(400, "it was too slow", self.peer)
        self.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
