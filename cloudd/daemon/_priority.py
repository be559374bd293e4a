# -*- test-case-name: tests.daemon.test_priority -*-
"""
Booting beside those who serve, without taking their time: a lower priority, where it can be raised again.

Lowering is allowed to everybody, raising takes ``CAP_SYS_NICE`` or ``RLIMIT_NICE`` (sched(7), getrlimit(2)).  A process
that could not come back stays as it is.  For the kernel each thread has a priority of its own, which it has from the
thread that started it: who comes back takes along all threads that it has started meanwhile.

Where the kernel shares the processors among sessions first (autogroup, see sched(7)), the nice value of a process means
nothing to processes of other sessions: then the session has one of its own, which follows if the session is all ours.
"""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

POLITE = 11  # not 10: that is what ``nice twistd`` gives, and what somebody chose is kept
_CAP_SYS_NICE = 23  # <linux/capability.h>
_AUTOGROUP = Path("/proc/self/autogroup")
_THREADS = Path("/proc/self/task")
_RLIMIT_NICE = 13  # <asm-generic/resource.h>; its value is 20 minus the lowest nice value allowed


def be_polite() -> None:
    """Lower the priority of this process, and of those that it starts from now on."""
    if may_come_back():
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, POLITE)
        if os.getsid(0) == os.getpid():
            _set_session(POLITE)


def be_normal() -> None:
    """Take the usual priority again after ``be_polite``, in all threads."""
    if _nice() == POLITE:
        for thread in _THREADS.iterdir():
            with contextlib.suppress(OSError):  # it has just ended
                os.setpriority(os.PRIO_PROCESS, int(thread.name), 0)
        if _session_nice() == POLITE:
            _set_session(0)


def hasten(leader: int) -> None:
    """
    Give the processes of another session no less than our own priority, as far as we may.

    :param leader: the session's first process, which runs
    """
    group = Path(f"/proc/{leader}/autogroup")
    with contextlib.suppress(OSError):
        if os.getpriority(os.PRIO_PROCESS, leader) > _nice():
            os.setpriority(os.PRIO_PGRP, leader, _nice())
    if _session_nice(group) > _session_nice():
        _set_session(_session_nice(), group)


def _nice() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


def _session_nice(group: Path = _AUTOGROUP) -> int:
    try:
        return int(group.read_text().rpartition(" ")[2])  # "/autogroup-12 nice 0"
    except (OSError, ValueError):
        return 0


def _set_session(nice: int, group: Path = _AUTOGROUP) -> None:
    with contextlib.suppress(OSError):
        group.write_text(str(nice))


def may_come_back() -> bool:
    """Whether this process has the usual priority, and may take it again when it has lowered it."""
    if _nice() != 0:
        return False  # somebody chose that
    soft, _hard = resource.getrlimit(_RLIMIT_NICE)
    if soft == resource.RLIM_INFINITY or soft >= 20:
        return True
    try:
        status = Path("/proc/self/status").read_text()
        capabilities = int(status.split("CapEff:")[1].split()[0], 16)
    except (OSError, IndexError, ValueError):
        return False
    return bool(capabilities >> _CAP_SYS_NICE & 1)
