# -*- test-case-name: tests.tls_front -*-
"""
The event loop of the front: epoll, a few timers, and descriptors that are closed after the events in hand.

Not Twisted's or asyncio's: their TLS copies every byte through memory and costs tens of KiB a connection (asyncio's
256 KiB), and neither is needed to move bytes between two sockets.
"""

from __future__ import annotations

import heapq
import itertools
import select
import socket
import time
from collections.abc import Callable

IN, OUT, HUP, ERR = select.EPOLLIN, select.EPOLLOUT, select.EPOLLHUP, select.EPOLLERR
_EVENTS = 512


class Loop:
    """Calls those whose descriptors are ready, and those whose time has come."""

    def __init__(self, failed: Callable[[], None]) -> None:
        """:param failed: called in the handler of an exception that a call let through"""
        self.now = time.monotonic()
        self.failed = failed
        self._epoll = select.epoll()
        self._calls: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._ended: list[socket.socket] = []
        self._running = False

    def watch(self, descriptor: int, events: int, call: Callable[[int], None]) -> None:
        """Call ``call`` with the events; HUP and ERR come without being asked for."""
        self._epoll.register(descriptor, events)
        self._calls[descriptor] = call

    def change(self, descriptor: int, events: int) -> None:
        """Other events from now on."""
        self._epoll.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """No events any more; also when there were none."""
        if self._calls.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def close(self, connection: socket.socket) -> None:
        """
        Forget a socket and close it when the events in hand are done.

        Not at once: its number could be given to a new connection, which would then get the old one's events.
        """
        self.forget(connection.fileno())
        self._ended.append(connection)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call ``call`` once; there is no way to take it back."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), call))

    def stop(self) -> None:
        """``run`` returns."""
        self._running = False

    def run(self) -> None:
        """Until ``stop`` is called."""
        self._running = True
        while self._running:
            self._turn()
        self._close_ended()

    def _turn(self) -> None:
        timers = self._timers
        wait = max(0.0, timers[0][0] - time.monotonic()) if timers else -1
        events = self._epoll.poll(wait, _EVENTS)
        self.now = time.monotonic()
        for descriptor, happened in events:
            call = self._calls.get(descriptor)
            if call is not None:
                try:
                    call(happened)
                except Exception:
                    self.failed()
        while timers and timers[0][0] <= self.now:
            try:
                heapq.heappop(timers)[2]()
            except Exception:
                self.failed()
        self._close_ended()

    def _close_ended(self) -> None:
        ended, self._ended = self._ended, []
        for connection in ended:
            connection.close()
