# -*- test-case-name: tests.daemon.test_heaps -*-
"""
What the C library keeps of freed memory.

A generation that is loaded or freed, and a tree that is read, take megabytes for a moment.  glibc keeps them, in up to
eight heaps for each core, one for each thread that allocated at the time.
"""

from __future__ import annotations

import ctypes

HEAPS = 2
_M_ARENA_MAX = -8  # malloc.h


def use_few_heaps() -> bool:
    """
    Let all threads of this process allocate from ``HEAPS`` heaps.

    Each load of a generation has a thread of its own: what it takes at its largest would stay with one heap after the
    other.

    :return: whether there is such a setting (glibc has it)
    """
    setting = getattr(ctypes.CDLL(None), "mallopt", None)
    return setting is not None and bool(setting(_M_ARENA_MAX, HEAPS))


def give_back() -> bool:
    """
    Return whole free pages to the system; takes about a millisecond.

    :return: whether there were any, and a way (glibc has it)
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(ctypes.c_size_t(0)))
