"""
A folder with a real control database, and processes that work on it: for tests that kill them.

A process that imports much is forked instead of started anew: each fork begins its own reactor, threads and database.
So whoever forks has neither; ``tests.tasks.walk`` and ``tests.tasks.fleet`` run in processes of their own for that.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.threadpool import ThreadPool

from cloudd.database import GroupCommit, open_control_database

from . import database


@define(eq=False)
class Threads:
    """``cloudd.interfaces.application.Threads`` on a pool of this process."""

    _reactor: Any
    pool: ThreadPool = field(factory=lambda: ThreadPool(1, 4))

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        from twisted.internet.threads import deferToThreadPool

        return deferToThreadPool(self._reactor, self.pool, function, *args, **kwargs)


@define(eq=False)
class World:
    """
    What one process has.

    :ivar moment: called at each moment at which the process might die, with its name
    """

    folder: Path
    reactor: Any
    moment: Callable[[str], None] = field(default=lambda _name: None)
    database: GroupCommit[Any] = field(init=False)
    threads: Threads = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.database = open_control_database(database.place(self.folder), reactor=self.reactor, threads=1)
        self.threads = Threads(self.reactor)
        self.threads.pool.start()

    def marked(self, name: str, subject: Any) -> Any:
        """``subject``, with a moment before and one after each call of a method."""
        return _Marked(name, subject, self.moment)

    async def close(self) -> None:
        await self.database.close()
        self.threads.pool.stop()


class _Marked:
    def __init__(self, name: str, subject: Any, moment: Callable[[str], None]) -> None:
        self._name, self._subject, self._moment = name, subject, moment

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._subject, method)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._moment(f"{self._name}.{method}")
            result = found(*args, **kwargs)
            if isinstance(result, Deferred):
                return result.addCallback(self._done, method)
            return self._done(result, method)

        return call

    def _done(self, result: Any, method: str) -> Any:
        self._moment(f"{self._name}.{method}, done")
        return result


def make_folder(folder: Path) -> None:
    """A world with a control database that counts how tasks end."""
    folder.mkdir(parents=True)
    database.make(folder)


def copy_folder(source: Path, target: Path) -> None:
    """The same world, to go on in."""
    shutil.copytree(source, target)
    database.copy(source, target)


def fork(folder: Path, work: Callable[[World], Awaitable[None]], moment: Callable[[str], None] | None = None) -> int:
    """
    Let ``work`` run in a fork of this process, which has no reactor and no threads.

    :return: its process id; it ends with status 0 when ``work`` has, with 1 when it has raised
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        status = _run(folder, work, moment or (lambda _name: None))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run(folder: Path, work: Callable[[World], Awaitable[None]], moment: Callable[[str], None]) -> int:
    from twisted.internet import reactor as installed

    reactor: Any = installed
    status = 1

    async def all_of_it() -> None:
        nonlocal status
        world = World(folder, reactor, moment)
        try:
            await work(world)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            await world.close()
            reactor.stop()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(all_of_it()))
    reactor.run(installSignalHandlers=False)
    return status


def waited(pid: int) -> int:
    """The end of a fork: its exit status, or minus the signal that killed it."""
    _pid, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def die() -> None:
    """What a test does to its own process."""
    os.kill(os.getpid(), signal.SIGKILL)
