# -*- test-case-name: tests.reload.test_pacing -*-
"""
Work in a thread that leaves the processor to others now and then.

To import a few hundred modules keeps a processor busy for a fifth of a second on end.  The kernel gives way to whoever
becomes ready on that processor; but who waits on another one, behind somebody who works there for long, is moved over
only every few milliseconds, or when a processor has nothing to do.  And a virtual machine that has kept all its
processors busy for a while is the first that has to wait when its host has more to do, for tens of milliseconds.  So
work that nobody waits for rests as long as it works, a millisecond at a time.

Work is counted as time on a processor: where others leave it little of that, it would do nothing but rest.  And a rest
that took longer, since the processor was another's by then, is followed by more work.
"""

from __future__ import annotations

import builtins
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

WORK_S = 0.001
REST_S = 0.001
LATE_S = 0.003
"""A rest that took longer ended when somebody else had the processor: there is none to be left free."""
MAKE_UP = 4  # how many times as long as such a rest the work after it is

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")


class _Pace(threading.local):
    """When this thread is to rest next, by its own time on a processor, s: never, unless its work is ``paced``."""

    rest_at: float | None = None


_pace = _Pace()


@contextmanager
def paced() -> Iterator[None]:
    """Inside, this thread rests where ``rest`` is called.  Not for the reactor's thread."""
    before = _pace.rest_at
    _pace.rest_at = time.thread_time() + WORK_S
    try:
        yield
    finally:
        _pace.rest_at = before


def call_paced(function: Callable[Parameters, Result], *args: Parameters.args, **keywords: Parameters.kwargs) -> Result:
    """Call ``function`` in this thread, with rests."""
    with paced():
        return function(*args, **keywords)


def rest() -> None:
    """Rest for a moment, if this thread does paced work and has worked for long enough."""
    if _pace.rest_at is None or time.thread_time() < _pace.rest_at:
        return
    began = time.perf_counter()
    time.sleep(REST_S)
    rested_s = time.perf_counter() - began
    work_s = WORK_S if rested_s < LATE_S else MAKE_UP * rested_s
    _pace.rest_at = time.thread_time() + work_s


def build_class(*parts: Any, **keywords: Any) -> Any:
    """``__build_class__`` for code that may be loaded in such a thread."""
    rest()
    return _build_class(*parts, **keywords)


_build_class: Callable[..., Any] = builtins.__build_class__
