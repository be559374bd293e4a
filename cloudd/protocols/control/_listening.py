# -*- test-case-name: tests.protocols.control.test_listening -*-
"""
Who may speak on the control socket: the daemon's own user and root, by what the kernel says of the other end.

The socket lies in the state folder (mode 0700) and has mode 0600; the credentials are checked again for each
connection, because a descriptor can be passed on and a folder's mode be changed by mistake.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from cloudd.control import IControlled, Refusal, actor_of, to_json
from cloudd.interfaces.settings import HTTPSettings
from cloudd.protocols.http import HTTPServerFactory, HTTPTransport, http_kinds
from reload import Snapshot

from ._site import ControlSite

FACE = "control"
MAX_PATH_BYTES = 107
READ_SINCE = 2  # version of a connection's snapshot
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid

Credentials = Callable[[Any], tuple[int, int]]


class SocketError(Exception):
    """The control socket cannot be made; the text says why and what to do."""


def bind_control(path: Path) -> socket.socket:
    """
    Make the control socket, listening, with mode 0600.

    What lies there is replaced: the caller holds the state folder's lock, so it is left by a daemon that was killed.

    :raises SocketError: it cannot be made
    """
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise SocketError(
            f"the path of the control socket is longer than {MAX_PATH_BYTES} bytes ({path}): "
            "choose a state folder with a shorter path, or name it through a symbolic link"
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        listener.bind(os.fspath(path))
        listener.listen(64)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise SocketError(f"the control socket {path} cannot be made: {error.strerror}") from error
    finally:
        os.umask(previous)
    return listener


def peer_credentials(transport: Any) -> tuple[int, int]:
    """User and process id at the other end, from the kernel (``SO_PEERCRED``, unix(7)): of whoever connected."""
    data = transport.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _gid = _CREDENTIALS.unpack(data)
    return uid, pid


class ControlFactory(Factory):
    """
    Accepts the control socket's connections::

        reactor.adoptStreamPort(listener.fileno(), socket.AF_UNIX, ControlFactory(controlled, reactor))

    :param credentials: transport -> user and process id of the other end
    """

    noisy = False

    def __init__(self, controlled: IControlled, reactor: Any, credentials: Credentials = peer_credentials) -> None:
        self.controlled = controlled
        self.reactor = reactor
        self.credentials = credentials
        self.limits = HTTPSettings(max_json_bytes=65_536)
        self.doors: set[_Door] = set()

    def sessions(self) -> list[tuple[int, bytes]]:
        """
        The connections of now, to go on elsewhere: descriptor and packed snapshot; changes nothing.

        One on which an answer is being made is not among them.
        """
        told = [(door.fileno(), door.tell()) for door in self.doors]
        return [(descriptor, snapshot) for descriptor, snapshot in told if snapshot]

    def resume(self, descriptor: int, snapshot: bytes) -> None:
        """
        Go on with a connection that this process had before it became other code.

        :param descriptor: ours from now on
        :raises Exception: it cannot be gone on with; the descriptor is closed
        """
        connection = socket.socket(fileno=descriptor)
        try:
            connection.setblocking(False)
            door = _Door(self, None)
            transport = HTTPTransport(connection, door, ("", 0), None, 0, self.reactor)
            door.go_on(transport, snapshot)
        except BaseException:
            connection.close()
            raise

    def hold(self) -> None:
        """Read nothing more from anybody."""
        for door in self.doors:
            door.read(False)

    def hear(self) -> None:
        """Read again."""
        for door in self.doors:
            door.read(True)

    def is_busy(self) -> bool:
        """Whether somebody waits for an answer."""
        return any(door.is_busy for door in self.doors)

    def buildProtocol(self, address: IAddress | None) -> Protocol:
        return _Door(self, address)


class _Door(Protocol):
    """One connection: looks who is there, then hands everything to the HTTP server's own protocol."""

    log = Logger()

    def __init__(self, factory: ControlFactory, address: IAddress | None) -> None:
        self._controls = factory
        self._address = address
        self._server: HTTPServerFactory | None = None
        self._inner: Any = None

    @property
    def is_busy(self) -> bool:
        """Whether an answer is being made or sent."""
        return self._inner is not None and (self._inner.request is not None or self._inner.unsent)

    def connectionMade(self) -> None:
        self._controls.doors.add(self)
        uid, pid = self._controls.credentials(self.transport)
        if uid not in {0, os.geteuid()}:
            self.log.warn("refused user {uid} (process {pid}) at the control socket", uid=uid, pid=pid)
            self._refuse(f"only root and user {os.geteuid()} may control this daemon, not user {uid}")
            return
        self._inner = self._serve(uid, pid).buildProtocol(self._address)
        self._inner.makeConnection(self.transport)

    def _serve(self, uid: int, pid: int) -> HTTPServerFactory:
        # A server of its own per connection: its site knows the caller, and connections here are few.
        site = ControlSite(self._controls.controlled, actor_of(uid, pid))
        self._server = HTTPServerFactory(site, self._controls.limits, FACE, self._controls.reactor)
        self._server.doStart()
        return self._server

    def read(self, reading: bool) -> None:
        """Whether what the caller sends is read."""
        transport: Any = self.transport
        if reading:
            transport.startReading()
        else:
            transport.stopReading()

    def fileno(self) -> int:
        """The connection's descriptor."""
        transport: Any = self.transport
        return int(transport.fileno())

    def tell(self) -> bytes:
        """The connection as a packed snapshot; empty while an answer is made, or on its way."""
        if self._inner is None or self.is_busy:
            return b""
        assert self._server is not None
        told = self._server.snapshot_all().get(self._inner)
        # An anchor that becomes older code again reads this too.
        return http_kinds().converters.convert(told, READ_SINCE).pack() if isinstance(told, Snapshot) else b""

    def go_on(self, transport: Any, snapshot: bytes) -> None:
        """Serve a connection whose other end was looked at before; the kernel is asked again who it is."""
        self.transport = transport
        self._controls.doors.add(self)
        uid, pid = self._controls.credentials(transport)
        self._inner = self._serve(uid, pid).restore(http_kinds().received(snapshot))
        self._inner.makeConnection(transport)

    def dataReceived(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._controls.doors.discard(self)
        inner, self._inner = self._inner, None
        if inner is not None and self._server is not None:
            inner.connectionLost(reason)
            self._server.doStop()

    def _refuse(self, cause: str) -> None:
        body = to_json(Refusal(cause=cause, status=403))
        head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nConnection: close\r\n"
        assert self.transport is not None
        self.transport.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.transport.loseConnection()
