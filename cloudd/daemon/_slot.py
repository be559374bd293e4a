# -*- test-case-name: tests.daemon.test_processes -*-
"""
One place for a worker process: forked into it, watched, and forked again after a crash.

A slot is ``starting`` (forked, not ready), ``ready``, ``waiting`` (ended; a new one comes after the back-off), or
``stopped``.  A process that an earlier anchor had forked is adopted into its slot.  The end of a process is known by
three signs, whichever comes first counts: the loader's report (which has the status), the pidfd (which needs no
loader), and the end of the link.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger

from ._database_place import PlaceError
from ._link import Callee, Link
from ._loader_process import ForkedWorker, LoaderLost, LoaderProcess
from ._reader import Reader
from ._rendezvous import Met, place_of
from ._spec import WorkerSpec

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 30.0
STEADY_S = 60.0
LOOP_FAILURES = 3
REPORT_WAIT_S = 0.5
BOOT_TIMEOUT_S = 60.0
UNKNOWN_STATUS = 255


def restart_delay_s(failures: int) -> float:
    """How long to wait before the next start after so many crashes in a row: nothing after the first."""
    return 0.0 if failures <= 1 else min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** (failures - 2))


@define(eq=False)
class Slot:
    """
    :param make_spec: what the next process is told
    :param listeners: descriptors of its listening sockets, in the order of the spec's faces
    :param loader: gives a loader that runs
    :param callees: what the worker may call besides ``ready``, ``failed`` and ``prepared``
    :param run: folder of the sockets at which workers can be met; a dead one's is removed
    :param became_ready: called each time the worker is ready, with the generation it booted
    """

    name: str
    role: str
    _reactor: Any
    _make_spec: Callable[[], WorkerSpec]
    _listeners: list[int]
    _loader: Callable[[], LoaderProcess]
    _callees: Mapping[str, Callee]
    _run: Path
    _became_ready: Callable[[Slot, int], None] = field(default=lambda _slot, _generation: None)
    state: str = "stopped"
    pid: int = 0
    started_at: float = 0.0
    generation: int = 0  # booted by the process that runs
    restarts: int = 0
    failures: int = 0  # crashes in a row
    cause: str = ""  # of the last crash, in words
    link: Link | None = None
    written: list[str] = field(factory=list)  # what ``prepared`` said
    handover: Callable[[str, dict[str, Any]], None] = field(default=lambda _phase, _facts: None)  # told how far it is
    ended: Deferred[int] = field(factory=Deferred)  # fires when the process that runs has ended
    _number: int = 0
    _used_loader: LoaderProcess | None = None
    _pidfd: int = -1
    _pidfd_reader: Reader | None = None
    _stopping: bool = False
    _restart: bool = True
    _failure: str = ""
    _status: int | None = None
    _timer: Any = None
    log = Logger()

    @property
    def is_ready(self) -> bool:
        """Whether it can be asked things."""
        return self.state == "ready" and self.link is not None and not self.link.is_lost

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self.state in {"starting", "ready"}

    @property
    def pidfd(self) -> int:
        """Of the process that runs, -1: none."""
        return self._pidfd

    @property
    def loops(self) -> bool:
        """Whether it crashes again and again; one that has served long enough has got over it."""
        steady = self.is_ready and self._reactor.seconds() - self.started_at >= STEADY_S
        return self.failures >= LOOP_FAILURES and not steady

    def start(self, *, restart: bool = True) -> None:
        """Fork the process; with ``restart`` again each time it ends."""
        self._restart = restart
        self._fork()

    def adopt(self, met: Met, end: socket.socket) -> None:
        """
        Take a process over that runs already; ``end`` is our end of its new link.

        :raises ProcessLookupError: it has just ended
        """
        pidfd = os.pidfd_open(met.pid)
        self.state, self.generation, self._failure, self._status = "ready", met.welcome.generation, "", None
        self.started_at = met.welcome.started_at
        self.ended = Deferred()
        self._connect(end)
        self._has_forked(ForkedWorker(met.pid, pidfd))

    def keep_running(self, *, restart: bool) -> None:
        """
        Whether a new process comes when this one ends; a place that is empty is filled at once.

        Without: the end of its process is expected, and nobody calls it a crash.
        """
        self._restart = restart
        if restart:
            self._stopping = False
            if self.state == "stopped":
                self._fork()
        elif self._timer is not None and self._timer.active():
            self._timer.cancel()
            self.state = "stopped"

    def stop(self, timeout_s: float) -> None:
        """Ask the process to end within ``timeout_s``; it is not started again."""
        self._stopping = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self.runs and self.link is not None:
            self.link.cast("stop", timeout_s=timeout_s)
        elif not self.runs:
            self.state = "stopped"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process that runs, never to another one of its number."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def kill(self, cause: str) -> None:
        """End the process at once; ``cause`` is what is said of that."""
        self._failure = cause
        self.signal(signal.SIGKILL)

    def give_up(self, cause: str) -> None:
        """The same for a process that does not get on; where it was not forked yet, its loader hangs and is ended."""
        self.kill(cause)
        if not self.pid and self._used_loader is not None:
            self._used_loader.kill()

    def process_ended(self, loader: LoaderProcess, number: int, status: int) -> bool:
        """The loader's report of an exit; false when it means another process."""
        if loader is not self._used_loader or number != self._number or not self.runs:
            return False
        self._reported(status)
        return True

    def _fork(self) -> None:
        self._timer = None
        self.state, self._failure, self._status, self.generation = "starting", "", None, 0
        self.started_at = self._reactor.seconds()
        self.ended = Deferred()
        try:
            ours, forked = self._ask_loader()
        except (LoaderLost, PlaceError, OSError) as error:
            self._failure = str(error)
            self._reactor.callLater(0, self._over, UNKNOWN_STATUS)
            return
        self._connect(ours)
        self._later(BOOT_TIMEOUT_S, self._too_slow)
        forked.addCallbacks(self._has_forked, lambda failure: self._not_forked(failure.getErrorMessage()))

    def _connect(self, end: socket.socket) -> None:
        callees: dict[str, Callee] = {
            **self._callees,
            "ready": self._is_ready,
            "failed": self._has_failed,
            "prepared": self._has_prepared,
            "handover": self._heard_of_handover,
        }
        link = self.link = Link(callees, self._reactor, self._link_lost)
        self._reactor.adoptStreamConnection(end.fileno(), socket.AF_UNIX, ServerFactory.forProtocol(lambda: link))
        end.close()

    def _ask_loader(self) -> tuple[socket.socket, Deferred[ForkedWorker]]:
        """Our end of the new worker's link, and what fires when it runs."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._used_loader = self._loader()
                self._number, forked = self._used_loader.fork(self._make_spec(), [theirs.fileno(), *self._listeners])
            except BaseException:
                ours.close()
                raise
        return ours, forked

    def _too_slow(self) -> None:
        if self._restart and self.state == "starting":
            self.give_up(f"it was not ready within {BOOT_TIMEOUT_S:g} s")

    def _has_forked(self, worker: ForkedWorker) -> None:
        self.pid, self._pidfd = worker.pid, worker.pidfd
        self._pidfd_reader = Reader(worker.pidfd, self._pidfd_says_ended)
        self._reactor.addReader(self._pidfd_reader)

    def _not_forked(self, cause: str) -> None:
        self._failure = self._failure or cause
        self._over(UNKNOWN_STATUS)

    def _pidfd_says_ended(self) -> None:
        self._forget_pidfd_reader()
        status = reap(self.pid)
        if status is not None:
            self._reported(status)
        else:
            # The loader's report, which has the status, is usually on its way.
            self._later(REPORT_WAIT_S, lambda: self._reported(UNKNOWN_STATUS))

    def _reported(self, status: int) -> None:
        """The process has ended; its last words may still be in the link."""
        if self._status is None:
            self._status = status
        if self.link is None or self.link.is_lost:
            self._over(self._status)
        else:
            self._later(REPORT_WAIT_S, lambda: self._over(status))

    def _link_lost(self) -> None:
        if self._status is not None and self.runs:
            self._over(self._status)

    def _later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call later, if it is still about the same process."""
        process = self.ended
        self._reactor.callLater(delay_s, lambda: call() if self.ended is process and self.runs else None)

    def _is_ready(self, generation: int) -> None:
        self.state, self.generation = "ready", generation
        if self._stopping and self.link is not None:
            self.link.cast("stop", timeout_s=0)
            return
        self._became_ready(self, generation)

    def _heard_of_handover(self, phase: str, facts: dict[str, Any]) -> None:
        self.handover(phase, facts)

    def _has_failed(self, cause: str) -> None:
        self._failure = cause

    def _has_prepared(self, written: list[str]) -> None:
        self.written = written

    def _over(self, status: int) -> None:
        lived_s = self._reactor.seconds() - self.started_at
        was_ready = self.state == "ready"
        self._forget_pidfd_reader()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        if self.link is not None:
            self.link.close()
        if self.pid:
            place_of(self._run, self.pid).unlink(missing_ok=True)
        self.pid = 0
        self.state = "stopped"
        ended = self.ended
        if not self._stopping and self._restart:
            steady = was_ready and (status == 0 or lived_s >= STEADY_S)  # status 0: somebody asked it to end
            self._note_end(status, 0 if steady else self.failures)
            self._timer = self._reactor.callLater(restart_delay_s(self.failures), self._fork_again)
            self.state = "waiting"
        elif status != 0:
            self.cause = self._describe(status)
        ended.callback(status)

    def _note_end(self, status: int, failures: int) -> None:
        self.failures = failures + (status != 0)
        self.cause = self._describe(status)
        self.log.error(
            "worker {worker} {cause}; starting it again in {delay_s:g} s",
            worker=self.name,
            cause=self.cause,
            delay_s=restart_delay_s(self.failures),
        )

    def _fork_again(self) -> None:
        self.restarts += 1
        self._fork()

    def _describe(self, status: int) -> str:
        if self._failure:
            return f"ended: {self._failure}"
        if status < 0:
            return f"was killed by {signal.Signals(-status).name}"
        if status == UNKNOWN_STATUS:
            return "ended, its exit status is unknown"
        return f"ended with status {status}"

    def _forget_pidfd_reader(self) -> None:
        if self._pidfd_reader is not None:
            self._reactor.removeReader(self._pidfd_reader)
            self._pidfd_reader = None


def reap(pid: int) -> int | None:
    """
    The status of a process that has ended, where it has become our own child since its loader has gone.

    :return: as ``os.waitstatus_to_exitcode``; None: it is not ours to reap, its loader does
    """
    try:
        reaped, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if reaped else None
