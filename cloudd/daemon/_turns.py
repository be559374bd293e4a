# -*- test-case-name: tests.daemon.test_turns -*-
"""
Short turns on the processor, for processes that have little to do at a time and should do it at once.

Linux gives each thread its share of the processors in turns, of one to three milliseconds as long as nobody asks for
others.  Whoever wakes waits for the turns of those that have work for long: clients, a process that boots, a thread
that loads code.  Since Linux 6.12 a thread may ask for turns of another length (``sched_setattr``, whose
``sched_runtime`` is that for ordinary threads; 0.1 to 100 ms).  Shorter ones come sooner, as the share stays the same;
it is nobody's privilege.  Older kernels take no notice.
"""

from __future__ import annotations

import ctypes
import os
import platform

TURN_S = 0.0005
_SIZE = 48  # of struct sched_attr as it was at first, which every kernel takes
#: Numbers of the system calls by machine; <asm/unistd.h>.
_CALLS = {"x86_64": (314, 315), "aarch64": (274, 275), "riscv64": (274, 275)}


class _Attributes(ctypes.Structure):
    """``struct sched_attr`` of <linux/sched/types.h>."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


def take_short_turns(turn_s: float = TURN_S) -> bool:
    """
    Let this thread, and those that it starts from now on, have turns of ``turn_s``.  Nothing else is changed.

    :return: whether the kernel took it; one that knows nothing of it says so, too
    """
    calls = _CALLS.get(platform.machine())
    if calls is None:
        return False
    attributes = _attributes(calls[1])
    if attributes is None or attributes.policy != os.SCHED_OTHER:
        return False  # somebody chose another policy, whose turns are others
    attributes.runtime = round(turn_s * 1e9)
    return bool(_system_call(calls[0], 0, attributes, 0) == 0)


def turn_s() -> float | None:
    """How long a turn of this thread is as far as the kernel tells; None: it does not."""
    calls = _CALLS.get(platform.machine())
    attributes = None if calls is None else _attributes(calls[1])
    return None if attributes is None or not attributes.runtime else attributes.runtime / 1e9


def _attributes(number: int) -> _Attributes | None:
    found = _Attributes(size=_SIZE)
    return found if _system_call(number, 0, found, _SIZE, 0) == 0 else None


def _system_call(number: int, thread: int, attributes: _Attributes, *more: int) -> int:
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    return int(call(ctypes.c_long(number), thread, ctypes.byref(attributes), *more))
