# -*- test-case-name: tests.reload.test_holders -*-
"""
A question about all objects of a process, answered by a copy of it.

A search through all objects takes up to seconds in which no request is served.  A fork has the same objects, costs
milliseconds, and may take its time.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

TIMEOUT_S = 30.0
MAX_BYTES = 1_048_576


def lines_from_fork(reactor: Any, ask: Callable[[], list[str]], timeout_s: float = TIMEOUT_S) -> Deferred[list[str]]:
    """
    Call ``ask`` in a fork of this process.

    The fork has no descriptor but the one for its answer, and no other thread; it ends without running anything else.

    :param ask: must need neither a thread nor a lock that another thread may hold
    :return: fires with what it gave, or with one line that says why nothing came; never fails; cancelling ends the fork
    """
    answer: list[_Answer] = []
    done: Deferred[list[str]] = Deferred(lambda _: answer[0].end())
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        pid = os.fork()
    except OSError as error:
        os.close(reading)
        os.close(writing)
        done.callback([f"what it is was not looked for: {error.strerror}"])
        return done
    if pid == 0:
        _answer(writing, ask)
    os.close(writing)
    answer.append(_Answer(reactor, reading, pid, done, timeout_s))
    answer[0].start()
    return done


def _answer(writing: int, ask: Callable[[], list[str]]) -> None:
    """In the fork; never returns."""
    try:
        os.dup2(writing, 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        os.set_blocking(3, True)
        try:
            lines = ask()
        except BaseException as error:
            lines = [f"what it is was not found: {error!r}"]
        with open(3, "wb") as file:
            file.write(json.dumps(lines).encode()[:MAX_BYTES])
    finally:
        os.kill(os.getpid(), signal.SIGKILL)  # whatever is called at the end of a process would miss its descriptors


@implementer(IReadDescriptor)
class _Answer:
    """Reads what the fork writes, and reaps it."""

    def __init__(self, reactor: Any, descriptor: int, pid: int, done: Deferred[list[str]], timeout_s: float) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._pid = pid
        self._done = done
        self._data = b""
        self._timeout = reactor.callLater(timeout_s, self.end)

    def start(self) -> None:
        self._reactor.addReader(self)

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "answer of a fork"

    def doRead(self) -> None:
        piece = os.read(self._descriptor, 65_536)
        self._data += piece
        if not piece:
            self.end()

    def connectionLost(self, _reason: Any) -> None:
        """The reactor stops."""
        self.end()

    def end(self) -> None:
        """Wait no longer."""
        with contextlib.suppress(AlreadyCalled, AlreadyCancelled):
            self._timeout.cancel()
        self._reactor.removeReader(self)
        os.close(self._descriptor)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        try:
            lines = json.loads(self._data)
        except ValueError:
            lines = ["what it is was not found in time"]
        self._done.callback(lines)
