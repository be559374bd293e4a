# -*- test-case-name: tests.net.test_open_connections -*-
"""
Connection tracking of this thread's network namespace: entries looked for and deleted by netlink.  Blocking.

The kernel goes through its whole table for each question, of 262,144 places 9 ms of CPU when they are empty.  Where it
has few entries it is asked once for all of them, else for each of a few addresses by itself: with 50,000 entries that
is 40 ms, where all of them are 120 ms for the kernel and up to 1 s to be read here.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from attrs import define

from ._connections import DELETE, GET, Connection, connection_of, may_name, packed_of, request_for_all, requests_for
from ._errors import NetError
from ._messages import DONE, DUMP, ERROR, Message, error_of, messages, request
from ._values import IPV4, IPV6

_NETFILTER: Final = 12
_ACKNOWLEDGED: Final = 4
_COUNT: Final = Path("/proc/sys/net/netfilter/nf_conntrack_count")
"""Of this thread's network namespace."""

_FEW: Final = 3
"""Addresses that are looked for one by one."""

_FEW_ENTRIES: Final = 2000

_AT_ONCE: Final = 100


def end_connections(addresses: Collection[str], ends: Callable[[Connection], bool]) -> int:
    """
    Delete the entries of some addresses that are to end; those that end by themselves meanwhile are not missed.

    :param ends: asked of entries that name one of the addresses; it may be asked of others, and of one twice
    :return: how many were deleted
    :raises NetError: the kernel does not list or delete entries; some may be deleted
    """
    try:
        entries = _count()
        if not entries or not addresses:
            return 0
        with closing(_Conntrack(_opened())) as conntrack:
            doomed = {each.order for each in conntrack.find(addresses, entries) if ends(each)}
            conntrack.delete(sorted(doomed))
            return len(doomed)
    except OSError as error:
        raise NetError(
            f"the kernel does not end connections that are allowed no more: {error.strerror}",
            "Run as root, and see whether the module nf_conntrack_netlink is loaded",
        ) from error


def _count() -> int:
    try:
        return int(_COUNT.read_text())
    except FileNotFoundError:  # nothing is tracked: no firewall has asked for it
        return 0


def _opened() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
    made.bind((0, 0))
    return made


@define
class _Conntrack:
    _socket: socket.socket
    _sequence: int = 0

    def close(self) -> None:
        self._socket.close()

    def find(self, addresses: Collection[str], entries: int) -> Iterator[Connection]:
        """Those that name an address, and others."""
        packed = packed_of(addresses)
        for body in _requests(addresses, entries):
            for message in self._dump(body):
                if may_name(message, packed) and (connection := connection_of(message)):
                    yield connection

    def delete(self, orders: Sequence[bytes]) -> None:
        for start in range(0, len(orders), _AT_ONCE):
            self._delete_some(orders[start : start + _AT_ONCE])

    def _delete_some(self, orders: Sequence[bytes]) -> None:
        """In one datagram, of which the last message is answered, and others where they fail."""
        sent = []
        for order in orders:
            self._sequence += 1
            sent.append(request(DELETE, _ACKNOWLEDGED if order is orders[-1] else 0, self._sequence, order))
        self._socket.send(b"".join(sent))
        while True:
            for message in messages(self._socket.recv(1 << 18)):
                code = error_of(message) if message.kind == ERROR else 0
                if code and code != errno.ENOENT:
                    raise OSError(code, os.strerror(code))
                if message.sequence == self._sequence:
                    return

    def _dump(self, body: bytes) -> Iterator[Message]:
        self._sequence += 1
        self._socket.send(request(GET, DUMP, self._sequence, body))
        while True:
            for message in messages(self._socket.recv(1 << 18)):
                if message.sequence != self._sequence:
                    continue
                if message.kind in {ERROR, DONE}:
                    if code := error_of(message):
                        raise OSError(code, os.strerror(code))
                    return
                yield message


def _requests(addresses: Collection[str], entries: int) -> Iterable[bytes]:
    if len(addresses) <= _FEW and entries > _FEW_ENTRIES:
        return [body for address in sorted(addresses) for body in requests_for(address)]
    versions = {IPV6 if ":" in address else IPV4 for address in addresses}
    return map(request_for_all, sorted(versions))
