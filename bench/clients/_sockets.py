"""Connections of clients: many of them, from addresses all over 127.0.0.0/8."""

from __future__ import annotations

import socket

_IP_BIND_ADDRESS_NO_PORT = 24
PER_ADDRESS = 10_000  # connections from one address to one port: the machine has some 28,000 ports for it


def source_address(number: int) -> str:
    """The address from which connection ``number`` (0 to 600 million) comes; one for 10,000 connections."""
    block = number // PER_ADDRESS
    return f"127.{1 + block % 250}.{1 + block // 250 % 250}.1"


def connect(port: int, number: int) -> socket.socket:
    """
    A connection to 127.0.0.1, not blocking, with TCP_NODELAY.

    :raises OSError: it could not be made within 60 s
    """
    client = socket.socket()
    try:
        client.settimeout(60)
        client.setsockopt(socket.SOL_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.bind((source_address(number), 0))
        client.connect(("127.0.0.1", port))
        client.setblocking(False)
    except OSError:
        client.close()
        raise
    return client


def head_length(data: bytes | bytearray) -> int:
    """Length of an answer's head with its empty line; 0 while it is not complete."""
    found = data.find(b"\r\n\r\n")
    return found + 4 if found >= 0 else 0


def field(head: bytes, name: bytes) -> bytes:
    """A header field of an answer, or nothing; ``name`` in lower case."""
    lowered = head.lower()
    start = lowered.find(b"\r\n" + name + b":")
    if start < 0:
        return b""
    start += len(name) + 3
    return head[start : head.index(b"\r\n", start)].strip()
