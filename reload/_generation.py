# -*- test-case-name: tests.reload.test_generation -*-
"""
A generation: one loaded copy of all swappable modules, beside older and newer ones in the same process.

Generation 7 loads ``cloudd.objects`` as the module ``_g7.cloudd.objects``.  It stands in ``sys.modules`` under that
name, so whatever looks a class's module up by name (dataclasses, attrs, enum, ``typing.get_type_hints``,
``inspect``) finds the right one.  Which imports end in the generation is decided by ``reload._imports``; this module
finds, loads and releases.

What cannot be redirected, and so must not be used in swappable code for swappable modules: a public name given
as a string to ``importlib.import_module``, ``twisted.python.reflect.namedAny``, ``pkgutil`` or ``pickle`` loads
the plain module (``__package__`` and relative names given to ``import_module`` stay inside).  The same holds for code
in third-party packages that imports swappable modules by name.
"""

from __future__ import annotations

import gc
import importlib.util
import linecache
import sys
import threading
import typing
from collections.abc import Iterable, Iterator
from functools import partial
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from ._attrs_code import keep_compiled
from ._boundaries import Boundaries
from ._collecting import collect_loaded
from ._freeing import free_in_parts
from ._holders import Watch
from ._imports import Redirection
from ._module_code import ModuleCode
from ._pickling import forget_classes, refuse_pickles
from ._tree import CodeTree

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

_living: dict[str, Generation] = {}
"""Generations by the name of their root module.  Changed under ``_lock``, read without it."""
_lock = threading.Lock()


class GenerationReleased(ImportError):
    """Code of a generation that was released tried to import something: a request outlived its generation."""


class Generation:
    """
    One copy of the swappable modules of a tree.  Nothing is loaded before ``load``; modules load when first imported.

    All methods but ``release`` may be called in any thread.

    :param number: never used before in this process
    :param tree: normally a staged copy (``CodeTree.stage``): late imports read from it as long as the generation lives
    :raises ValueError: a generation of this number is alive
    """

    def __init__(self, number: int, tree: CodeTree, boundaries: Boundaries) -> None:
        self.number = number
        self.tree = tree
        self.boundaries = boundaries
        self.name = f"_g{number}"
        self.released = False
        self._redirection = Redirection(self.name, boundaries)
        self._watch = Watch(self.name)
        root = ModuleType(self.name, f"Root of generation {number} of the code, made by ``reload``.")
        root.__spec__ = ModuleSpec(self.name, None, is_package=True)
        root.__path__ = []
        with _lock:
            if self.name in sys.modules:
                raise ValueError(f"there is already a generation {number}")
            if not any(isinstance(finder, _GenerationFinder) for finder in sys.meta_path):
                sys.meta_path.insert(0, _GenerationFinder())
            _living[self.name] = self
            sys.modules[self.name] = root
        self._code = ModuleCode(tree)

    def __repr__(self) -> str:
        return f"<Generation {self.number} of {self.tree.hash[:12]}{' released' if self.released else ''}>"

    def load(self, name: str) -> ModuleType:
        """
        Import a module of the generation, and what it imports.

        :param name: the public name, for example ``cloudd.application``; a kernel name gives the kernel's own module
        :raises Exception: whatever the module's code raises; a module that failed is not kept
        :raises ModuleNotFoundError: the tree has no such module
        :raises GenerationReleased: too late
        """
        keep_compiled()
        module = self._redirection.import_(name, fromlist=("__name__",))
        collect_loaded()
        return module

    def watch(self, *objects: Any) -> None:
        """
        Take note, weakly, of what is loaded, so that ``release`` has little left to do; call it where ``load`` is.

        :param objects: of the generation's own, which are to be freed with it
        :raises TypeError: there are no weak references to one of them
        """
        self._watch.note([sys.modules[name] for name in self._loaded_names()])
        for thing in objects:
            self._watch.note_object(thing)

    def modules(self) -> dict[str, str]:
        """What is loaded: public name -> SHA-256 of the source."""
        prefix = self.name + "."
        return {name: digest for name, digest in sorted(self.tree.modules().items()) if prefix + name in sys.modules}

    def release(self) -> None:
        """
        Let go of the modules; they are freed when nobody else holds them (``holders``).  Safe to call again.

        Call it when the last work of the generation has ended, in the reactor thread; then ``free``, in a later turn.
        """
        for _step in self.release_in_steps():
            pass

    def release_in_steps(self) -> Iterator[None]:
        """The same in steps of a millisecond or two; at the first it is ``released``.  Take all steps."""
        if self.released:
            return
        self.released = True
        names = [*self._loaded_names(), self.name]
        self._watch.note(sys.modules[name] for name in names)
        self._redirection.close()
        with _lock:
            for name in names:
                sys.modules.pop(name, None)
            _living.pop(self.name, None)
        yield
        forget_classes(self.name + ".")
        yield
        _forget_in_caches(self.name, self.tree.root)
        yield
        self._code.close()

    def free(self, kept: Iterable[Any] = (), *, thorough: bool = False) -> Iterator[None]:
        """
        Free a released generation in steps of one or two milliseconds; look at ``living`` afterwards.

        Let nothing else happen between two steps but turns of the reactor, and take all steps.

        :param kept: what it was lent and others hold: the search for what must go turns back there, as it does at
            all that kernel modules have by name
        :param thorough: begin with a full collection, for garbage that got old while it held something of this; it
            takes as long as it takes
        """
        self._collect_others(2 if thorough else 0)
        yield
        yield from free_in_parts(
            self.name,
            [*self._watch.living_code(), *self._watch.living_objects()],
            [*kept, *self._kernel_objects()],
            list(_living),
        )

    def _kernel_objects(self) -> Iterator[Any]:
        """What lives as long as the process does.  Large are the tables of a database."""
        for name in list(sys.modules):
            if self.boundaries.is_kernel(name) and isinstance(module := sys.modules.get(name), ModuleType):
                yield from list(vars(module).values())

    def _collect_others(self, oldest: int) -> None:
        """Collect garbage that holds something of this (frames of a late error, say), and nothing of this itself."""
        held = [*self._watch.living_objects(), *self._watch.living_code()]
        gc.collect(oldest)
        del held

    def living(self) -> int:
        """How many modules, classes and functions of a released generation still exist.  Cheap; 0 means freed."""
        return self._watch.living()

    def holders(self) -> list[str]:
        """
        What keeps a released generation in memory; empty when it is freed.

        Each line names a holder outside the generation and the way from there, for an operator's report.  Runs a full
        garbage collection and walks all objects, up to seconds on a big heap: see ``find_holders``.
        """
        return self._watch.holders()

    def find_holders(self, reactor: Any) -> Deferred[list[str]]:
        """
        The same, found by a fork of this process: it goes on meanwhile.  Never fails.

        A fork has no other threads; those that run code of the generation are named first.
        """
        from ._fork import lines_from_fork

        running = self._watch.running()
        return lines_from_fork(reactor, self.holders).addCallback(lambda found: [*running, *found])

    def find_spec(self, full_name: str) -> ModuleSpec | None:
        """Where the import system finds ``_g<number>.<name>``; for the finder alone."""
        name = full_name.removeprefix(self.name + ".")
        found = self.tree.find(name) if self.boundaries.is_swappable(name) else None
        if found is None:
            return None
        path, is_package = found
        if path.is_dir():
            spec = ModuleSpec(full_name, None, is_package=True)
            spec.submodule_search_locations = [str(path)]
            return spec
        loader = _GenerationLoader(full_name, str(path), self._redirection.builtins, self._code)
        search = [str(path.parent)] if is_package else None
        return importlib.util.spec_from_file_location(full_name, path, loader=loader, submodule_search_locations=search)

    def _loaded_names(self) -> list[str]:
        prefix = self.name + "."
        return [name for name in list(sys.modules) if name.startswith(prefix)]


