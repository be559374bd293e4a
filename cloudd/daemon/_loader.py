# -*- test-case-name: tests.daemon.test_service -*-
"""
The loader: imports the tree once, then forks workers on command.  Run as ``python -P -m cloudd.daemon._loader``.

It has one thread, no reactor and no database, so that a fork copies nothing that a child could not use.  What it has
imported is shared by all workers as long as nobody writes to it; ``gc.freeze`` keeps the garbage collector
from doing so.  The channel to the anchor is descriptor 3; when it ends, so does the loader.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import twisted.internet
from attrs import define

from cloudd.control import BOUNDARIES
from reload import Generation, guard_plain_imports

from ._channel import Booted, ChannelClosed, Exited, Fork, Forked, ForkFailed, receive, send
from ._code_source import preload
from ._naming import name_process
from ._priority import be_normal, be_polite
from ._spec import WorkerSpec

CHANNEL_DESCRIPTOR = 3

SHARED_LIBRARIES = (
    "argon2",
    "awscrt.checksums",
    "cryptography.hazmat.primitives.ciphers.aead",
    "defusedxml.ElementTree",
    "encodings.idna",
    "httptools",
    "klein",
    "msgspec",
    "prometheus_client",
    "sqlalchemy",
    "sqlalchemy.dialects.sqlite",
    "twisted.internet.unix",
    "twisted.python.threadpool",
    "xml.sax.saxutils",
)
"""What generations and the kernel import anyway."""

SERVER_LIBRARIES = ("psycopg", "sqlalchemy.dialects.postgresql.psycopg")
"""What they import where the control database is on a server."""


@contextlib.contextmanager
def without_reactor() -> Iterator[None]:
    """
    Import what binds the global reactor at import without making one, which forks could not share.

    klein does so, for ``Klein.run`` alone; what is imported here gets a stand-in.
    """
    stand_in: Any = ModuleType("twisted.internet.reactor")
    sys.modules["twisted.internet.reactor"] = stand_in
    twisted.internet.reactor = stand_in
    try:
        yield
    finally:
        del sys.modules["twisted.internet.reactor"]
        del twisted.internet.reactor


def import_shared(*, server: bool) -> None:
    """
    Import the libraries and the kernel.

    :param server: the control database is on one
    :raises ImportError: a library is missing
    """
    for name in (*SHARED_LIBRARIES, *(SERVER_LIBRARIES if server else ())):
        importlib.import_module(name)
    importlib.import_module("cloudd.daemon._worker")


@define
class _Child:
    number: int
    pid: int


class Loader:
    """
    Forks and reaps.

    :param channel: to the anchor; blocking
    :param preloaded: a generation that workers may boot
    """

    def __init__(self, channel: socket.socket, preloaded: Generation | None = None) -> None:
        self._channel = channel
        self._preloaded = preloaded
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._children: dict[int, _Child] = {}  # by pidfd

    def run(self) -> None:
        """Serve until the anchor has gone."""
        with contextlib.suppress(ChannelClosed):
            while True:
                for descriptor, _events in self._poll.poll():
                    if descriptor in self._children:
                        self._reap(descriptor)
                    else:
                        self._serve()

    def _serve(self) -> None:
        message, descriptors = receive(self._channel)
        try:
            if isinstance(message, Fork):
                self._fork(message, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _fork(self, command: Fork, descriptors: list[int]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            pid = os.fork()
        except OSError as error:
            send(self._channel, ForkFailed(command.number, f"cannot fork: {error.strerror}"))
            return
        if pid == 0:
            self._become_worker(command, descriptors)
        pidfd = os.pidfd_open(pid)
        self._children[pidfd] = _Child(command.number, pid)
        self._poll.register(pidfd, select.POLLIN)
        send(self._channel, Forked(command.number, pid), [pidfd])

    def _become_worker(self, command: Fork, descriptors: list[int]) -> None:
        """In the child; never returns."""
        status = 1
        try:
            self._channel.close()
            for pidfd in self._children:
                os.close(pidfd)
            from ._worker import run_worker

            spec = msgspec.json.decode(command.spec, type=WorkerSpec)
            if spec.serves_at_once:
                be_normal()
            link, *listeners = [socket.socket(fileno=descriptor) for descriptor in descriptors]
            status = run_worker(spec, link, listeners, self._preloaded)
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _reap(self, pidfd: int) -> None:
        child = self._children.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _pid, status = os.waitpid(child.pid, 0)
        send(self._channel, Exited(child.number, os.waitstatus_to_exitcode(status)))


def main(arguments: list[str]) -> int:
    """
    The process: set up, import, serve.

    :param arguments: number of the generation to load from this process's own tree, if any; ``polite``: at a low
        priority, since others serve meanwhile; ``server``: the control database is on one
    """
    began = time.monotonic()
    with contextlib.suppress(PermissionError):
        os.setsid()
    if "polite" in arguments:
        be_polite()
    # The anchor hears the terminal's and systemd's signals and ends its workers in order.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
    name_process("loader")
    os.set_inheritable(CHANNEL_DESCRIPTOR, False)
    channel = socket.socket(fileno=CHANNEL_DESCRIPTOR)
    preloaded = None
    with without_reactor():
        import_shared(server="server" in arguments)
        guard_plain_imports(BOUNDARIES)
        numbers = [int(word) for word in arguments if word.isdigit()]
        if numbers:
            preloaded = preload(numbers[0], Path(__file__).parent.parent.parent)
        gc.collect()
        gc.freeze()
        gc.disable()  # a collection here would only touch pages that forks share
    with contextlib.suppress(ChannelClosed):
        send(channel, Booted(round(time.monotonic() - began, 3)))
        Loader(channel, preloaded).run()
    return 0


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))  # tearing a large interpreter down takes a tenth of a second, for nothing
