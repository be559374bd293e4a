# -*- test-case-name: tests.daemon.test_unix_port -*-
"""
Accepting on a listening unix socket that other processes share, or whose mode matters.

Its connections have the HTTP server's own transport: files go out by sendfile, and an upgrade can move them.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.address import UNIXAddress
from twisted.internet.protocol import Factory

from cloudd.protocols.http import HTTPTransport, PatientPort

NO_NAME = ("", 0)  # of a client, which has none


class SharedUnixPort(PatientPort, unix.Port):
    """
    Unlike Twisted's own port it leaves the socket's mode as it is, and its name and other users when it closes.
    """

    def startListening(self) -> None:
        """Accept from now on."""
        port: Any = self  # Twisted's annotations do not say what a port takes over here
        port.factory.doStart()
        port.socket, port._preexistingSocket = port._preexistingSocket, None
        port.fileno = port.socket.fileno
        self.connected = True
        self._shouldShutdown = False
        self.startReading()

    def take(self, client: socket.socket, address: Any) -> None:
        """Serve a client, unless the factory has nobody for it."""
        port: Any = self
        client.setblocking(False)
        protocol = port.factory.buildProtocol(UNIXAddress(None))
        if protocol is None:
            client.close()
            return
        number = port.sessionno
        port.sessionno = number + 1
        protocol.makeConnection(HTTPTransport(client, protocol, NO_NAME, None, number, port.reactor))

    def connectionLost(self, reason: Any) -> None:
        tcp.Port.connectionLost(self, reason)


def listen_unix(reactor: Any, listener: socket.socket, factory: Factory) -> SharedUnixPort:
    """Accept connections on a non-blocking listening socket; the caller's descriptor stays its own."""
    port: SharedUnixPort = SharedUnixPort._fromListeningDescriptor(reactor, listener.fileno(), factory)
    port.startListening()
    return port
