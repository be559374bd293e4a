# -*- test-case-name: tests.reload.test_imports -*-
"""
What ``import`` means inside a generation.

Each module of a generation runs with a ``__builtins__`` of its own whose ``__import__`` is ``Redirection.import_``.
Swappable names go to ``_g<number>.<name>``; kernel names, and everything that the boundaries do not own, go to the
plain import.  Python's own import system does the rest: locks for each module, cycles, and removal of a module
whose code raised.

A kernel subpackage of a swappable package (``cloudd.database`` in ``cloudd``) becomes an attribute of the
generation's package when it is first imported, as Python does with every submodule.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import Any

from ._boundaries import Boundaries
from ._pacing import build_class, rest

_plain_import = builtins.__import__


class Redirection:
    """
    The imports of one generation.

    :param prefix: name of the generation's root module
    """

    def __init__(self, prefix: str, boundaries: Boundaries) -> None:
        self._prefix = prefix
        self._boundaries = boundaries
        self._closed = False
        # (name, package, level) -> loaded module, so that a late import in a function costs as little as it did before
        self._ready: dict[tuple[str, str, int], ModuleType] = {}
        self.builtins: dict[str, Any] = {
            **vars(builtins),
            "__import__": self.import_,
            "__build_class__": build_class,
        }

    def close(self) -> None:
        """Refuse further imports of swappable modules, and let go of all but the names of the builtins."""
        self._closed = True
        self._ready.clear()
        self.builtins["__import__"] = partial(_import_released, self._boundaries)  # of us it would be a knot with us

    def import_(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """
        ``__import__`` as the language reference describes it: returns the top package without, the named module with
        a ``fromlist``.
        """
        key = (name, globals.get("__package__") or "" if level and globals else "", level)
        if fromlist and (module := self._ready.get(key)) is not None and _has_all(module, fromlist):
            return module
        rest()
        if level:
            package = self._package_of(globals)
            if package is None:  # code that runs with our builtins but is of no module, such as an exec'd template
                return _plain_import(name, globals, locals, fromlist or (), level)
            name = _resolve(name, package, level)
        if not self._boundaries.owns(name):
            return _plain_import(name, globals, locals, fromlist or (), 0)
        if self._closed:
            raise _released(name)
        if not fromlist:
            return self._import_top(name)
        module = self._import_from(name, fromlist)
        if not getattr(module.__spec__, "_initializing", False):
            self._ready[key] = module
        return module

    def _import_top(self, name: str) -> ModuleType:
        """``import a.b.c``: load it, return ``a``."""
        top = name.partition(".")[0]
        self._import_leaf(name)
        return sys.modules[top if self._boundaries.is_kernel(top) else f"{self._prefix}.{top}"]

    def _import_from(self, name: str, fromlist: Sequence[str]) -> ModuleType:
        """``from a.b import c, d``: load ``a.b`` and those of ``c`` and ``d`` that are its submodules."""
        module = self._import_leaf(name)
        if self._boundaries.is_kernel(name):
            return _plain_import(name, None, None, fromlist, 0)
        wanted = [*fromlist, *getattr(module, "__all__", ())] if "*" in fromlist else fromlist
        for item in wanted:
            if self._boundaries.is_kernel(f"{name}.{item}") and not hasattr(module, item):
                self._import_leaf(f"{name}.{item}")
        return self._import_inside(name, fromlist)

    def _import_leaf(self, name: str) -> ModuleType:
        if not self._boundaries.is_kernel(name):
            return self._import_inside(name, ("__name__",))
        module = _plain_import(name, None, None, ("__name__",), 0)
        self._bind_kernel(name)
        return module

    def _import_inside(self, name: str, fromlist: Sequence[str]) -> ModuleType:
        try:
            return _plain_import(f"{self._prefix}.{name}", None, None, fromlist, 0)
        except ModuleNotFoundError as error:
            if error.name is None or not error.name.startswith(self._prefix + "."):
                raise
            missing = error.name.removeprefix(self._prefix + ".")
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing).with_traceback(
                error.__traceback__
            ) from None

    def _bind_kernel(self, name: str) -> None:
        """Make ``a.b`` reachable as an attribute of the generation's ``a``, where ``a`` itself is swappable."""
        parent, _, child = name.rpartition(".")
        while parent and self._boundaries.is_kernel(parent):
            parent, _, child = parent.rpartition(".")
        if parent:
            setattr(self._import_inside(parent, ("__name__",)), child, sys.modules[f"{parent}.{child}"])

    def _package_of(self, module_globals: Mapping[str, Any] | None) -> str | None:
        """The public name of the package that relative names begin at."""
        facts = module_globals or {}
        package = facts.get("__package__")
        if package is None:
            package = facts.get("__name__", "")
            if "__path__" not in facts:
                package = package.rpartition(".")[0]
        if not package.startswith(self._prefix + "."):
            return None
        return str(package[len(self._prefix) + 1 :])


def _import_released(
    boundaries: Boundaries,
    name: str,
    globals: Mapping[str, Any] | None = None,  # noqa: A002
    locals: Mapping[str, Any] | None = None,  # noqa: A002
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    """``__import__`` in code that outlived its generation: what is not of it can be imported."""
    if level or boundaries.is_swappable(name):
        raise _released(name)
    return _plain_import(name, globals, locals, fromlist or (), level)


def _released(name: str) -> ImportError:
    from ._generation import GenerationReleased

    return GenerationReleased(f"{name} cannot be imported: this generation of the code was released", name=name)


def _has_all(module: ModuleType, names: Sequence[str]) -> bool:
    return all([hasattr(module, name) for name in names])  # noqa: C419 - a list is faster for one or two


def _resolve(name: str, package: str, level: int) -> str:
    parts = package.split(".")
    if level > len(parts):
        raise ImportError("attempted relative import beyond top-level package")
    base = ".".join(parts[: len(parts) - level + 1])
    return f"{base}.{name}" if name else base
