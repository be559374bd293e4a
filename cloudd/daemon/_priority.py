# -*- test-case-name: tests.daemon.test_priority -*-
"""
Booting beside those who serve, without taking their time: a lower priority, where it can be raised again.

Lowering is allowed to everybody, raising takes ``CAP_SYS_NICE`` or ``RLIMIT_NICE`` (sched(7), getrlimit(2)).  A process
that could not come back stays as it is.

Where the kernel shares the processors among sessions first (autogroup, see sched(7)), the nice value of a process means
nothing to processes of other sessions: then the session has one of its own, which follows if the session is all ours.
"""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

POLITE = 10
_CAP_SYS_NICE = 23  # <linux/capability.h>
_AUTOGROUP = Path("/proc/self/autogroup")
_RLIMIT_NICE = 13  # <asm-generic/resource.h>; its value is 20 minus the lowest nice value allowed


def be_polite() -> None:
    """Lower the priority of this process, and of those that it starts from now on."""
    if _may_come_back():
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, POLITE)
        if os.getsid(0) == os.getpid():
            _set_session(POLITE)


def be_normal() -> None:
    """Take the usual priority again after ``be_polite``."""
    if _nice() == POLITE:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, 0)
        if _session_nice() == POLITE:
            _set_session(0)


def _nice() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


def _session_nice() -> int:
    try:
        return int(_AUTOGROUP.read_text().rpartition(" ")[2])  # "/autogroup-12 nice 0"
    except (OSError, ValueError):
        return 0


def _set_session(nice: int) -> None:
    with contextlib.suppress(OSError):
        _AUTOGROUP.write_text(str(nice))


def _may_come_back() -> bool:
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
