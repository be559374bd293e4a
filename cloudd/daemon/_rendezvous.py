# -*- test-case-name: tests.daemon.test_rendezvous -*-
"""
Where a worker can be met: ``STATE/run/worker-PID.sock``.

A worker outlives the anchor that had it forked.  Whoever comes to it brings one end of a socket pair and says what that
is for: an anchor that takes the place of a dead one (``anchor``), or the two ends of a hand-over between workers
(``give`` to the old one, ``take`` to the new one).  An anchor whose sockets are others than those on which a worker
listens brings them (``listen``).  One message each way over SOCK_SEQPACKET, descriptors beside them:
a visit is over in a moment, what it brought lives on.

Version 1.  A question is a ``Visit``, the answer a ``Welcome``; unknown fields are passed over, so that fields may be
added.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from attrs import frozen
from twisted.logger import Logger

from ._passing import close_descriptors, peer_of, receive_with_descriptors
from ._reader import Reader

PROTOCOL = 1
MAX_MESSAGE_BYTES = 65_536
MAX_DESCRIPTORS = 16
VISIT_TIMEOUT_S = 2.0
_NAME = re.compile(r"worker-(\d+)\.sock")

Purpose = Literal["anchor", "give", "take", "listen"]


class Visit(msgspec.Struct, kw_only=True):
    """
    Descriptors: the socket's end that is brought, then whatever ``purpose`` needs (``take``: the application's state);
    ``listen``: listening sockets alone.

    :param generation: of ``give`` and ``take``: what the new workers run
    :param faces: of ``listen``: whose sockets come, in their order
    """

    purpose: Purpose
    protocol: int = PROTOCOL
    generation: int = 0
    faces: list[str] = []


class Welcome(msgspec.Struct, kw_only=True):
    """
    What a worker answers.  Descriptors: to ``anchor`` its listening sockets in the order of ``faces``, to ``give`` a
    memory file with the application's state.

    :param refusal: why what was brought is not taken; empty: it is
    :param state: ``standby``, ``serving`` or ``leaving``
    """

    refusal: str = ""
    name: str = ""
    role: str = ""
    state: str = ""
    generation: int = 0
    tree_hash: str = ""
    started_at: float = 0.0
    faces: list[str] = []


class VisitFailed(Exception):
    """
    The visit was in vain; what was brought was not taken.

    :ivar nobody: there is no such process (any more)
    """

    def __init__(self, cause: str, *, nobody: bool = False) -> None:
        super().__init__(cause)
        self.nobody = nobody


@frozen
class Met:
    """
    A visit that was answered.

    :param pid: of the worker, as the kernel vouches for
    :param descriptors: the caller's from now on
    """

    pid: int
    welcome: Welcome
    descriptors: tuple[int, ...]


def place_of(folder: Path, pid: int) -> Path:
    """Where that worker can be met."""
    return folder / f"worker-{pid}.sock"


def places_in(folder: Path) -> list[Path]:
    """Where workers can, or could, be met."""
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name)) if folder.is_dir() else []


def visit(place: Path, question: Visit, brought: Sequence[int], timeout_s: float = VISIT_TIMEOUT_S) -> Met:
    """
    Go to a worker.  Blocks, at most ``timeout_s`` for each of a few steps.

    :param brought: descriptors; the caller's stay open
    :raises VisitFailed: it does not run, does not answer in time, belongs to somebody else, or refuses
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        caller.settimeout(timeout_s)
        try:
            caller.connect(os.fspath(place))
            pid, uid = peer_of(caller)
            if uid not in {0, os.geteuid()}:
                raise VisitFailed(f"{place.name} belongs to user {uid}")
            socket.send_fds(caller, [msgspec.json.encode(question)], list(brought))
            data, descriptors = _receive(caller)
        except TimeoutError:
            raise VisitFailed(f"the worker at {place.name} does not answer within {timeout_s:g} s") from None
        except OSError as error:
            nobody = isinstance(error, FileNotFoundError | ConnectionRefusedError)
            raise VisitFailed(f"no worker at {place.name}: {error.strerror or error}", nobody=nobody) from error
    if not data:
        raise VisitFailed(f"the worker at {place.name} ended before it answered")
    try:
        welcome = msgspec.json.decode(data, type=Welcome)
        if welcome.refusal:
            raise VisitFailed(f"the worker at {place.name} refuses: {welcome.refusal}")
    except msgspec.DecodeError as error:
        close_descriptors(descriptors)
        raise VisitFailed(f"the worker at {place.name} answers in another protocol: {error}") from error
    except VisitFailed:
        close_descriptors(descriptors)
        raise
    return Met(pid, welcome, descriptors)


Receive = Callable[[Visit, tuple[int, ...]], tuple[Welcome, Sequence[int]]]


class Rendezvous:
    """
    The worker's side: a listening socket, open as long as the process lives.

    :param receive: gets each question with its descriptors, which are its own, and gives the answer with descriptors
        that stay its own
    """

    log = Logger()

    def __init__(self, reactor: Any, folder: Path, receive: Receive) -> None:
        self._reactor = reactor
        self._place = place_of(folder, os.getpid())
        self._receive = receive
        self._listener: socket.socket | None = None
        self._reader: Reader | None = None

    def open(self) -> None:
        """
        Be there from now on.

        :raises OSError: the socket cannot be made
        """
        self._place.unlink(missing_ok=True)  # of an earlier process of our number
        listener = self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(os.fspath(self._place))  # the folder has mode 0700, the umask is 0077
        listener.listen(8)
        listener.setblocking(False)
        self._reader = Reader(listener.fileno(), self._accept)
        self._reactor.addReader(self._reader)

    def close(self) -> None:
        """Not there any more."""
        if self._listener is not None:
            self._reactor.removeReader(self._reader)
            self._listener.close()
            self._listener = None
            self._place.unlink(missing_ok=True)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            caller, _ = self._listener.accept()
        except OSError:
            return
        caller.setblocking(False)
        _pid, uid = peer_of(caller)
        if uid not in {0, os.geteuid()}:
            self.log.warn("refused user {uid} at the rendezvous", uid=uid)
            caller.close()
            return
        reader = Reader(caller.fileno(), lambda: self._answer(caller, reader))
        self._reactor.addReader(reader)

    def _answer(self, caller: socket.socket, reader: Reader) -> None:
        self._reactor.removeReader(reader)
        with caller:
            try:
                data, descriptors = _receive(caller)
            except OSError:
                return
            try:
                question = msgspec.json.decode(data, type=Visit)
            except msgspec.DecodeError:
                close_descriptors(descriptors)  # it was closed, or is none of ours
                return
            welcome, gifts = self._welcome(question, descriptors)
            try:
                socket.send_fds(caller, [msgspec.json.encode(welcome)], list(gifts))
            except OSError as error:
                self.log.warn("a visitor left before the answer: {error}", error=error)

    def _welcome(self, question: Visit, descriptors: tuple[int, ...]) -> tuple[Welcome, Sequence[int]]:
        if question.protocol != PROTOCOL or not descriptors:
            close_descriptors(descriptors)
            return Welcome(refusal=f"this worker knows version {PROTOCOL} of the rendezvous"), ()
        try:
            return self._receive(question, descriptors)
        except Exception as error:
            self.log.failure("a visit could not be answered")
            return Welcome(refusal=f"{type(error).__name__}: {error}"), ()


def _receive(end: socket.socket) -> tuple[bytes, tuple[int, ...]]:
    data, descriptors = receive_with_descriptors(end, MAX_MESSAGE_BYTES, MAX_DESCRIPTORS)
    return data, tuple(descriptors)
