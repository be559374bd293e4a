# -*- test-case-name: tests.reload.test_freeing -*-
"""
How a generation is freed without a collection of everything that lives, and in parts.

By then its objects are old, or frozen if they were made before a fork (``gc.freeze``).  They are found by walking from
its modules and classes.  Objects of others that the walk meets go along, which does no harm but costs time; it turns
back at modules, at classes that a foreign module has by name, at what is of other generations, and at what the caller
keeps.

All of them at once would take the collector some 10 ms for 20,000 objects, and the more the more code there is.  But
few of them refer to each other in circles: the walk finds the strongly connected components (Gabow, "Path-based
depth-first search for strong and biconnected components", 2000), and those that nothing else refers to go first.  The
objects of a part are taken out of where they are and tracked anew, which puts them among the youngest
(``PyObject_GC_UnTrack`` and ``PyObject_GC_Track`` of Python's C interface).  A collection of the young then frees
them and looks at hardly anything else.  It is the collector that decides what is garbage: a walk that was wrong, since
something changed meanwhile, leaves something over for the next attempt and does no other harm.

What the search itself notes is kept from the collector: else each collection of the young would go through it, as it
is young itself, and take ten milliseconds.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Iterable, Iterator
from types import FunctionType, ModuleType
from typing import Any

from attrs import define, field

from ._collecting import YOUNG_OBJECTS, quiet

SLICE_S = 0.001
MAX_OBJECTS = 300_000
PART = 250  # objects: a function and its code take 10 µs to free
MOST_LEFT = 2_000  # objects: a millisecond
CLOSED = 1 << 62  # above every place on the stack

_track = ctypes.pythonapi.PyObject_GC_Track
_untrack = ctypes.pythonapi.PyObject_GC_UnTrack
for _function in (_track, _untrack):
    _function.argtypes = [ctypes.py_object]
    _function.restype = None


def free_in_parts(
    prefix: str, roots: Iterable[Any], kept: Iterable[Any] = (), others: Iterable[str] = ()
) -> Iterator[None]:
    """
    Free the objects of a generation that nobody else holds.

    Each step takes one or two times ``SLICE_S``, or longer for a large circle.

    :param prefix: name of its root module
    :param roots: where the walk begins
    :param kept: objects that outlive the generation and that it knows; the walk turns back there
    :param others: names of the root modules of other generations
    """
    usual_s = sys.getswitchinterval()
    quiet.begin(usual_s)  # else a collection that comes between looks at all that is young, and lets it get old
    try:
        yield
        walk = Walk(prefix, kept, others)
        yield
        search = Components(walk, list(roots))
        del roots
        yield from _collecting_what_others_make(search.steps())
        left = 0
        while search.sizes:
            left = _collect(search.take_part(), left)
            yield
    finally:
        quiet.end(usual_s)


def _collecting_what_others_make(steps: Iterator[None]) -> Iterator[None]:
    """The same steps; what is made between them is looked at by and by: after seconds it would take 30 ms."""
    made = 0
    for _ in steps:
        before = gc.get_count()[0]
        yield
        made += gc.get_count()[0] - before
        if made > YOUNG_OBJECTS:
            gc.collect(0)
            made = 0


def _collect(part: list[Any], left: int) -> int:
    """
    Free what is garbage of a part.

    What lives is looked at by the next collection of the middle generation, which comes by itself at any time.  So it
    is let get old before that is much; but not after each part, since all that is in flight gets old with it, and is
    garbage that nothing collects soon.

    :param left: how many objects lived of the parts since the last time; the same is returned
    """
    size = len(part)
    for thing in part:
        if gc.is_tracked(thing):
            _untrack(thing)
            _track(thing)
    thing = None
    part.clear()
    left += max(0, size - gc.collect(0))
    if left < MOST_LEFT:
        return left
    gc.collect(1)
    return 0


@define
class _Visit:
    """An object on the path of the search, and those to which it refers."""

    thing: Any
    place: int
    referents: Iterator[Any]


@define
class Components:
    """
    The objects of a walk by strongly connected components.

    :ivar found: the objects of the complete ones; a component refers to none behind it
    :ivar sizes: of each component.  (A list for each would be as many new objects for the collector to look at.)
    """

    walk: Walk
    roots: list[Any]
    found: list[Any] = field(factory=list)
    sizes: list[int] = field(factory=list)
    _open: list[Any] = field(factory=list)  # objects whose component is not complete
    _bounds: list[int] = field(factory=list)  # places in it where a component may begin
    _places: dict[int, int] = field(factory=dict)  # id of an object -> its place, or CLOSED

    def __attrs_post_init__(self) -> None:
        for large in (self.found, self.sizes, self._open, self._bounds):
            _untrack(large)

    def steps(self) -> Iterator[None]:
        """Search, by ``SLICE_S`` a step."""
        path: list[_Visit] = []
        until = time.perf_counter() + SLICE_S
        while (path or self.roots) and self.walk.goes_on:
            if path:
                self._advance(path)
            else:
                self._meet(self.roots.pop(), path)
            if time.perf_counter() >= until:
                yield
                until = time.perf_counter() + SLICE_S

    def _advance(self, path: list[_Visit]) -> None:
        """Go on with the last object of the path: to the next one that it leads to, or back."""
        visit = path[-1]
        for thing in visit.referents:
            if self._meet(thing, path):
                return
        path.pop()
        if self._bounds[-1] == visit.place:
            self._bounds.pop()
            self._close(visit.place)

    def _meet(self, thing: Any, path: list[_Visit]) -> bool:
        """Whether it is a new one, with which the path now ends."""
        place = self._places.get(id(thing))
        if place is None:
            if not self.walk.enters(thing):
                return False
            place = self._places[id(thing)] = len(self._open)
            self._open.append(thing)
            self._bounds.append(place)
            path.append(_Visit(thing, place, iter(gc.get_referents(thing))))
            return True
        while self._bounds and place < self._bounds[-1]:  # all since then is in a circle with it
            self._bounds.pop()
        return False

    def _close(self, place: int) -> None:
        component = self._open[place:]
        del self._open[place:]
        for thing in component:
            self._places[id(thing)] = CLOSED
        self.found += component
        self.sizes.append(len(component))

    def take_part(self) -> list[Any]:
        """
        Take the last ones off; the list keeps all others from being freed in the same moment.

        What is known of them goes, too: of all at once it would take milliseconds.
        """
        size = 0
        while self.sizes and size < PART:
            size += self.sizes.pop()
        part = self.found[-size:]
        del self.found[-size:]
        for number in map(id, part):
            del self._places[number]
        self.walk.forget(part)
        return part


class Walk:
    """
    Where a walk through a generation's objects goes.  What it enters it goes through.

    :param kept: where it turns back, besides modules and classes of others
    :param others: names of the root modules of other generations, at whose objects it turns back
    """

    def __init__(self, prefix: str, kept: Iterable[Any] = (), others: Iterable[str] = ()) -> None:
        self._prefix = prefix + "."
        self._others = tuple(f"{name}." for name in others)
        modules = [module for module in list(sys.modules.values()) if module is not None]
        self._seen = {id(sys.modules), id(self), *map(id, kept), *map(id, modules)}
        self._seen.update(id(vars(module)) for module in modules if isinstance(module, ModuleType))
        _untrack(self._seen)

    @property
    def goes_on(self) -> bool:
        """False when it has seen too much: then it has got out of the generation, and its result is of no use."""
        return len(self._seen) < MAX_OBJECTS

    def forget(self, things: Iterable[Any]) -> None:
        """What it entered it knows no longer, and would enter again."""
        self._seen.difference_update(map(id, things))

    def enters(self, thing: Any) -> bool:
        """Whether ``thing`` is to be sorted out, and walked through; once for each."""
        if id(thing) in self._seen or not gc.is_tracked(thing):
            return False
        self._seen.add(id(thing))
        if isinstance(thing, type):
            return _module_of(thing).startswith(self._prefix) or not _has_a_name(thing)
        definition = thing if isinstance(thing, FunctionType) else type(thing)
        return not _module_of(definition).startswith(self._others)


def _module_of(definition: type | FunctionType) -> str:
    return str(getattr(definition, "__module__", ""))


def _has_a_name(thing: type) -> bool:
    """Whether a module has this class by its name: then it lives as long as that module."""
    found: Any = sys.modules.get(_module_of(thing))
    for part in thing.__qualname__.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found is thing
