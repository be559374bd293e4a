# -*- test-case-name: tests.reload.test_handover_sockets -*-
"""
The socket side of a hand-over for Twisted's TCP transports, and listening sockets.

Private attributes of Twisted that are used, all in this module: ``dataBuffer``, ``offset``, ``_tempDataBuffer``,
``_tempDataLen`` and ``_writeDisconnecting`` of the transport, ``_reads`` and ``_writes`` of the reactor.  A transport
of one's own that queues otherwise has a method ``export_output() -> bytes``.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp
from zope.interface import implementer

from ._handover_interfaces import IAdopted, IMovable, NotMovable, Offer, Reason
from ._snapshot import Snapshot

_GATED_ENDINGS = ("loseConnection", "abortConnection", "loseWriteConnection")


def unsent_output(transport: Any) -> bytes:
    """What was written and the kernel has not taken yet; changes nothing."""
    export_output = getattr(transport, "export_output", None)
    if export_output is not None:
        output: bytes = export_output()
        return output
    return b"".join([transport.dataBuffer[transport.offset :], *transport._tempDataBuffer])


def is_reading(transport: Any) -> bool:
    """Whether the reactor looks for input of this transport."""
    return _is_among(transport, "_reads", "getReaders")


def _is_among(transport: Any, name: str, lister: str) -> bool:
    known = getattr(transport.reactor, name, None)  # epoll and poll: descriptors; select: the transports
    if known is not None:
        return transport.fileno() in known or transport in known
    return transport in getattr(transport.reactor, lister)()


class FrozenTransport:
    """
    Holds a TCP transport still from now on: what is asked of it meanwhile is remembered, and done at ``thaw``.

    :raises NotMovable: it is being closed, or no plain TCP transport
    """

    def __init__(self, transport: Any) -> None:
        if not isinstance(transport, tcp.Connection) or getattr(transport, "TLS", False):
            raise NotMovable(Reason.TRANSPORT, type(transport).__name__)
        if not transport.connected or transport.disconnecting or getattr(transport, "_writeDisconnecting", False):
            raise NotMovable(Reason.CLOSING)
        self._transport: Any = transport
        self.reading = is_reading(transport)
        self._writing = _is_among(transport, "_writes", "getWriters")
        self._ending: tuple[str, tuple[Any, ...], dict[str, Any]] | None = None
        transport.stopReading()
        transport.stopWriting()
        self._unsent = _unsent_bytes(transport)
        self._gate()

    def _gate(self) -> None:
        gates = self._transport.__dict__
        gates["startReading"] = lambda: self._want(reading=True)
        gates["stopReading"] = lambda: self._want(reading=False)
        gates["startWriting"] = lambda: self._want(writing=True)
        gates["stopWriting"] = lambda: self._want(writing=False)
        for name in _GATED_ENDINGS:
            gates[name] = lambda *args, _name=name, **kwargs: self._want_ending(_name, args, kwargs)

    def _want(self, reading: bool | None = None, writing: bool | None = None) -> None:
        self.reading = self.reading if reading is None else reading
        self._writing = self._writing if writing is None else writing

    def _want_ending(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._ending = (name, args, kwargs)

    def _ungate(self) -> None:
        for name in ("startReading", "stopReading", "startWriting", "stopWriting", *_GATED_ENDINGS):
            self._transport.__dict__.pop(name, None)

    def changed(self) -> bool:
        """Whether someone has written, or wants to close it, since it is frozen."""
        return self._ending is not None or _unsent_bytes(self._transport) != self._unsent

    def thaw(self) -> None:
        """Go on, with what was asked for meanwhile."""
        self._ungate()
        transport = self._transport
        if self.reading:
            transport.startReading()
        if self._writing or _unsent_bytes(transport):
            transport.startWriting()
        if self._ending is not None:
            name, args, kwargs = self._ending
            getattr(transport, name)(*args, **kwargs)

    def release(self) -> None:
        """Close the descriptor without shutdown(2), and tell nobody."""
        self._ungate()
        release_transport(self._transport)


def _unsent_bytes(transport: Any) -> int:
    unsent = getattr(transport, "unsent", None)
    if isinstance(unsent, int):
        return unsent
    waiting: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    return waiting


def release_transport(transport: Any) -> None:
    """
    Close a transport's descriptor so that the connection lives on in another process.

    The reactor forgets the descriptor first: epoll would go on reporting it, since the connection is still open
    elsewhere.  Nothing is shut down, and the protocol is not told.
    """
    transport.stopReading()
    transport.stopWriting()
    transport.connected, transport.disconnected = 0, 1
    transport.unregisterProducer()
    transport.dataBuffer, transport.offset = b"", 0
    transport._tempDataBuffer, transport._tempDataLen = [], 0
    transport.socket.close()


def adopt_transport(reactor: Any, descriptor: int, protocol: Any, transport_class: Any = tcp.Server) -> Any:
    """
    A transport for a connection of another process, not reading; ``protocol`` is not told of it.

    :param descriptor: the transport's own when this returns, the caller's when it raises
    :raises OSError: ENOTCONN, the peer has left; or this is no socket
    """
    connection = socket.socket(fileno=descriptor)
    try:
        peer = connection.getpeername() or ("", 0)  # the end of a socket pair has no name
        transport = transport_class(connection, protocol, peer, None, 0, reactor)
    except BaseException:
        connection.detach()
        raise
    transport.stopReading()
    transport.repstr = f"<{type(protocol).__name__} of {peer[0]}, adopted>"
    return transport


@implementer(IMovable)
class MovableConnection:
    """
    A Twisted connection whose protocol can tell its state.

    :param tell: the state as a snapshot, with ``unsent_output(transport)`` in it; pure; may raise ``NotMovable``
    :param forget: called when the connection has moved: drop timers and registrations, write nothing
    :param more: further descriptors that the state needs, an open file for example
    """

    def __init__(
        self,
        transport: Any,
        tell: Callable[[], Snapshot],
        forget: Callable[[], None],
        more: Callable[[], tuple[int, ...]] = lambda: (),
    ) -> None:
        self._transport = transport
        self._tell, self._forget, self._more = tell, forget, more
        self._frozen: FrozenTransport | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MovableConnection) and other._transport is self._transport

    def __hash__(self) -> int:
        return hash(id(self._transport))

    def __repr__(self) -> str:
        return f"<movable {self._transport!r}>"

    def freeze(self) -> None:
        """Hold still."""
        self._frozen = FrozenTransport(self._transport)

    def offer(self) -> Offer:
        """State and descriptors."""
        return Offer(self._tell(), (self._transport.fileno(), *self._more()))

    def changed(self) -> bool:
        """Whether the application did not hold still."""
        return self._frozen is None or self._frozen.changed()

    def thaw(self) -> None:
        """Go on here."""
        frozen, self._frozen = self._frozen, None
        if frozen is not None:
            frozen.thaw()

    def release(self) -> None:
        """It is another process's."""
        frozen, self._frozen = self._frozen, None
        if frozen is not None:
            frozen.release()
            self._forget()


