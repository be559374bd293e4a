# -*- test-case-name: tests.reload.test_collecting -*-
"""
How a generation is made and freed without a collection of everything that lives.

A full ``gc.collect()`` looks at every object of the process: some 5 µs for each connection that is held.  Two steps
avoid it.

**Made** (``QuietLoading``): while code loads, nothing is collected by itself.  At the end the youngest objects are,
which are those of the load, so that what loading left over is gone.

**Freed** (``sort_out``): by then the objects of the generation are old, or frozen if they were made before a fork
(``gc.freeze``).  They are found by walking from its modules and classes, taken out of where they are and tracked anew,
which puts them among the youngest (``PyObject_GC_UnTrack`` and ``PyObject_GC_Track`` of Python's C interface).  A
collection of the youngest then frees them and looks at hardly anything else.  Objects of others that the walk meets are
sorted out too, which does no harm; it turns back at modules, at classes that a foreign module has by name, and at what
the caller keeps.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

SLICE_S = 0.001
MAX_OBJECTS = 300_000
POLITE_SWITCH_S = 0.0005
YOUNG_OBJECTS = 4_000

_track = ctypes.pythonapi.PyObject_GC_Track
_untrack = ctypes.pythonapi.PyObject_GC_UnTrack
for _function in (_track, _untrack):
    _function.argtypes = [ctypes.py_object]
    _function.restype = None


class _Quiet:
    """
    Nothing is collected by itself as long as somebody asks for it.

    The collector and the interval at which threads change places are the process's own, so this is counted for all.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: list[float] = []  # the switch interval that each who asks wants
        self._usual = (True, 0.005)

    def begin(self, switch_s: float) -> None:
        with self._lock:
            if not self._asked:
                self._usual = gc.isenabled(), sys.getswitchinterval()
                gc.disable()
            self._asked.append(switch_s)
            sys.setswitchinterval(min(self._asked))

    @property
    def is_asked_for(self) -> bool:
        return bool(self._asked)

    def end(self, switch_s: float) -> None:
        with self._lock:
            self._asked.remove(switch_s)
            sys.setswitchinterval(min(self._asked, default=self._usual[1]))
            if not self._asked and self._usual[0]:
                gc.enable()


_quiet = _Quiet()


class QuietLoading:
    """
    Load code inside, in a thread, beside a reactor that must not stand still.  A context manager, to be used once.

    Threads change places ten times as often as usual, and nothing is collected by itself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = False

    def __enter__(self) -> None:
        self._open = True
        _quiet.begin(POLITE_SWITCH_S)

    def __exit__(self, kind: type[BaseException] | None, *_details: object) -> None:
        if self.give_up() and kind is None:  # an error leads to frames, which lead to what was loaded
            gc.collect(0)

    def give_up(self) -> bool:
        """Wait no longer for its end, in whichever thread; false when that has come, or this was called before."""
        with self._lock:
            was, self._open = self._open, False
        if was:
            _quiet.end(POLITE_SWITCH_S)
        return was


def collect_between_modules() -> None:
    """
    During a quiet load, collect the youngest objects when they are many, and let those of the load get old: little at
    a time.  Else the next collection would look at all of them at once.

    To be called when no class is being made.  Else what its making leaves over would get older, and hold the class
    until a full collection.
    """
    if _quiet.is_asked_for and gc.get_count()[0] > YOUNG_OBJECTS:
        gc.collect(1)


def sort_out(prefix: str, roots: Iterable[Any], kept: Iterable[Any] = (), *, with_code: bool = True) -> Iterator[None]:
    """
    Put the objects of a generation among the youngest; each step takes about ``SLICE_S``.

    :param prefix: name of its root module
    :param roots: where the walk begins
    :param kept: objects that outlive the generation and that it knows; the walk turns back there
    :param with_code: go into modules and classes of the generation too
    """
    walk = Walk(prefix, kept, with_code=with_code)
    frontier = list(roots)
    usual_s = sys.getswitchinterval()
    _quiet.begin(usual_s)  # else what was sorted out is put back by a collection that comes between
    try:
        while frontier and walk.goes_on:
            until = time.perf_counter() + SLICE_S
            while frontier and time.perf_counter() < until:
                for thing in [frontier.pop() for _ in range(min(50, len(frontier)))]:
                    if walk.enters(thing):
                        _untrack(thing)
                        _track(thing)
                        frontier.extend(gc.get_referents(thing))
                thing = None
            yield
    finally:
        _quiet.end(usual_s)


class Walk:
    """
    Where a walk through a generation's objects goes.  What it enters it goes through.

    :param kept: where it turns back, besides modules and classes of others
    :param with_code: into modules and classes of the generation, too
    """

    def __init__(self, prefix: str, kept: Iterable[Any] = (), *, with_code: bool = True) -> None:
        self._prefix = prefix + "."
        self._with_code = with_code
        modules = [module for module in list(sys.modules.values()) if module is not None]
        self._seen = {id(sys.modules), id(self), *map(id, kept), *map(id, modules)}
        self._seen.update(id(vars(module)) for module in modules if isinstance(module, ModuleType))

    @property
    def goes_on(self) -> bool:
        """False when it has seen too much: then it has got out of the generation, and its result is of no use."""
        return len(self._seen) < MAX_OBJECTS

    def enters(self, thing: Any) -> bool:
        """Whether ``thing`` is to be sorted out, and walked through; once for each."""
        if id(thing) in self._seen or not gc.is_tracked(thing):
            return False
        self._seen.add(id(thing))
        if isinstance(thing, type):
            return self._with_code if self._is_own(thing) else not _has_a_name(thing)
        return self._with_code or not (type(thing) is dict and self._is_space(thing))

    def _is_own(self, thing: type) -> bool:
        return str(getattr(thing, "__module__", "")).startswith(self._prefix)

    def _is_space(self, thing: dict[Any, Any]) -> bool:
        """Whether these are the variables of one of the generation's modules, which ``sys.modules`` has no longer."""
        return "__builtins__" in thing and str(thing.get("__name__", "")).startswith(self._prefix)


def _has_a_name(thing: type) -> bool:
    """Whether a module has this class by its name: then it lives as long as that module."""
    found: Any = sys.modules.get(str(getattr(thing, "__module__", "")))
    for part in thing.__qualname__.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found is thing
