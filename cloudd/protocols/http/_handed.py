# -*- test-case-name: tests.protocols.http.test_handed -*-
"""
Taking connections that the TLS front hands over: one message is one connection and who its client is.

The channel they come by is shared by all workers like a listening socket.  It has no name, so whoever is at its other
end got it from the anchor: the client's address in a message can be believed.  On a TCP port nobody can claim an
address.
"""

from __future__ import annotations

import errno
import os
import socket
from array import array
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.logger import Logger

from cloudd.tls_front import MAX_ORIGIN_BYTES, Origin, OriginError

from ._factory import HTTPServerFactory
from ._listen import ACCEPTS, EXHAUSTED, REST_S
from ._transport import HTTPTransport

_log = Logger()
_ROOM = socket.CMSG_SPACE(array("i").itemsize)
_IS_CUT = socket.MSG_TRUNC | socket.MSG_CTRUNC


class HandedPort:
    """
    An ``IReadDescriptor`` on the workers' end of a channel.

    :param channel: ours from now on; does not block
    """

    def __init__(self, reactor: Any, channel: socket.socket, factory: HTTPServerFactory) -> None:
        self._reactor = reactor
        self._channel = channel
        self._factory = factory
        self._taken = 0
        self._is_listening = False

    def fileno(self) -> int:
        return self._channel.fileno()

    def logPrefix(self) -> str:
        return "handed over"

    def startListening(self) -> None:
        """Take connections from now on."""
        self._factory.doStart()
        self._is_listening = True
        self._reactor.addReader(self)

    def stopListening(self) -> None:
        """Take no more; the channel stays with the other workers."""
        if self._is_listening:
            self._is_listening = False
            self._reactor.removeReader(self)
            self._channel.close()
            self._factory.doStop()

    def doRead(self) -> None:
        """Take waiting connections."""
        for _ in range(ACCEPTS):
            try:
                self._check_room()
                data, ancillary, flags, _address = self._channel.recvmsg(
                    MAX_ORIGIN_BYTES, _ROOM, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                self._rest(error)
                return
            descriptors = array("i", b"".join(content for _level, _kind, content in ancillary))
            if not data and not descriptors:
                self.stopListening()  # the front's side is gone for good: a new one brings a new channel
                return
            self._take(data, list(descriptors), bool(flags & _IS_CUT))

    def connectionLost(self, reason: Any) -> None:
        """The reactor lets go of it."""
        self._is_listening = False
        self._channel.close()

    def _check_room(self) -> None:
        """A message whose descriptor finds no place is lost, where a listening socket would keep the connection."""
        os.close(os.dup(self._channel.fileno()))

    def _take(self, data: bytes, descriptors: list[int], is_cut: bool) -> None:
        try:
            if is_cut or len(descriptors) != 1:
                raise OriginError(f"a message with {len(descriptors)} descriptors{' that was cut' if is_cut else ''}")
            origin = Origin.decode(data)
            client = socket.socket(fileno=descriptors[0])
        except (OriginError, OSError) as error:
            _log.error("the TLS front handed over what cannot be used: {error}", error=error)
            for descriptor in descriptors:
                os.close(descriptor)
            return
        try:
            self._begin(client, origin)
        except Exception:
            _log.failure("a connection could not be set up")
            client.close()

    def _begin(self, client: socket.socket, origin: Origin) -> None:
        kind = IPv6Address if ":" in origin.host else IPv4Address
        protocol: Any = self._factory.buildProtocol(kind("TCP", origin.host, origin.port))
        place = (origin.host, origin.port, 0, 0) if ":" in origin.host else (origin.host, origin.port)
        number, self._taken = self._taken, self._taken + 1
        transport = HTTPTransport(client, protocol, place, None, number, self._reactor)
        transport.repstr = f"<{type(protocol).__name__} #{number} of {origin.host}, handed over>"
        protocol.makeConnection(transport)

    def _rest(self, error: OSError) -> None:
        """A channel with messages stays readable, so stop looking at it for a moment instead of spinning."""
        cause = os.strerror(error.errno or errno.EMFILE)
        _log.error("no connections are taken for {seconds} s: {cause}", seconds=REST_S, cause=cause)
        self._reactor.removeReader(self)
        self._reactor.callLater(REST_S, self._rested)

    def _rested(self) -> None:
        if self._is_listening:
            self._reactor.addReader(self)


def listen_handed(reactor: Any, descriptor: int, factory: HTTPServerFactory) -> HandedPort:
    """
    Take the connections that come over a channel of the TLS front.

    :param factory: its ``secure`` should be true

    The descriptor is duplicated, so the caller's stays its own.

    :raises OSError: the descriptor is no socket
    """
    channel = socket.socket(fileno=os.dup(descriptor))
    channel.setblocking(False)
    os.set_inheritable(channel.fileno(), False)
    port = HandedPort(reactor, channel, factory)
    port.startListening()
    return port
