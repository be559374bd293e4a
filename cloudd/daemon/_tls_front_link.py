# -*- test-case-name: tests.daemon.test_tls_front -*-
"""One TLS front as the anchor sees it: a process, by its pidfd, and a control connection; started or found."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred

from cloudd.tls_front import PROCESS_NAME, PROTOCOL, receive_message, send_message, socket_name

from ._loader_process import NOT_INHERITED
from ._passing import peer_of
from ._reader import Reader

CALL_TIMEOUT_S = 10.0
_FIND_TIMEOUT_S = 5.0
_CONTROL_DESCRIPTOR = 3


class FrontLost(Exception):
    """A front gave no answer: it has ended, does not answer in time, or says why it did nothing."""


@define(eq=False)
class FrontLink:
    """
    One front.

    Whatever version it speaks, it understands ``hello`` and ``stop``.

    :ivar code: which code it runs, as ``front_code`` tells
    :ivar speaks: the version of the control messages that we speak
    :ivar held: of one that was found its listening socket and its end of the channel by face; the taker closes them
    :param path: of its control socket; removed when it has ended
    :ivar is_over: the process has ended, or was left alone
    """

    pid: int
    code: str
    speaks: bool
    is_draining: bool
    held: dict[str, tuple[socket.socket, socket.socket]]
    _control: socket.socket
    _pidfd: int
    _path: Path
    is_over: bool = False
    _reactor: Any = None
    _readers: list[Reader] = field(factory=list)
    _waiting: deque[Deferred[dict[str, Any]]] = field(factory=deque)
    _ended_calls: list[Callable[[str], None]] = field(factory=list)
    _cause: str = ""

    def watch(self, reactor: Any) -> None:
        """Calls are possible from now on, and its end is noticed; without effect when they are already."""
        if self._reactor is not None:
            return
        self._reactor = reactor
        self._control.setblocking(False)
        self._readers = [Reader(self._control.fileno(), self._read), Reader(self._pidfd, self._exited)]
        for reader in self._readers:
            reactor.addReader(reader)

    async def call(
        self, call: str, descriptors: tuple[int, ...] = (), *, within_s: float = CALL_TIMEOUT_S, **fields: Any
    ) -> dict[str, Any]:
        """
        Ask for something (``cloudd.tls_front._messages`` has the list).

        :param descriptors: copied
        :raises FrontLost: there is no answer, or it is a refusal
        """
        if self.is_over:
            raise FrontLost("it has ended")
        answered: Deferred[dict[str, Any]] = Deferred()
        try:
            send_message(self._control, {"call": call, **fields}, descriptors)
        except OSError as error:
            raise FrontLost(f"it takes no calls: {error.strerror or error}") from error
        self._waiting.append(answered)
        timer = self._reactor.callLater(within_s, self._too_late, answered, within_s)
        try:
            answer = await answered
        finally:
            if timer.active():
                timer.cancel()
        if "error" in answer:
            raise FrontLost(str(answer["error"]))
        return answer

    def when_ended(self, call: Callable[[str], None]) -> None:
        """Call ``call`` with the cause in words when the process has ended; at once if it has."""
        if self.is_over:
            call(self._cause)
        else:
            self._ended_calls.append(call)

    def signal(self, number: int) -> None:
        """Send a signal; without effect when it has ended."""
        if not self.is_over:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def _too_late(self, answered: Deferred[dict[str, Any]], within_s: float) -> None:
        # It stays among those that wait: answers come in order.
        answered.errback(FrontLost(f"it does not answer within {within_s:g} s"))

    def _read(self) -> None:
        while not self.is_over:
            try:
                answer, descriptors = receive_message(self._control)
            except BlockingIOError:
                return
            except (EOFError, OSError, ValueError):
                # Its end is told by the pidfd; one that closes its control connection alone is of no use.
                self._reactor.removeReader(self._readers[0])
                self.signal(signal.SIGTERM)
                return
            for descriptor in descriptors:
                os.close(descriptor)
            if self._waiting:
                answered = self._waiting.popleft()
                if not answered.called:
                    answered.callback(answer)

    def _exited(self) -> None:
        try:
            result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            result = None  # of an earlier anchor
        if result is None:
            cause = "ended"
        elif result.si_code == os.CLD_EXITED:
            cause = f"ended with status {result.si_status}"
        else:
            cause = f"was killed by {signal.Signals(result.si_status).name}"
        self._finish(cause)

    def _finish(self, cause: str) -> None:
        self._read_last()
        self.is_over, self._cause = True, cause
        for reader in self._readers:
            self._reactor.removeReader(reader)
        self._control.close()
        os.close(self._pidfd)
        self._path.unlink(missing_ok=True)  # of one that was killed
        waiting, self._waiting = self._waiting, deque()
        for answered in waiting:
            if not answered.called:
                answered.errback(FrontLost(f"it {cause}"))
        for call in self._ended_calls:
            call(cause)

    def _read_last(self) -> None:
        """An answer may have come just before its end."""
        with contextlib.suppress(OSError, EOFError, ValueError):
            while self._waiting:
                answer, _descriptors = receive_message(self._control)
                answered = self._waiting.popleft()
                if not answered.called:
                    answered.callback(answer)


def start_front(tree: Path, code: str, run: Path, output: int | None, environment: Mapping[str, str]) -> FrontLink:
    """
    Start a front from a code tree.

    :param run: folder for its control socket
    :param output: descriptor for what it says; None: ours
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    inherited = {key: value for key, value in environment.items() if key not in NOT_INHERITED}
    inherited["PYTHONPATH"] = str(tree)
    out, errors = (1, 2) if output is None else (output, output)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, out, 1),
        (os.POSIX_SPAWN_DUP2, errors, 2),
        # Last: the output may have had this number.
        (os.POSIX_SPAWN_DUP2, theirs.fileno(), _CONTROL_DESCRIPTOR),
    ]
    command = [sys.executable, "-P", "-m", "cloudd.tls_front", str(run), code, str(_CONTROL_DESCRIPTOR)]
    try:
        # Its end is waited for by its pidfd alone: a later anchor, after an exec, has to be able to do that too.
        pid = os.posix_spawn(sys.executable, command, inherited, file_actions=actions)
        pidfd = os.pidfd_open(pid)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return FrontLink(pid, code, True, False, {}, ours, pidfd, run / socket_name(pid))


