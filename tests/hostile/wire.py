"""Bytes to a real daemon and answers from it: nothing is checked, corrected or added that the test did not ask for."""

from __future__ import annotations

import http.client
import json
import socket
import struct
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
TIMEOUT_S = 20


@frozen
class Answer:
    """One answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def half_close(self) -> None:
        """No more bytes from here; answers may still come."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Leave with a reset, not with a close."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def answer(self, method: str = "GET") -> Answer:
        """The next answer."""
        response = http.client.HTTPResponse(self.socket, method=method)
        try:
            response.begin()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())
        finally:
            response.close()

    def rest(self) -> bytes:
        """All that comes until the daemon closes; a reset counts as a close."""
        pieces = []
        try:
            while piece := self.socket.recv(65_536):
                pieces.append(piece)
        except ConnectionResetError:
            pass
        return b"".join(pieces)


def head(method: str, target: str | bytes, headers: Headers = (), *, port: int) -> bytes:
    """A request's head; ``Host`` is added."""
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    if not any(name.lower() == "host" for name, _ in pairs):
        pairs.insert(0, ("Host", f"127.0.0.1:{port}"))
    raw = target if isinstance(target, bytes) else target.encode("latin-1")
    fields = "".join(f"{name}: {value}\r\n" for name, value in pairs).encode("utf-8", "surrogateescape")
    return method.encode() + b" " + raw + b" HTTP/1.1\r\n" + fields + b"\r\n"


def ask(port: int, method: str, target: str | bytes, headers: Headers = (), body: bytes | None = None) -> Answer:
    """One request on a connection of its own; ``Content-Length`` is added when there is a body and no other framing."""
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    if body is not None and not {name.lower() for name, _ in pairs} & {"content-length", "transfer-encoding"}:
        pairs.append(("Content-Length", str(len(body))))
    pairs.append(("Connection", "close"))
    with Wire(port) as wire:
        wire.send(head(method, target, pairs, port=port) + (body or b""))
        return wire.answer(method)


def statuses(data: bytes) -> list[int]:
    """The status of each answer in a stream."""
    found = []
    for piece in data.split(b"HTTP/1.1 ")[1:]:
        found.append(int(piece[:3]))
    return found
