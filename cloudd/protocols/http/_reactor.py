# -*- test-case-name: tests.protocols.http.test_sockets -*-
"""
Twisted's epoll reactor without the log context that it builds around every event.

That context (``log.callWithLogger``) costs a fifth of a small request and names the connection in log lines of the
old logging system only, which nothing here uses.  Errors are handled as in Twisted.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionFdescWentAway
from twisted.internet.main import installReactor
from twisted.logger import Logger

_log = Logger()
_EPOLLIN = 1


class LeanEPollReactor(EPollReactor):
    """An ``EPollReactor`` that calls readable descriptors directly."""

    def doPoll(self, timeout: float | None) -> None:
        """Wait for events and hand them out."""
        try:
            events = self._poller.poll(-1 if timeout is None else timeout, len(self._selectables))
        except InterruptedError:
            return
        selectables = self._selectables
        for descriptor, event in events:
            selectable = selectables.get(descriptor)
            if selectable is None:
                continue  # closed by an earlier event of this round
            if event == _EPOLLIN:
                self._read(selectable)
            else:
                self._doReadOrWrite(selectable, descriptor, event)

    doIteration = doPoll

    def _read(self, selectable: Any) -> None:
        try:
            why = (
                ConnectionFdescWentAway("Filedescriptor went away")
                if selectable.fileno() == -1
                else selectable.doRead()
            )
        except BaseException as error:
            _log.failure("reading from {selectable} failed; it is closed", selectable=selectable)
            why = error
        if why:
            self._disconnectSelectable(selectable, why, True)


def install_lean() -> None:
    """Make it the process's reactor; before anything imports ``twisted.internet.reactor``."""
    installReactor(LeanEPollReactor())
