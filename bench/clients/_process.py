"""A client's process, as the bench that starts it sees it."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from attrs import define, field

_fork = multiprocessing.get_context("fork")


class ClientDied(Exception):
    """A client's process ended with an error, or without a result: what it measured is lost."""


class Client:
    """One process of clients; ``kill`` is always safe to call."""

    def __init__(self, process: Any, orders: Connection, name: str) -> None:
        self._process = process
        self._orders = orders
        self.name = name
        self.pid: int = process.pid

    @classmethod
    def start(cls, run: Callable[..., Any], *config: Any, nice: int = 0) -> Client:
        """
        Fork a process that runs ``run(*config, orders)``.

        :param nice: its priority, as far as this user may set it: below 0 its own delays are fewer
        """
        mine, theirs = _fork.Pipe()
        process = _fork.Process(target=_run, args=(run, config, theirs, mine, nice), daemon=True)
        process.start()
        theirs.close()
        return cls(process, mine, run.__name__)

    def wait_ready(self, timeout_s: float = 300.0) -> None:
        """:raises ClientDied: it could not begin"""
        self._receive("ready", timeout_s)

    def order(self, words: str) -> None:
        """Tell it something that its kind knows."""
        self._orders.send(words)

    def finish(self, *more: int, timeout_s: float = 300.0) -> Any:
        """
        :param more: what its kind understands after ``finish``
        :return: its result
        :raises ClientDied: it has none
        """
        self._orders.send(" ".join(["finish", *map(str, more)]))
        return self.result(timeout_s)

    def result(self, timeout_s: float = 300.0) -> Any:
        """The result of a client that has been told to finish."""
        found = self._receive("result", timeout_s)
        self._process.join(10)
        return found

    def _receive(self, kind: str, timeout_s: float) -> Any:
        try:
            if not self._orders.poll(timeout_s):
                raise ClientDied(f"{self.name}: no word within {timeout_s:g} s")
            said, value = self._orders.recv()
        except (EOFError, ConnectionResetError):
            raise ClientDied(f"{self.name}: ended without a word") from None
        if said != kind:
            raise ClientDied(f"{self.name}: {value}")
        return value

    def kill(self) -> None:
        """End it now, whatever it does."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join(10)


@define
class Clients:
    """All clients of one run; ``kill`` ends what still runs."""

    running: list[Client] = field(factory=list)

    def start(self, *args: Any, nice: int = 0) -> Client:
        client = Client.start(*args, nice=nice)
        self.running.append(client)
        client.wait_ready()
        return client

    def kill(self) -> None:
        for client in self.running:
            client.kill()


def _take_priority(nice: int) -> None:
    """In a session of its own, since a kernel may share the processors among sessions first (autogroup, sched(7))."""
    os.setsid()
    with contextlib.suppress(PermissionError):
        os.nice(nice)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(nice))


def _run(run: Callable[..., Any], config: tuple[Any, ...], orders: Connection, parents: Connection, nice: int) -> None:
    parents.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all: the bench itself cleans up
    if nice:
        _take_priority(nice)
    gc.freeze()
    gc.disable()  # a collection would be a delay that is not the server's
    try:
        orders.send(("result", run(*config, orders)))
    except BaseException:
        orders.send(("failed", traceback.format_exc()))
    os._exit(0)
