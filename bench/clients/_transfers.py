"""
Slow uploads and downloads, each on a connection of its own, evenly paced; every byte is compared.

An upload's ETag must be the MD5 of what was sent, a download's bytes must have the MD5 that is known.  On the order
``finish`` what is under way goes on as fast as it can; nothing new begins.
"""

from __future__ import annotations

import hashlib
import select
import socket
import time
from functools import cache
from multiprocessing.connection import Connection as Orders
from typing import Any

from attrs import define, field, frozen

from . import _sockets

CHUNK = 65_536


@frozen
class TransferLoad:
    """
    :ivar path: of the container; uploads go to ``path/up-N``, downloads read ``path/large``
    :ivar size: bytes of each transfer
    :ivar seconds: how long one takes; then the next begins on the same connection
    """

    port: int
    path: str
    token: str
    uploads: int
    downloads: int
    size: int
    seconds: float


@define
class TransferResult:
    """:ivar longest_s: the longest time for which one upload could send nothing, or one download got nothing"""

    uploads: int = 0
    downloads: int = 0
    bytes_moved: int = 0
    errors: list[str] = field(factory=list)
    longest_s: float = 0.0


def block(number: int) -> bytes:
    """Chunk ``number`` of every content; no two are alike."""
    return b"%015d\n" % number + _filling()


