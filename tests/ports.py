"""Ports for servers that tests start."""

from __future__ import annotations

import random
import socket
from pathlib import Path

LOWEST = 10_000
_OF_CLIENTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """
    One on loopback that nobody listens on.

    It is below those that the kernel gives to clients: a server that takes seconds to listen, or is started again on
    its port, would now and then find it taken by a connection of another test.
    """
    first_of_clients = int(_OF_CLIENTS.read_text().split()[0])
    while True:
        port = random.randrange(LOWEST, first_of_clients)
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
