# -*- test-case-name: tests.daemon.test_passing -*-
"""Unix sockets between processes of one host: messages with descriptors beside them, and who is at the other end."""

from __future__ import annotations

import os
import socket
import struct
from array import array
from collections.abc import Iterable

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


def receive_with_descriptors(end: socket.socket, most_bytes: int, most_descriptors: int) -> tuple[bytes, list[int]]:
    """
    One message of a SOCK_SEQPACKET socket.

    :param most_bytes: a longer message is cut
    :param most_descriptors: the kernel closes those that are more
    :return: the message, empty at the end of the stream; its descriptors belong to the caller and close on exec
    :raises OSError: as recvmsg(2)
    """
    # Not socket.recv_fds: it drops the flags, and the descriptors would be inherited.
    room = socket.CMSG_SPACE(most_descriptors * array("i").itemsize)
    data, ancillary, _flags, _address = end.recvmsg(most_bytes, room, socket.MSG_CMSG_CLOEXEC)
    descriptors = array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    return data, list(descriptors)


def peer_of(end: socket.socket) -> tuple[int, int]:
    """Process and user at the other end, from the kernel (``SO_PEERCRED``, unix(7)): of whoever connected."""
    pid, uid, _gid = _CREDENTIALS.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return pid, uid


def close_descriptors(descriptors: Iterable[int]) -> None:
    """Close those that nobody wants."""
    for descriptor in descriptors:
        os.close(descriptor)
