# -*- test-case-name: tests.reload.test_holders -*-
"""
Whether a released generation is freed, and if not, what holds it.

``Watch`` keeps weak references to the modules, classes and functions of a generation, and to objects it is told of.
From what is still alive it walks forwards first, to all that hangs together with the generation: a cycle in there holds
nothing by itself.  Then it goes backwards, out of that, through plain containers to the first thing that is neither: an
object of another module, a module's variable, a local variable of a running function.

One such walk looks at every object of the process, up to seconds on a big heap; ``Generation.find_holders`` has it done
in a copy of the process.
"""

from __future__ import annotations

import gc
import inspect
import sys
import threading
from collections.abc import Iterable, Iterator
from functools import partial
from types import (
    BuiltinFunctionType,
    CellType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MethodType,
    ModuleType,
    TracebackType,
)
from typing import Any
from weakref import ref

from ._freeing import Walk

MAX_HOLDERS = 20
MAX_PASSES = 12

_CONTAINERS = (
    dict,
    list,
    tuple,
    set,
    frozenset,
    CellType,
    MethodType,
    BuiltinFunctionType,
    partial,
    CoroutineType,
    GeneratorType,
    FrameType,
    TracebackType,
)


class Watch:
    """
    What was in one generation, held weakly.

    :param prefix: name of the generation's root module
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._references: list[ref[Any]] = []
        self._objects: list[ref[Any]] = []
        self._modules: set[str] = set()  # whose members are watched

    def note(self, modules: Iterable[ModuleType]) -> None:
        """Begin to watch those modules that are not watched yet, and the classes and functions that they define."""
        seen: set[int] = set()
        for module in modules:
            if module.__name__ not in self._modules:
                self._modules.add(module.__name__)
                self._references.append(ref(module))
                self._note_members(vars(module), seen)

    def note_object(self, thing: Any) -> None:
        """
        Begin to watch one more object.

        :raises TypeError: there are no weak references to such objects
        """
        self._objects.append(ref(thing))

    def living(self) -> int:
        """How many of the watched objects exist."""
        return sum(reference() is not None for reference in [*self._references, *self._objects])

    def living_code(self) -> list[Any]:
        """The modules, classes and functions that exist; hold them no longer than needed."""
        return [thing for reference in self._references if (thing := reference()) is not None]

    def living_objects(self) -> list[Any]:
        """The other objects that exist; hold them no longer than needed."""
        return [thing for reference in self._objects if (thing := reference()) is not None]

    def running(self) -> list[str]:
        """Lines that name the code of the generation that threads run now.  Cheap."""
        lines = []
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        for ident, frame in list(sys._current_frames().items()):
            step: FrameType | None = frame
            while step is not None and not str(step.f_globals.get("__name__", "")).startswith(self._prefix + "."):
                step = step.f_back
            if step is not None:
                lines.append(f"thread {names.get(ident, ident)} runs {_place(step)}")
        return lines

    def holders(self) -> list[str]:
        """
        Lines that name what holds the watched objects, at most ``MAX_HOLDERS``; empty when all are gone.

        :return: ``"<holder> -> … -> <held>"``; names of this generation appear as they stand in ``sys.modules``
        """
        frozen = gc.get_freeze_count()
        gc.unfreeze()  # a search passes over what is frozen
        try:
            gc.collect()
            living = [*self.living_objects(), *self.living_code()]
            if not living:
                return []
            search = _Search(self._prefix, living)
            found = search.run() or [f"{_describe(living[0])}: held by nothing that can be seen"]
            search.clear()  # frames that were looked at may go on holding it
            return found
        finally:
            if frozen:
                gc.freeze()

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


class _Search:
    """
    From living objects to what holds them.

    :ivar chains: by id of an object how it leads to one of the living
    """

    def __init__(self, prefix: str, living: list[Any]) -> None:
        self._prefix = prefix
        self._inside = _reachable(prefix, living)
        # a module's variables, seen backwards, are a dict without a name
        self._spaces = {id(vars(module)): name for name, module in _plain_modules() if id(module) not in self._inside}
        self.chains: dict[int, str] = {}
        self._find_ways_inside(living)

    def clear(self) -> None:
        """Let go of everything."""
        self._inside.clear()

    def run(self) -> list[str]:
        found = dict.fromkeys(self._local_variables())
        targets = set(self.chains)
        ours = {id(vars(self)), id(self._inside), id(self.chains), id(found), id(targets)}
        for _ in range(MAX_PASSES):
            following = []
            for thing in gc.get_objects():
                if id(thing) in self._inside or id(thing) in self.chains or id(thing) in ours:
                    continue
                held = next((id(other) for other in gc.get_referents(thing) if id(other) in targets), None)
                if held is None or _is_of_this_module(thing):
                    continue
                chain = f"{self._label(thing)} -> {self.chains[held]}"
                if self._leads_on(thing):
                    following.append(thing)
                    self.chains[id(thing)] = chain
                else:
                    found[chain] = None
            targets = {id(thing) for thing in following}
            ours.add(id(following))
            if not targets or len(found) >= MAX_HOLDERS:
                break
        return list(found)[:MAX_HOLDERS]

    def _leads_on(self, thing: Any) -> bool:
        """Whether something else holds this: a container, or an object of the generation."""
        if id(thing) in self._spaces:
            return False
        return isinstance(thing, _CONTAINERS) or self._is_own(thing)

    def _is_own(self, thing: Any) -> bool:
        """A function or an object of the generation that does not hang together with its modules."""
        kind = thing if isinstance(thing, FunctionType) else type(thing)
        return str(kind.__module__).startswith(self._prefix + ".")

    def _find_ways_inside(self, living: list[Any]) -> None:
        """Which objects of the generation lead to the living ones, and how."""
        backwards: dict[int, list[int]] = {}
        for thing in self._inside.values():
            for other in gc.get_referents(thing):
                backwards.setdefault(id(other), []).append(id(thing))
        self.chains = {id(thing): _describe(thing) for thing in living}
        frontier = list(self.chains)
        while frontier:
            following = []
            for held in frontier:
                for holder in backwards.get(held, ()):
                    if holder not in self.chains:
                        self.chains[holder] = f"{_describe(self._inside[holder])} -> {self.chains[held]}"
                        following.append(holder)
            frontier = following

    def _local_variables(self) -> Iterator[str]:
        """Functions that run now, in any thread, and have one of the objects in a variable."""
        for frame in list(sys._current_frames().values()):
            step: FrameType | None = frame
            while step is not None:
                if step.f_globals is not globals():
                    for name, value in list(step.f_locals.items()):
                        if (chain := self._chain_of(value)) is not None:
                            yield f"running {_place(step)}, variable {name!r} -> {chain}"
                step = step.f_back

    def _chain_of(self, value: Any) -> str | None:
        if id(value) in self.chains:
            return self.chains[id(value)]
        if not self._is_own(value):
            return None
        return next(
            (
                f"{_describe(value)} -> {self.chains[id(other)]}"
                for other in gc.get_referents(value)
                if id(other) in self.chains
            ),
            None,
        )

    def _label(self, thing: Any) -> str:
        if id(thing) in self._spaces:
            return f"variables of {self._spaces[id(thing)]}"
        return _describe(thing)


def _plain_modules() -> list[tuple[str, ModuleType]]:
    return [(name, module) for name, module in list(sys.modules.items()) if isinstance(module, ModuleType)]


def _reachable(prefix: str, living: list[Any]) -> dict[int, Any]:
    """By id all that hangs together with the generation."""
    walk, found, frontier = Walk(prefix), {}, list(living)
    while frontier and walk.goes_on:
        thing = frontier.pop()
        if walk.enters(thing):
            found[id(thing)] = thing
            frontier += gc.get_referents(thing)
    return found


def _is_of_this_module(thing: Any) -> bool:
    """Frames and generators of the search itself."""
    frame = thing.gi_frame if isinstance(thing, GeneratorType) else thing
    return isinstance(frame, FrameType) and frame.f_globals is globals()


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"


def _describe(thing: Any) -> str:
    if isinstance(thing, type | FunctionType):
        return f"{'class' if isinstance(thing, type) else 'function'} {thing.__module__}.{thing.__qualname__}"
    if isinstance(thing, FrameType):
        return f"frame of {_place(thing)}"
    if isinstance(thing, ModuleType | MethodType):
        return f"{type(thing).__name__} {thing.__name__}"
    if isinstance(thing, dict | list | tuple | set | frozenset):
        return f"{type(thing).__name__} of {len(thing)}"
    if inspect.iscoroutine(thing) or inspect.isgenerator(thing):
        return f"{type(thing).__name__} {thing.__qualname__}"
    return f"{type(thing).__module__}.{type(thing).__qualname__} object"