@implementer(IAdopted)
class AdoptedConnection:
    """
    A connection of another process, not served yet.

    :param protocol: in the state of its snapshot; ``makeConnection`` is called when it is resumed
    :param output: what the client has still to get, sent first
    :param reading: whether input is read from the beginning
    """

    def __init__(self, transport: Any, protocol: Any, output: bytes = b"", reading: bool = True) -> None:
        self._transport, self._protocol = transport, protocol
        self._output, self._reading = output, reading

    def resume(self) -> None:
        """Serve it here."""
        transport = self._transport
        if self._output:
            transport.write(self._output)
        if self._reading:
            transport.startReading()
        self._protocol.makeConnection(transport)

    def discard(self) -> None:
        """The giver goes on with it."""
        release_transport(self._transport)


def listening_socket(host: str, port: int, backlog: int = 1024) -> socket.socket:
    """
    A TCP socket that listens, to be given to ``listen_on`` here and in other processes.

    :raises OSError: the address cannot be had
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind((host, port))
        listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    return listener


def listen_on(reactor: Any, descriptor: int, factory: Any) -> Any:
    """
    Accept on a listening socket that other processes share.

    ``stopListening`` of the returned port stops it here only: Twisted does not shut down a socket that it adopted.

    :param descriptor: stays the caller's; what is accepted on is a duplicate
    """
    family = socket.socket(fileno=descriptor)
    try:
        return reactor.adoptStreamPort(descriptor, family.family, factory)
    finally:
        family.detach()