class _GenerationFinder:
    """
    Finds the modules of all living generations.

    One for all: a list that is read while an import runs in another thread must not be changed with each generation.
    """

    @staticmethod
    def find_spec(full_name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        generation = _living.get(full_name.partition(".")[0])
        return generation.find_spec(full_name) if generation is not None else None


class _GenerationLoader(SourceFileLoader):
    """Loads bytecode (or, without it, source) of one module and gives it the generation's own builtins."""

    def __init__(self, full_name: str, path: str, builtins: dict[str, Any], code: ModuleCode) -> None:
        super().__init__(full_name, path)
        self._builtins = builtins
        self._code = code

    def get_code(self, fullname: str) -> CodeType | None:
        """What the module is run from."""
        return self._code.of(self.path, partial(super().get_code, fullname))

    def exec_module(self, module: ModuleType) -> None:
        # CPython takes ``__import__`` from the builtins of the frame, and functions inherit them from their module
        module.__dict__["__builtins__"] = self._builtins
        super().exec_module(module)
        refuse_pickles(module)
        collect_loaded()

    def set_data(self, _path: Any, _data: Any, *, _mode: int = 0o666) -> None:
        """Write nothing: the copy is read-only, and its bytecode was made with it."""


def _forget_in_caches(name: str, root: Path) -> None:
    """Drop what the standard library caches about a generation's classes and lines."""
    inside, below = f"{name}.", f"{root}/"
    for key in list(linecache.cache):
        if inside in key or key.startswith(below):
            linecache.cache.pop(key, None)
    for clear in getattr(typing, "_cleanups", ()):  # Optional[C] and the like keep C in an lru_cache
        clear()
