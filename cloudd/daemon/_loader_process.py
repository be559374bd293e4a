# -*- test-case-name: tests.daemon.test_processes -*-
"""The anchor's side of a loader: start it, let it fork, hear of exits."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger

from ._channel import AnyMessage, Booted, ChannelClosed, Exited, Fork, Forked, ForkFailed, channel_pair, receive, send
from ._loader import CHANNEL_DESCRIPTOR
from ._priority import hasten
from ._reader import Reader
from ._spec import WorkerSpec

POLITE_S = 15.0  # a fully busy machine leaves so little to the polite that a hand-over's 60 s would not be enough
NOT_INHERITED = frozenset(
    {"NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID"}
)
"""What systemd says to the main process alone."""


class LoaderLost(Exception):
    """The loader has ended; a new one has to be started."""


@frozen
class ForkedWorker:
    """A worker that was forked; ``pidfd`` belongs to the receiver."""

    pid: int
    pidfd: int


@define(eq=False)
class LoaderProcess:
    """
    One loader, from ``start`` to the call of ``lost``.

    :param tree: root of the staged copy that it imports from
    :param interpreter: path of the Python that runs it
    :param preload: number of the generation that it loads before it forks; 0: none
    :param polite: it boots at a low priority, as do its workers until they serve; for ``POLITE_S`` at most
    :param server: the control database is on one
    :param output: descriptor for its standard output and error, and those of its workers; None: those of the anchor
    :param exited: called with the number of a worker that ended and its status (negative: the signal)
    :param lost: called once when the loader has ended
    """

    _reactor: Any
    _tree: Path
    _interpreter: str
    _preload: int
    is_polite: bool
    _server: bool
    _output: int | None
    _exited: Callable[[int, int], None]
    _lost: Callable[[], None]
    pid: int = 0
    is_lost: bool = False
    boot_seconds: float = 0.0
    _process: Any = None
    _channel: socket.socket | None = None
    _reader: Reader | None = None
    _patience: Any = None  # the timer that ends ``is_polite``
    _next_number: int = 0
    _reaped: Deferred[None] = field(factory=Deferred)
    _forking: dict[int, Deferred[ForkedWorker]] = field(factory=dict)
    log = Logger()

    def start(self, environment: Mapping[str, str]) -> None:
        """Start the process; it may be asked to fork at once, and does when it has booted."""
        ours, theirs = channel_pair()
        stdin = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        output, errors = (1, 2) if self._output is None else (self._output, self._output)
        inherited = {key: value for key, value in environment.items() if key not in NOT_INHERITED}
        inherited["PYTHONPATH"] = str(self._tree)
        try:
            process = self._reactor.spawnProcess(
                _Ending(self),
                self._interpreter,
                [
                    self._interpreter,
                    "-P",
                    "-m",
                    "cloudd.daemon._loader",
                    *([str(self._preload)] if self._preload else []),
                    *(["polite"] if self.is_polite else []),
                    *(["server"] if self._server else []),
                ],
                env=inherited,
                childFDs={0: stdin, 1: output, 2: errors, CHANNEL_DESCRIPTOR: theirs.fileno()},
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(stdin)
        self.pid = process.pid
        self._process = process
        ours.setblocking(False)
        self._channel = ours
        self._reader = Reader(ours.fileno(), self._read)
        self._reactor.addReader(self._reader)
        if self.is_polite:
            self._patience = self._reactor.callLater(POLITE_S, self.hasten)

    def hasten(self) -> None:
        """Let it, and the workers that it has forked and will fork, have the priority of all others."""
        self.is_polite = False
        hasten(self.pid)

    def fork(self, spec: WorkerSpec, descriptors: list[int]) -> tuple[int, Deferred[ForkedWorker]]:
        """
        Ask for a worker.

        :param descriptors: its end of the link, then its listening sockets; copied, the caller's stay open
        :return: the number that ``exited`` will name, and a Deferred that fires when the worker runs
        :raises LoaderLost: the loader has ended
        """
        if self._channel is None or self.is_lost:
            raise LoaderLost("the loader has ended")
        self._next_number += 1
        number = self._next_number
        done: Deferred[ForkedWorker] = Deferred()
        self._forking[number] = done
        try:
            send(self._channel, Fork(number, msgspec.Raw(msgspec.json.encode(spec))), descriptors)
        except (ChannelClosed, BlockingIOError) as error:
            del self._forking[number]
            raise LoaderLost(f"the loader takes no commands: {error}") from error
        return number, done

    def end(self) -> Deferred[None]:
        """Let it end; its workers stay.  Fires when it has been reaped."""
        self._close()
        return self._reaped

    def kill(self) -> None:
        """End it at once, also where it hangs; who waits for a worker of it learns that."""
        self.ended()
        with contextlib.suppress(ProcessExitedAlready):
            self._process.signalProcess("KILL")

    def ended(self) -> None:
        """The process has been reaped, or its channel closed."""
        if self.is_lost:
            return
        self._close()
        waiting, self._forking = self._forking, {}
        for deferred in waiting.values():
            deferred.errback(LoaderLost("the loader ended before it forked the worker"))
        self._lost()

    def reaped(self) -> None:
        """There is no such process any more."""
        self._reaped.callback(None)

    def _close(self) -> None:
        self.is_lost = True
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        if self._channel is not None and self._reader is not None:
            self._reactor.removeReader(self._reader)
            self._channel.close()
            self._channel = None

    def _read(self) -> None:
        while self._channel is not None:
            try:
                message, descriptors = receive(self._channel)
            except BlockingIOError:
                return
            except ChannelClosed:
                self.ended()
                return
            self._handle(message, descriptors)

    def _handle(self, message: AnyMessage, descriptors: list[int]) -> None:
        if isinstance(message, Forked):
            waiting = self._forking.pop(message.number)
            waiting.callback(ForkedWorker(message.pid, descriptors[0]))
        elif isinstance(message, ForkFailed):
            self._forking.pop(message.number).errback(LoaderLost(message.cause))
        elif isinstance(message, Exited):
            self._exited(message.number, message.status)
        elif isinstance(message, Booted):
            self.boot_seconds = message.seconds


class _Ending(ProcessProtocol):
    """Hears of the loader's end; Twisted reaps it."""

    def __init__(self, loader: LoaderProcess) -> None:
        self._loader = loader

    def processEnded(self, reason: Any) -> None:
        self._loader.ended()
        self._loader.reaped()