@cache
def _filling() -> bytes:
    return b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(CHUNK // 32))[: CHUNK - 16]


def content(size: int) -> bytes:
    """What every download and upload of that size consists of."""
    return b"".join(block(number) for number in range(-(-size // CHUNK)))[:size]


def content_md5(size: int) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for start in range(0, size, CHUNK):
        digest.update(block(start // CHUNK)[: size - start])
    return digest.hexdigest()


class _Transfer:
    """One connection; it has either something to send or something to get."""

    def __init__(self, opened: socket.socket, number: int, upload: bool) -> None:
        self.socket = opened
        self.number = number
        self.upload = upload
        self.round = 0
        self.began = 0.0
        self.position = 0  # of the body
        self.out = b""  # of the head, or of a block that was sent in part
        self.buffer = b""
        self.length = -1  # of a download's body, -1 before its head
        self.status = b""
        self.etag = ""
        self.digest: Any = None
        self.registered = 0
        self.last_byte = 0.0
        self.ended = False

    @property
    def done_sending(self) -> bool:
        return not self.out


class _Transfers:
    def __init__(self, load: TransferLoad, orders: Orders) -> None:
        self.load = load
        self.orders = orders
        self.result = TransferResult()
        self.poller = select.epoll()
        self.poller.register(orders.fileno(), select.EPOLLIN)
        self.hurry = False
        self.md5 = content_md5(load.size)
        self.transfers: dict[int, _Transfer] = {}

    def run(self) -> TransferResult:
        count = self.load.uploads + self.load.downloads
        for number in range(count):
            opened = _sockets.connect(self.load.port, number)
            if number >= self.load.uploads:  # else the kernel takes megabytes that nobody has read
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * CHUNK)
            self.transfers[opened.fileno()] = _Transfer(opened, number, number < self.load.uploads)
        for transfer in self.transfers.values():
            self.begin(transfer)
        self.orders.send(("ready", None))
        while not self.hurry or any(not transfer.ended for transfer in self.transfers.values()):
            self.turn()
        return self.result

    def begin(self, transfer: _Transfer) -> None:
        load = self.load
        transfer.round += 1
        transfer.began = transfer.last_byte = time.monotonic()
        transfer.position, transfer.length, transfer.buffer, transfer.etag = 0, -1, b"", ""
        transfer.digest = hashlib.md5(usedforsecurity=False)
        name = f"up-{transfer.number}-{transfer.round}" if transfer.upload else "large"
        lines = [f"{'PUT' if transfer.upload else 'GET'} {load.path}/{name} HTTP/1.1", "Host: x"]
        lines += [f"X-Auth-Token: {load.token}", *([f"Content-Length: {load.size}"] if transfer.upload else []), "", ""]
        transfer.out = "\r\n".join(lines).encode()

    def allowed(self, transfer: _Transfer, now: float) -> bool:
        """Whether its pace lets it go on."""
        return self.hurry or transfer.position <= self.load.size * (now - transfer.began) / self.load.seconds

    def turn(self) -> None:
        now = time.monotonic()
        for fd, transfer in self.transfers.items():
            if transfer.ended:
                continue
            go = self.allowed(transfer, now)
            sends = transfer.out or (transfer.upload and go and transfer.position < self.load.size)
            reads = transfer.upload or transfer.length < 0 or go
            mask = (select.EPOLLOUT if sends else 0) | (select.EPOLLIN if reads else 0)
            if mask != transfer.registered:
                if not transfer.registered:
                    self.poller.register(fd, mask)
                elif mask:
                    self.poller.modify(fd, mask)
                else:
                    self.poller.unregister(fd)
                transfer.registered = mask
                transfer.last_byte = now  # it did not want to before
        for fd, mask in self.poller.poll(0.01, 256):
            found = self.transfers.get(fd)
            if found is None:
                self.hurry = self.orders.recv() == "finish"
                continue
            try:
                if mask & select.EPOLLOUT:
                    self.send(found)
                if mask & ~select.EPOLLOUT:
                    self.receive(found)
            except (OSError, ValueError) as problem:
                self.end(found, repr(problem))

    def send(self, transfer: _Transfer) -> None:
        if not transfer.out:
            start = transfer.position
            transfer.out = block(start // CHUNK)[: self.load.size - start]
            transfer.digest.update(transfer.out)
            transfer.position += len(transfer.out)
        sent = transfer.socket.send(transfer.out)
        transfer.out = transfer.out[sent:]
        self.result.bytes_moved += sent
        self.moved(transfer)

    def moved(self, transfer: _Transfer) -> None:
        now = time.monotonic()
        self.result.longest_s = max(self.result.longest_s, now - transfer.last_byte)
        transfer.last_byte = now

    def receive(self, transfer: _Transfer) -> None:
        try:
            data = transfer.socket.recv(CHUNK)
        except BlockingIOError:
            return
        if not data:
            raise ClosedEarly(f"closed at byte {transfer.position} of {self.load.size}")
        if transfer.length < 0:
            transfer.buffer += data
            start = _sockets.head_length(transfer.buffer)
            if not start:
                return
            head, data, transfer.buffer = transfer.buffer[:start], transfer.buffer[start:], b""
            transfer.status = head[9:12]
            transfer.etag = _sockets.field(head, b"etag").decode().strip('"')
            transfer.length = int(_sockets.field(head, b"content-length") or b"0")
            if transfer.upload:
                self.uploaded(transfer, head)
                return
        transfer.digest.update(data)
        transfer.position += len(data)
        self.result.bytes_moved += len(data)
        self.moved(transfer)
        if transfer.position >= transfer.length:
            right = transfer.digest.hexdigest() == self.md5 == transfer.etag and transfer.position == self.load.size
            if transfer.status != b"200" or not right:
                self.end(transfer, f"{transfer.status!r}, {transfer.position} bytes, {transfer.etag}")
                return
            self.result.downloads += 1
            self.again(transfer)

    def uploaded(self, transfer: _Transfer, head: bytes) -> None:
        complete = transfer.position == self.load.size and not transfer.out
        if transfer.status != b"201" or not complete or transfer.etag != transfer.digest.hexdigest():
            self.end(transfer, f"at byte {transfer.position}: {head.decode('latin-1')}")
            return
        self.result.uploads += 1
        self.again(transfer)

    def again(self, transfer: _Transfer) -> None:
        if self.hurry:
            self.end(transfer, "")
        else:
            self.begin(transfer)

    def end(self, transfer: _Transfer, cause: str) -> None:
        transfer.ended = True
        if transfer.registered:
            self.poller.unregister(transfer.socket.fileno())
        transfer.socket.close()
        if cause:
            kind = "upload" if transfer.upload else "download"
            self.result.errors.append(f"{time.monotonic():.3f} {kind} {transfer.number}: {cause}")


class ClosedEarly(ValueError):
    """The server closed the connection."""


def run_transfers(load: TransferLoad, orders: Orders) -> TransferResult:
    """The process of a ``TransferLoad``."""
    return _Transfers(load, orders).run()
