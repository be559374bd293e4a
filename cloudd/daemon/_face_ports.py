# -*- test-case-name: tests.daemon.test_face_ports -*-
"""The listening sockets of one worker, which it shares with others, and its ports on them."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field

from cloudd.protocols.http import HTTPServerFactory, listen, listen_handed

from ._unix_port import listen_unix


@define(eq=False)
class FacePorts:
    """
    :param faces: what is served
    :param listeners: in the order of ``faces``
    :param factories: by face; all are there when the ports open
    """

    _reactor: Any
    _faces: Sequence[str]
    _listeners: list[socket.socket]
    _factories: Mapping[str, HTTPServerFactory]
    _ports: list[Any] = field(init=False, factory=list)

    @property
    def are_open(self) -> bool:
        """Whether connections are accepted here."""
        return bool(self._ports)

    def open(self) -> None:
        """Accept connections."""
        faces = zip(self._faces, self._listeners, strict=True)
        self._ports.extend(self._accept(face, listener) for face, listener in faces)

    def close(self) -> None:
        """Accept no more, here; the sockets stay open and clients wait in their queues."""
        ports, self._ports = self._ports, []
        for port in ports:
            port.stopListening()

    def change(self, descriptors: Mapping[str, int]) -> None:
        """
        Accept on other sockets than before, for faces that we have.

        :param descriptors: by face; they are ours now
        """
        were_open = self.are_open
        self.close()
        for face, descriptor in descriptors.items():
            fresh = socket.socket(fileno=descriptor)
            if face in self._faces:
                place = self._faces.index(face)
                fresh, self._listeners[place] = self._listeners[place], fresh
            fresh.close()
        if were_open:
            self.open()

    def descriptors(self) -> list[int]:
        """Of the sockets, in the order of the faces."""
        return [listener.fileno() for listener in self._listeners]

    def shut(self) -> None:
        """Close the sockets, too: else newcomers would connect to nobody when this process ends."""
        for listener in self._listeners:
            listener.close()

    def _accept(self, face: str, listener: socket.socket) -> Any:
        # No kind of port ever calls shutdown(2), which would end the other workers' listening too.
        factory = self._factories[face]
        factory.secure = listener.type == socket.SOCK_SEQPACKET
        if listener.type == socket.SOCK_SEQPACKET:  # the TLS front's channel
            return listen_handed(self._reactor, listener.fileno(), factory)
        if listener.family == socket.AF_UNIX:
            return listen_unix(self._reactor, listener, factory)
        return listen(self._reactor, listener.fileno(), factory)
