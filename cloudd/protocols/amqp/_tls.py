# -*- test-case-name: tests.protocols.amqp.test_tls -*-
"""
TLS between a client's protocol and its TCP connection, by Python's ``ssl``.

Twisted's own TLS wants pyOpenSSL, which then is imported by every process that uses Twisted at all.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from ._address import Address
from ._errors import ConnectionLost

READ_BYTES = 262_144


def tls_context(address: Address) -> Deferred[ssl.SSLContext]:
    """
    What a broker's certificate must be like, and our own; read in a thread.

    :return: fails with ``ConnectionLost`` when a file cannot be read, or holds something else
    """
    return deferToThread(_context, address)


def _context(address: Address) -> ssl.SSLContext:
    # The server's certificate and its name are checked, and versions before TLS 1.2 refused: Python's defaults.
    try:
        context = ssl.create_default_context(cafile=address.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConnectionLost(f"{address}: certificates of {address.ca_file}: {error}") from error
    if address.certificate_file is not None:
        try:
            context.load_cert_chain(address.certificate_file, address.key_file)
        except (OSError, ssl.SSLError) as error:
            raise ConnectionLost(f"{address}: the certificate {address.certificate_file}: {error}") from error
    return context


class TLSClient(Protocol):
    """
    To TCP the protocol, to ``inner`` the transport, which is connected when the other side has shown who it is.

    :param inner: has ``end(cause)`` besides the methods of a protocol
    :param server_name: that the other side's certificate must have
    :param patience_s: for the handshake
    """

    def __init__(self, inner: Any, context: ssl.SSLContext, server_name: str, clock: Any, patience_s: float) -> None:
        self._inner = inner
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._clock, self._patience_s = clock, patience_s
        self._timer: Any = None
        self._shaken = False
        self._ended = False

    transport: Any

    # ---- towards TCP

    def connectionMade(self) -> None:
        """Greet."""
        self._inner.transport = self
        self._timer = self._clock.callLater(self._patience_s, self._refuse, "it has not finished in time")
        self._shake()

    def dataReceived(self, data: bytes) -> None:
        """Records, whole or not."""
        self._incoming.write(data)
        if not self._shaken:
            self._shake()
        if self._shaken:
            self._read()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """By whomever; it may be that the other side wants a certificate which we have not."""
        self._stop_timer()
        if self._shaken:
            self._inner.connectionLost(reason)
        else:
            self._inner.end(ConnectionLost(f"TLS: {reason.getErrorMessage()}"))

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as error:
            self._flush()  # the alert that tells the other side why
            self._refuse(getattr(error, "verify_message", "") or str(error))
            return
        self._flush()
        self._stop_timer()
        self._shaken = True
        self._inner.makeConnection(self)

    def _refuse(self, cause: str) -> None:
        self._stop_timer()
        self._inner.end(ConnectionLost(f"TLS: {cause}"))

    def _read(self) -> None:
        pieces = []
        ended = ""
        try:
            while piece := self._tls.read(READ_BYTES):
                pieces.append(piece)
            ended = "the other side has ended"
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:  # it wants a certificate, say: in TLS 1.3 it tells that after the handshake
            ended = error.reason or str(error)
        self._flush()  # the answer to a change of keys
        if pieces:
            self._inner.dataReceived(b"".join(pieces))
        if ended:
            self._inner.end(ConnectionLost(f"TLS: {ended}"))

    def _flush(self) -> None:
        if self._outgoing.pending:
            self.transport.write(self._outgoing.read())

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    # ---- towards the inner protocol

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        if not self._ended:
            self._tls.write(data)
            self._flush()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """What TCP does not take, TLS does not either."""
        self.transport.registerProducer(producer, streaming)

    def loseConnection(self) -> None:
        """Say that this is the end, and end when that went out."""
        if not self._ended:
            self._ended = True
            with contextlib.suppress(ssl.SSLError):  # the other side's last word is not waited for
                self._tls.unwrap()
            self._flush()
        self.transport.loseConnection()

    def abortConnection(self) -> None:
        """End at once."""
        self._ended = True
        self.transport.abortConnection()
