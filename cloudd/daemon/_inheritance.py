# -*- test-case-name: tests.daemon.test_inheritance -*-
"""
How the anchor becomes an anchor of other code, in the same process: what it leaves to its next self, and the exec.

The process number, the pidfile, systemd's main process and every descriptor that matters stay.  What is to be known
lies in a memory file (memfd) whose number the next self is told; it is plain data with a format number.  Workers serve
on meanwhile and are met again at their rendezvous, as after a kill.

Before the exec the new code's anchor is tried in a process of its own (``try_next``).  Should it fail all the same, the
small program that the exec starts goes back to the old code, with the same inheritance.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from attrs import frozen

from ._priority import POLITE, be_normal, be_polite

FORMAT = 1
MODULE = "cloudd.daemon._next_anchor"
TRY_S = 30.0
MAX_BYTES = 16_777_216

# Runs in the new Python with nothing of ours imported: what is here must work whatever the new code is like.
# Signals were held back before the exec: whoever stops the daemon meanwhile stops its next self, in order, and not only
# the anchor, whose workers would then wait for another one.  It is here that they are let through again, so that the
# new code may be of a release that knows nothing of it.  So does the usual priority come back: see _priority.
_BOOTSTRAP = """
import os, signal, sys, traceback
descriptor, python, tree, number = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
try:
    from cloudd.daemon._next_anchor import prepare
    serve = prepare(descriptor, bool(python))
except BaseException:
    traceback.print_exc()
    if not python:
        os._exit(1)
    os.write(2, b"cloudd: the anchor's new code does not start: back to the old\\n")
    os.environ["PYTHONPATH"] = tree
    os.execve(python, [python, "-P", "-c", sys.argv[5], str(descriptor), "", "", number, sys.argv[5]], os.environ)
def usual_priority():
    if os.getpriority(os.PRIO_PROCESS, 0) == POLITE:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
        if os.getsid(0) == os.getpid():
            with open("/proc/self/autogroup", "w") as group:
                group.write("0")
