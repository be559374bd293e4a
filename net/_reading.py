# -*- test-case-name: tests.net.test_quick -*-
"""
What the kernel says: asked for, and by itself when somebody changes something.  Sockets of netlink, blocking only for
the kernel's own answer.

Both kinds of socket are in the network namespace of the thread that opened them, whichever thread reads them.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from typing import Final, Self

from attrs import define, field, frozen

from ._errors import NetError
from ._messages import (
    DELETE_ADDRESS,
    DELETE_LINK,
    DELETE_ROUTE,
    DONE,
    DUMP,
    DUMP_BROKEN,
    ERROR,
    GET_ADDRESS,
    GET_LINK,
    GET_ROUTE,
    NEW_ADDRESS,
    NEW_LINK,
    NEW_ROUTE,
    Address,
    Link,
    Message,
    Route,
    address_of,
    address_request,
    error_of,
    link_of,
    link_request,
    messages,
    request,
    route_of,
    route_request,
    table_of,
)

_NETFILTER: Final = 12
_SOL_NETLINK: Final = 270
_ADD_MEMBERSHIP: Final = 1
_STRICT_CHECK: Final = 12
_RECEIVE_BUFFER: Final = 33
"""``SO_RCVBUFFORCE``."""

_WAITING_BYTES: Final = 32 << 20
"""Of notifications that nobody has read yet: those of some thousand links.  The kernel keeps no more than there are."""

_LINK_GROUPS: Final = (1, 5, 7, 9, 11)
"""``RTNLGRP_`` ``LINK``, ``IPV4_IFADDR``, ``IPV4_ROUTE``, ``IPV6_IFADDR``, ``IPV6_ROUTE``."""

_TABLE_GROUPS: Final = (7,)
"""``NFNLGRP_NFTABLES``."""

_TRIES: Final = 5


@frozen
class Noticed:
    """
    What was changed since the last look, by whomever.

    :ivar indexes: of links that were made, changed or deleted, or of which an address or a route of ours was
    :ivar names: of links that were made or changed, by index
    :ivar transactions: how many of nftables had to do with our tables
    :ivar links_lost: the kernel could not tell of all links
    :ivar tables_lost: nor of all transactions
    """

    indexes: frozenset[int] = frozenset()
    names: dict[int, str] = field(factory=dict)
    transactions: int = 0
    links_lost: bool = False
    tables_lost: bool = False


@define
class Reader:
    """Asks for links, addresses and routes."""

    _socket: socket.socket
    _sequence: int = 0

    @classmethod
    def open(cls) -> Self:
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        made.bind((0, 0))
        made.setsockopt(_SOL_NETLINK, _STRICT_CHECK, 1)
        return cls(made)

    def close(self) -> None:
        self._socket.close()

    def links(self) -> list[Link]:
        return [link_of(message) for message in self._dump(GET_LINK, link_request())]

    def link(self, index: int) -> Link | None:
        """``None``: there is no such link."""
        try:
            (message,) = self._ask(GET_LINK, 0, link_request(index))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise _unanswered(error) from error
        return link_of(message)

    def addresses(self, index: int = 0) -> list[Address]:
        """:param index: of one link; 0: of all"""
        return [address_of(message) for message in self._dump(GET_ADDRESS, address_request(index))]

    def routes(self, index: int = 0) -> list[Route]:
        """Those that may be ours, of both versions."""
        found = (
            route_of(message)
            for family in (socket.AF_INET, socket.AF_INET6)
            for message in self._dump(GET_ROUTE, route_request(family, index))
        )
        return [route for route in found if route]

    def _dump(self, kind: int, body: bytes) -> list[Message]:
        """:raises NetError: it changed each time while it was read"""
        for _ in range(_TRIES):
            try:
                found = list(self._ask(kind, DUMP, body))
            except OSError as error:
                # The kernel has no table of routes yet, or the link went meanwhile.
                if error.errno in {errno.ENOENT, errno.ENODEV}:
                    return []
                raise _unanswered(error) from error
            if not any(message.flags & DUMP_BROKEN for message in found):
                return found
        raise NetError(
            f"links or routes changed {_TRIES} times while they were read",
            "See what changes them all the time: ip monitor",
        )

    def _ask(self, kind: int, flags: int, body: bytes) -> Iterator[Message]:
        self._sequence += 1
        self._socket.send(request(kind, flags, self._sequence, body))
        while True:
            # An answer of an earlier question that was broken off may still be there.
            for message in messages(self._socket.recv(1 << 18)):
                if message.sequence != self._sequence:
                    continue
                if message.kind in {ERROR, DONE}:
                    if code := error_of(message):
                        raise OSError(code, os.strerror(code))
                    return
                yield message
                if not flags:
                    return


@define
class Watch:
    """Hears of changes."""

    _links: socket.socket
    _tables: socket.socket
    _table: str

    @classmethod
    def open(cls, table: str) -> Self:
        """
        :param table: the name of our tables
        :raises NetError: the kernel refuses it
        """
        try:
            return cls(_listening(socket.NETLINK_ROUTE, _LINK_GROUPS), _listening(_NETFILTER, _TABLE_GROUPS), table)
        except OSError as error:
            raise NetError(
                f"the kernel does not tell of changes of the network: {error.strerror}",
                "Run as root, with CAP_NET_ADMIN in this network namespace",
            ) from error

    def close(self) -> None:
        self._links.close()
        self._tables.close()

    def noticed(self) -> Noticed:
        """All since the last call; does not wait."""
        indexes: set[int] = set()
        names: dict[int, str] = {}
        links, links_lost = _waiting(self._links)
        for message in links:
            _note(message, indexes, names)
        tables, tables_lost = _waiting(self._tables)
        return Noticed(frozenset(indexes), names, _transactions(tables, self._table), links_lost, tables_lost)


def _unanswered(error: OSError) -> NetError:
    return NetError(f"the kernel does not list its links or routes: {error.strerror}", "See what `ip -d link` says")


def _listening(protocol: int, groups: tuple[int, ...]) -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    made = socket.socket(socket.AF_NETLINK, kind, protocol)
    made.bind((0, 0))
    made.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER, _WAITING_BYTES)
    for group in groups:
        made.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    return made


def _waiting(listening: socket.socket) -> tuple[list[Message], bool]:
    """(messages, whether some are lost)"""
    found: list[Message] = []
    lost = False
    while True:
        try:
            found += messages(listening.recv(1 << 18))
        except BlockingIOError:
            return found, lost
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            lost = True


def _note(message: Message, indexes: set[int], names: dict[int, str]) -> None:
    if message.kind in {NEW_LINK, DELETE_LINK}:
        link = link_of(message)
        indexes.add(link.index)
        names[link.index] = link.name
    elif message.kind in {NEW_ADDRESS, DELETE_ADDRESS}:
        indexes.add(address_of(message).index)
    elif message.kind in {NEW_ROUTE, DELETE_ROUTE} and (route := route_of(message)):
        indexes.add(route.index)


def _transactions(told: list[Message], ours: str) -> int:
    count, is_ours = 0, False
    for message in told:
        table = table_of(message)
        if table is None:
            count, is_ours = count + is_ours, False
        elif table == ours:
            is_ours = True
    return count
