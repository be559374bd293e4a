# -*- test-case-name: tests.reload.test_loading -*-
"""
Loading code beside a running reactor, in a thread of its own that may be given up.

Code that is new may hang while it is imported: wait for an answer, loop for ever.  A thread cannot be killed; one of a
pool would be missing there from then on.  So each load has its own.  Who gives it up goes on at once, and whatever it
still gives is dropped.  A thread that loops gets an exception that ends it.  One that waits would get it only when it
wakes up, and until then Python asks in every thread, at every call, whether the exception is theirs (with a debugger or
a coverage tool, for ever); so it gets none, and waits on, in nobody's way.  It loops when it has run between two looks
and between the two before: one that had only come to its wait meanwhile has not.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ._collecting import QuietLoading
from ._pacing import paced

NICER = 4  # two fifths of the share of the processor that a thread of the usual priority has
LOOKS_S = (0.05, 0.05, 0.2, 1.0, 5.0, 30.0)
"""After which time it is looked whether a thread that was given up runs; each time after the one before."""

Result = TypeVar("Result")


class LoadGivenUp(Exception):
    """Nobody waits for this load any more; the text says where it was."""


class _EndThread(SystemExit):
    """Raised in the thread of a load that was given up, wherever it is; threads end by it without a word."""


class Load(Generic[Result]):
    """
    One call of ``function`` in its own thread, begun at once, with the collector quiet (``QuietLoading``).

    :ivar result: fires in the reactor's thread with what ``function`` gave; fails with what it raised, ``SystemExit``
        and the like too, or with ``LoadGivenUp``; cancelling it gives up
    """

    def __init__(self, reactor: Any, function: Callable[[], Result], name: str = "load") -> None:
        self.result: Deferred[Result] = Deferred(lambda _: self.give_up())
        self._reactor = reactor
        self._quiet = QuietLoading()
        self._waiting = True
        self._look: Any = None  # the timer for the next look at a thread that was given up
        self._thread = threading.Thread(target=self._run, args=(function,), name=name, daemon=True)
        self._thread.start()

    def give_up(self) -> None:
        """Wait no longer; without effect when it has ended."""
        if not self._waiting:
            return
        self._waiting = False
        self._quiet.give_up()
        where = f"loading does not end; it is at {_place_of(self._thread)}"
        self._look_later(0)
        self.result.errback(LoadGivenUp(where))

    def _run(self, function: Callable[[], Result]) -> None:
        found: Any = None
        _step_back()
        try:
            with self._quiet, paced():
                found = function()
        except _EndThread:
            pass
        except BaseException:
            found = Failure()
        del function
        self._reactor.callFromThread(self._ended, found)

    def _ended(self, found: Any) -> None:
        if self._look is not None and self._look.active():
            self._look.cancel()
        if self._waiting:
            self._waiting = False
            self.result.callback(found)

    def _look_later(self, look: int, ran: bool = False) -> None:
        if look < len(LOOKS_S):
            self._look = self._reactor.callLater(LOOKS_S[look], self._end_thread, look, _turns_of(self._thread), ran)

    def _end_thread(self, look: int, turns: str, ran_before: bool) -> None:
        if not self._thread.is_alive():
            return
        ran = _turns_of(self._thread) != turns
        if ran and ran_before:
            ident = ctypes.c_ulong(self._thread.ident or 0)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(_EndThread))
        self._look_later(look + 1, ran)


def _step_back() -> None:
    """
    Let others go before this thread.

    Where Linux shares the processors among sessions first (autogroup, see sched(7)), a session's share of one processor
    is the smaller the more its threads on others weigh: beside a load of the same priority the thread that serves would
    wait there for whoever works for long.  Not by more than this, since the reactor waits while this thread holds
    the interpreter and gets no processor.
    """
    if sys.platform == "linux":  # where it is the priority of a thread, not of the process
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + NICER)


def _turns_of(thread: threading.Thread) -> str:
    """How often and how long a thread had a processor."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text()
    return ""


def _place_of(thread: threading.Thread) -> str:
    """The module and line that a thread runs."""
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return "its end"
    return f"{frame.f_globals.get('__name__', frame.f_code.co_filename)} line {frame.f_lineno}"
