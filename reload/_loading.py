# -*- test-case-name: tests.reload.test_loading -*-
"""
Loading code beside a running reactor, in a thread of its own that may be given up.

Code that is new may hang while it is imported: wait for an answer, loop for ever.  A thread cannot be killed; one of a
pool would be missing there from then on.  So each load has its own.  Who gives it up goes on at once; the thread is
told to end, which it does when it next runs Python code, and whatever it still gives is dropped.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ._collecting import QuietLoading

Result = TypeVar("Result")


class LoadGivenUp(Exception):
    """Nobody waits for this load any more; the text says where it was."""


class _EndThread(BaseException):
    """Raised in the thread of a load that was given up, wherever it is: no handler of new code is to catch it."""


class Load(Generic[Result]):
    """
    One call of ``function`` in its own thread, begun at once, with the collector quiet (``QuietLoading``).

    :param reactor: ``callFromThread`` is all that is used
    :ivar result: fires in the reactor's thread with what ``function`` gave; fails with what it raised, ``SystemExit``
        and the like too, or with ``LoadGivenUp``; cancelling it gives up
    """

    def __init__(self, reactor: Any, function: Callable[[], Result], name: str = "load") -> None:
        self.result: Deferred[Result] = Deferred(lambda _: self.give_up())
        self._reactor = reactor
        self._quiet = QuietLoading()
        self._waiting = True
        self._thread = threading.Thread(target=self._run, args=(function,), name=name, daemon=True)
        self._thread.start()

    def give_up(self) -> None:
        """Wait no longer; without effect when it has ended."""
        if not self._waiting:
            return
        self._waiting = False
        self._quiet.give_up()
        where = f"loading does not end; it is at {_place_of(self._thread)}"
        if self._thread.ident is not None and self._thread.is_alive():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident), ctypes.py_object(_EndThread))
        self.result.errback(LoadGivenUp(where))

    def _run(self, function: Callable[[], Result]) -> None:
        try:
            with self._quiet:
                found: Any = function()
        except _EndThread:
            return
        except BaseException:
            found = Failure()
        del function
        self._reactor.callFromThread(self._ended, found)

    def _ended(self, found: Any) -> None:
        if self._waiting:
            self._waiting = False
            self.result.callback(found)


def _place_of(thread: threading.Thread) -> str:
    """The module and line that a thread runs."""
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return "its end"
    return f"{frame.f_globals.get('__name__', frame.f_code.co_filename)} line {frame.f_lineno}"
