# -*- test-case-name: tests.protocols.http -*-
"""
Accepting connections on a listening socket that another process has opened and shares.

The socket is never shut down here: ``shutdown(2)`` would stop it for every process that has it.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp
from twisted.logger import Logger

from ._factory import HTTPServerFactory
from ._transport import HTTPTransport

_log = Logger()

#: Connections taken in one go, of a socket that workers share.  More would be quicker, but the worker that wakes first
#: would have a whole rush of them, and its clients wait for each other while the next worker has none.
ACCEPTS = 1
#: Pause after the process or the machine has run out of something; clients wait in the kernel's queue meanwhile.
REST_S = 0.5
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class PatientPort:
    """
    How a port accepts on a socket that others share; to be mixed into one of Twisted's ports, before it.

    :ivar take: of the port that this is mixed into: serve a client at this address; what it raises ends the connection
    :ivar accepts: most connections taken in one go
    :ivar resting: whether nobody is accepted for a moment
    """

    take: Callable[[socket.socket, Any], None]
    accepts = 32
    reactor: Any
    socket: Any
    connected: Any
    disconnecting: Any
    startReading: Any
    stopReading: Any
    resting = False

    def doRead(self) -> None:
        """Take waiting connections."""
        for _ in range(self.accepts):
            try:
                client, address = self.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self._rest(error)
                    return
                continue  # ECONNABORTED and the like: this client has given up
            try:
                self.take(client, address)
            except Exception:
                _log.failure("a connection could not be set up")
                client.close()

    def _rest(self, error: OSError) -> None:
        """Not accepting leaves the socket readable, so stop looking at it for a moment instead of spinning."""
        _log.error("no connections are accepted for {seconds} s: {error}", seconds=REST_S, error=error)
        self.stopReading()
        self.resting = True
        self.reactor.callLater(REST_S, self._rested)

    def _rested(self) -> None:
        self.resting = False
        if self.connected and not self.disconnecting:
            self.startReading()


class HTTPPort(PatientPort, tcp.Port):
    """A listening socket whose connections have an ``HTTPTransport``."""

    transport: Any = HTTPTransport
    accepts = ACCEPTS

    def take(self, client: socket.socket, address: Any) -> None:
        """Serve a client over TCP, or hang up where it has as many connections as it may."""
        if not self.factory.has_room_for(address[0]):  # type: ignore[union-attr]
            client.close()
            return
        protocol = self.factory.buildProtocol(self._buildAddr(address))  # type: ignore[union-attr]
        number = self.sessionno
        self.sessionno = number + 1
        transport = self.transport(client, protocol, address, self, number, self.reactor)
        protocol.makeConnection(transport)  # type: ignore[union-attr]


def listen(reactor: Any, descriptor: int, factory: HTTPServerFactory) -> HTTPPort:
    """
    Accept connections on an inherited listening TCP socket.

    The descriptor is duplicated, so the caller's stays its own.  ``port.stopListening()`` stops accepting here and
    leaves the socket to the other processes.

    :raises OSError: the descriptor is no TCP socket
    """
    listener = socket.socket(fileno=os.dup(descriptor))
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit both
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        port: HTTPPort = HTTPPort._fromListeningDescriptor(reactor, listener.fileno(), listener.family, factory)
    finally:
        listener.close()
    port.startListening()
    return port
