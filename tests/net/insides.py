"""Sockets of a namespace, used from outside of it: a socket stays where it was made."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000


def inside(path: str, make: Callable[[], T]) -> T:
    """Call ``make`` in the namespace at ``path``."""

    def enter() -> T:
        with open(path, "rb") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return make()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(enter).result()


def udp(path: str, address: str, port: int) -> socket.socket:
    """Bound to an address of that namespace; waits at most 20 s for a datagram."""

    def make() -> socket.socket:
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((address, port))
        made.settimeout(20)
        return made

    return inside(path, make)
