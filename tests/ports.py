"""Ports for servers that tests start."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from functools import cache
from pathlib import Path

LOWEST = 10_000
_OF_CLIENTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_given: set[int] = set()


def free_port() -> int:
    """
    One on loopback that nobody listens on, and that no test has been given whose process still runs.

    It is below those that the kernel gives to clients: a server that takes seconds to listen, or is started again on
    its port, would now and then find it taken by a connection of another test.
    """
    first_of_clients = int(_OF_CLIENTS.read_text().split()[0])
    while True:
        port = random.randrange(LOWEST, first_of_clients)
        if port in _given or not _is_unused(port) or not _reserve(port):
            continue
        _given.add(port)
        return port


def _is_unused(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _reserve(port: int) -> bool:
    """Until this process ends: a lock on one byte of a file, which all tests of this user know."""
    try:
        fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


@cache
def _reservations() -> int:
    """Open as long as this process runs: to close it anywhere here would give all locks back."""
    path = Path(tempfile.gettempdir()) / f"cloudd-test-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