def find_fronts(run: Path, note: Callable[[str], None]) -> list[FrontLink]:
    """
    The fronts that an earlier anchor has left running.  Blocks; to be called before the reactor runs.

    One that does not answer serves nobody and holds its ports: it is killed.  Those that ended while this process
    replaced itself by exec, which are its children still, are reaped.

    :param note: told of those that are killed
    """
    _reap_children()
    return [link for path in sorted(run.glob("tls-front-*.sock")) if (link := _meet(path, note)) is not None]


def _meet(path: Path, note: Callable[[str], None]) -> FrontLink | None:
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.settimeout(_FIND_TIMEOUT_S)
    try:
        control.connect(str(path))
        pid, _uid = peer_of(control)
        pidfd = os.pidfd_open(pid)
    except OSError:
        control.close()
        path.unlink(missing_ok=True)  # of one that was killed
        return None
    try:
        send_message(control, {"call": "hello"})
        hello, descriptors = receive_message(control)
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        held = dict(zip(hello["faces"], zip(sockets[::2], sockets[1::2], strict=True), strict=True))
    except (OSError, EOFError, ValueError, KeyError) as error:
        control.close()
        note(f"the TLS front {pid} does not answer and is killed: {error or type(error).__name__}")
        _kill(pidfd)
        path.unlink(missing_ok=True)
        return None
    speaks, is_draining = hello.get("protocol") == PROTOCOL, bool(hello.get("draining"))
    return FrontLink(pid, str(hello.get("code")), speaks, is_draining, held, control, pidfd, path)


def _reap_children() -> None:
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that ended, or a kernel that does not tell
            for pid in (task / "children").read_text().split():
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{pid}/comm").read_text() == f"{PROCESS_NAME}\n":
                        os.waitpid(int(pid), os.WNOHANG)


def _kill(pidfd: int) -> None:
    """Kill a process, and wait until it has let go of its ports."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        select.select([pidfd], [], [], _FIND_TIMEOUT_S)
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    os.close(pidfd)