from twisted.internet import reactor
reactor.callWhenRunning(usual_priority)
reactor.callWhenRunning(signal.pthread_sigmask, signal.SIG_UNBLOCK, [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
serve()
""".replace("POLITE", str(POLITE))

# At a low priority, since others serve meanwhile.
_TRY = f"""
import os
os.nice(10)
try:
    with open("/proc/self/autogroup", "w") as group:
        group.write("10")
except OSError:
    pass
import {MODULE}
"""
_HELD_BACK = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@frozen
class Launch:
    """
    How twistd was started, for a next self that twistd does not start.

    :param arguments: of ``twistd cloudd``, with absolute paths
    :param pidfile: written by twistd, to be removed at the end; empty: none
    :param log_file: where twistd writes its log; empty: standard output
    """

    arguments: tuple[str, ...]
    pidfile: str = ""
    log_file: str = ""


class SlotPast(msgspec.Struct):
    """What is counted of one worker's place."""

    restarts: int = 0
    failures: int = 0


class Session(msgspec.Struct):
    """A connection on the control socket: its descriptor, and a packed snapshot."""

    descriptor: int
    snapshot: bytes


class Inheritance(msgspec.Struct, kw_only=True):
    """
    All that an anchor's next self gets.

    :param began: when twistd was started, in seconds since the epoch
    :param start_tree: where twistd was started from
    :param listeners: face -> descriptor
    :param tls: face -> descriptors of what the TLS front accepts on, and of its end of the channel
    :param control: descriptor of the control socket's listener
    :param sessions: its connections
    :param lock: descriptor of the state folder's lock, which the process holds
    :param output: where workers write; -1: to standard error
    :param last_number: the latest generation number that was given out
    :param children: process ids of loaders that end now and have to be reaped
    :param swaps: as ``SwapMetrics.totals``
    :param rates: as ``RateRing.samples``
    :param note: what health says of the code
    :param failure: why this is the old code again; empty: it is not
    """

    arguments: list[str]
    pidfile: str
    log_file: str
    began: float
    start_tree: str
    listeners: dict[str, int]
    control: int
    lock: int
    tls: dict[str, list[int]] = {}
    sessions: list[Session] = []
    output: int = -1
    last_number: int = 0
    children: list[int] = []
    slots: dict[str, SlotPast] = {}
    swaps: dict[str, float] = {}
    rates: list[Any] = []
    note: str = ""
    failure: str = ""
    format: int = FORMAT

    def descriptors(self) -> list[int]:
        """All that must stay open over the exec."""
        sessions = [session.descriptor for session in self.sessions]
        output = [self.output] if self.output >= 0 else []
        tls = [each for pair in self.tls.values() for each in pair]
        return [*self.listeners.values(), *tls, self.control, *sessions, self.lock, *output]


class NoInheritance(Exception):
    """The memory file cannot be used."""


def leave(inheritance: Inheritance) -> int:
    """Write it into a memory file, and let its descriptors stay open over an exec; gives the file's descriptor."""
    descriptor = os.memfd_create("cloudd-anchor", 0)
    os.pwrite(descriptor, msgspec.json.encode(inheritance), 0)
    for number in inheritance.descriptors():
        os.set_inheritable(number, True)
    return descriptor


def take(descriptor: int) -> Inheritance:
    """
    Read it; the descriptors in it are no longer left to an exec.

    :raises NoInheritance: it is damaged, or of a later version
    """
    try:
        inheritance = msgspec.json.decode(os.pread(descriptor, MAX_BYTES, 0), type=Inheritance)
    except (OSError, msgspec.DecodeError) as error:
        raise NoInheritance(f"descriptor {descriptor}: {error}") from error
    if inheritance.format != FORMAT:
        raise NoInheritance(f"it has format {inheritance.format}, this version knows {FORMAT}")
    return inheritance


def keep_from_exec(inheritance: Inheritance, descriptor: int) -> None:
    """It is ours for good: nothing of it goes to children; the memory file is closed."""
    for number in inheritance.descriptors():
        os.set_inheritable(number, False)
    os.close(descriptor)


def hold_signals() -> None:
    """
    Signals that ask the daemon to stop wait from now on, until the next self runs, or ``hear_signals``.

    One that has come before takes effect in the next turn of the reactor.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)


def hear_signals() -> None:
    """There is no next self: what waits is heard now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD_BACK)


def become(descriptor: int, python: str, tree: Path, own_tree: Path, environment: Mapping[str, str]) -> None:
    """
    Become an anchor of other code, at a low priority until it runs; does not return.

    Call ``hold_signals`` a while before.

    :param descriptor: of the memory file
    :param python: path of the interpreter
    :param tree: the staged copy
    :param own_tree: where this code lies, for the way back
    """
    sys.stdout.flush()
    sys.stderr.flush()
    arguments = [
        python, "-P", "-c", _BOOTSTRAP, str(descriptor), sys.executable, str(own_tree), "1", _BOOTSTRAP
    ]  # fmt: skip
    be_polite()
    try:
        os.execve(python, arguments, {**environment, "PYTHONPATH": str(tree)})  # noqa: S606 - checked code, no shell
    finally:
        be_normal()  # it has failed


def try_next(python: str, tree: Path, environment: Mapping[str, str]) -> str:
    """
    Import the anchor of other code in a process of its own.  Blocks.

    :return: why it cannot be used; empty: it can
    """
    command = [python, "-P", "-c", _TRY]
    try:
        done = subprocess.run(  # noqa: S603 - checked code, no shell
            command,
            env={**environment, "PYTHONPATH": str(tree)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TRY_S,
            check=False,
            text=True,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return f"its anchor does not import within {TRY_S:g} s"
    except OSError as error:
        return f"{python} cannot be run: {error.strerror}"
    if done.returncode == 0:
        return ""
    said = done.stderr.strip().splitlines()
    return f"its anchor does not import: {said[-1] if said else f'status {done.returncode}'}"
