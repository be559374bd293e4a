# -*- test-case-name: tests.tls_front.test_control -*-
"""
Control messages: JSON objects with descriptors beside them, one a packet of a SOCK_SEQPACKET unix socket.

Each request has a ``call`` and gets one answer, in order.  Version 1, of which ``hello`` and ``stop`` have to stay as
they are: an anchor of another version takes the sockets of a front that it does not understand, and ends it.

``hello``
    ``pid``, ``protocol``, ``code`` (what it was started with), ``draining``, ``faces``; beside it for each face its
    listening socket and the front's end of its channel.
``serve``
    ``faces``: a list of objects with ``name`` and the fields of ``CertificateFiles``; beside it for each face its
    listening socket and the front's end of its channel.  Replaces what was served before; connections stay.  Also
    ``stop_timeout_s``, for SIGTERM.  Answers with ``problems``: certificates that cannot be used, in words; a face
    without any certificate is served as soon as one can be used.
``status``
    Counts, and certificates with the time at which they end.
``reload``
    Read the certificates again now; answers with ``problems``.
``stop``
    Accept no more; end when the last connection has ended, at the latest after ``timeout_s`` (null: whenever that
    is).

An answer with ``error`` says why nothing was done.
"""

from __future__ import annotations

import json
import socket
from array import array
from collections.abc import Sequence
from typing import Any

PROTOCOL = 1
#: As ``ps -o comm`` shows it.
PROCESS_NAME = "cloudd tls"
MAX_MESSAGE_BYTES = 131_072
MAX_DESCRIPTORS = 32


def socket_name(pid: int) -> str:
    """The name of a front's control socket in the run folder."""
    return f"tls-front-{pid}.sock"


def send_message(connection: socket.socket, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    """
    Send one message; descriptors are copied.

    :raises OSError: the other end has gone, or (``BlockingIOError``) does not read
    """
    socket.send_fds(connection, [json.dumps(message).encode()], descriptors)


def receive_message(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """
    Receive one message; its descriptors belong to the caller and close on exec.

    :raises EOFError: the other end has gone
    :raises ValueError: this is no message; its descriptors were closed
    :raises OSError: as recvmsg(2); ``BlockingIOError`` when nothing is there
    """
    data, descriptors = receive_packet(connection, MAX_MESSAGE_BYTES, MAX_DESCRIPTORS)
    try:
        if not data:
            raise EOFError("the other end has gone")
        message = json.loads(data)
        if not isinstance(message, dict):
            raise ValueError("a message is an object")
    except BaseException:
        close_descriptors(descriptors)
        raise
    return message, descriptors


def receive_packet(connection: socket.socket, size: int, most: int) -> tuple[bytes, list[int]]:
    """One packet of at most ``size`` bytes and ``most`` descriptors; of what is larger, the rest is lost."""
    # Not socket.recv_fds: it drops the flags, and the descriptors would be inherited.
    room = socket.CMSG_SPACE(most * array("i").itemsize)
    data, ancillary, _flags, _address = connection.recvmsg(size, room, socket.MSG_CMSG_CLOEXEC)
    descriptors = array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    return data, list(descriptors)


def close_descriptors(descriptors: Sequence[int]) -> None:
    """Close what came and is not used."""
    for descriptor in descriptors:
        socket.close(descriptor)
