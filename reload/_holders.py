# -*- test-case-name: tests.reload.test_holders -*-
"""
Whether a released generation is freed, and if not, what holds it.

``Watch`` keeps weak references to the modules, classes and functions of a generation.  From what is still alive after a
garbage collection it walks the references backwards, through the generation's own objects and plain
containers, to the first thing outside: an object of another module, a module's variable, a running frame.
"""

from __future__ import annotations

import gc
import inspect
import sys
from collections.abc import Iterable
from types import BuiltinFunctionType, CellType, FrameType, FunctionType, MethodType, ModuleType
from typing import Any
from weakref import ref

MAX_HOLDERS = 20
MAX_DEPTH = 12
MAX_FRONTIER = 5_000

_TRANSPARENT = (
    dict,
    list,
    tuple,
    set,
    frozenset,
    CellType,
    MethodType,
    BuiltinFunctionType,
    property,
    staticmethod,
    classmethod,
)


class Watch:
    """
    What was in one generation, held weakly.

    :param prefix: name of the generation's root module
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._references: list[ref[Any]] = []

    def note(self, modules: Iterable[ModuleType]) -> None:
        """Begin to watch the modules and the classes and functions that they define."""
        seen: set[int] = set()
        for module in modules:
            self._references.append(ref(module))
            self._note_members(vars(module), seen)

    def living(self) -> int:
        """How many of the watched objects exist."""
        return sum(reference() is not None for reference in self._references)

    def holders(self) -> list[str]:
        """
        Lines that name what holds the watched objects, at most ``MAX_HOLDERS``; empty when all are gone.

        :return: ``"<holder> -> … -> <held>"``; names of this generation appear as they stand in ``sys.modules``
        """
        gc.collect()
        living = [found for reference in self._references if (found := reference()) is not None]
        if not living:
            return []
        return _Walk(self._prefix, living).run() or [f"{_describe(living[0])}: held, by nothing the collector sees"]

    def _note_members(self, members: dict[str, Any], seen: set[int]) -> None:
        for value in list(members.values()):
            function = inspect.unwrap(value) if isinstance(value, FunctionType) else value
            for thing in {id(value): value, id(function): function}.values():
                if id(thing) in seen or not isinstance(thing, type | FunctionType) or not self._is_own(thing):
                    continue
                seen.add(id(thing))
                self._references.append(ref(thing))
                if isinstance(thing, type):
                    self._note_members(dict(vars(thing)), seen)

    def _is_own(self, thing: Any) -> bool:
        return str(getattr(thing, "__module__", "")).startswith(self._prefix + ".")


class _Walk:
    """One walk from living objects backwards to their holders, level by level."""

    def __init__(self, prefix: str, living: list[Any]) -> None:
        self._prefix = prefix
        self._frontier = living
        self._chains: dict[int, str] = {id(thing): _describe(thing) for thing in living}
        self._found: list[str] = []
        self._own: set[int] = {id(self), id(vars(self)), id(self._chains), id(self._found)}
        # a module's variables, seen backwards, are a dict without a name
        self._spaces = {id(vars(module)): name for name, module in list(sys.modules.items()) if module is not None}

    def run(self) -> list[str]:
        for _ in range(MAX_DEPTH):
            if not self._frontier or len(self._found) >= MAX_HOLDERS:
                break
            self._frontier = self._step()
        return self._found[:MAX_HOLDERS]

    def _step(self) -> list[Any]:
        frontier = self._frontier
        following: list[Any] = []
        self._own |= {id(frontier), id(following)}
        targets = {id(thing) for thing in frontier}
        for referrer in gc.get_referrers(*frontier[:MAX_FRONTIER]):
            if id(referrer) in self._own or id(referrer) in self._chains or referrer is targets:
                continue
            if isinstance(referrer, FrameType) and referrer.f_globals is globals():
                continue
            held = next((thing for thing in gc.get_referents(referrer) if id(thing) in targets), None)
            if held is None:
                continue
            self._chains[id(referrer)] = chain = f"{self._label(referrer)} -> {self._chains[id(held)]}"
            if self._is_inside(referrer):
                following.append(referrer)
            else:
                self._found.append(chain)
        return following

    def _label(self, referrer: Any) -> str:
        if id(referrer) in self._spaces:
            return f"variables of {self._spaces[id(referrer)]}"
        return _describe(referrer)

    def _is_inside(self, referrer: Any) -> bool:
        """Whether the walk goes on behind this object: it is the generation's own, or a container of any origin."""
        if id(referrer) in self._spaces:
            return False
        if isinstance(referrer, FunctionType | type):
            return str(getattr(referrer, "__module__", "")).startswith(self._prefix + ".")
        if isinstance(referrer, _TRANSPARENT):
            return True
        return str(getattr(type(referrer), "__module__", "")).startswith(self._prefix + ".")


def _describe(thing: Any) -> str:
    if isinstance(thing, type | FunctionType):
        return f"{'class' if isinstance(thing, type) else 'function'} {thing.__module__}.{thing.__qualname__}"
    if isinstance(thing, FrameType):
        return f"running {thing.f_code.co_qualname} ({thing.f_code.co_filename}:{thing.f_lineno})"
    if isinstance(thing, ModuleType | MethodType):
        return f"{type(thing).__name__} {thing.__name__}"
    if isinstance(thing, dict | list | tuple | set | frozenset):
        return f"{type(thing).__name__} of {len(thing)}"
    return f"{type(thing).__module__}.{type(thing).__qualname__} object"
