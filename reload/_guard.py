# -*- test-case-name: tests.reload.test_guard -*-
"""
A guard against a second, plain copy of swappable code beside its generations.

Some ways to import cannot be redirected into a generation: ``importlib.import_module`` with a public name, ``pickle``,
third parties that load by name, and a kernel module that imports what it must not.  Each would quietly load the module
once more, with classes of its own that no upgrade replaces.  With the guard in place they fail, with the reason.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from typing import Any

from ._boundaries import Boundaries


class PlainImportRefused(ImportError):
    """Swappable code was imported by its public name from outside a generation; nothing was loaded."""


def guard_plain_imports(boundaries: Boundaries) -> None:
    """
    From now on refuse to load swappable modules outside of generations, in this process and those it forks.

    Packages above a kernel module stay allowed: the kernel itself needs them.  What is loaded already stays.  Safe to
    call again.
    """
    if not any(isinstance(finder, _PlainImportGuard) and finder.boundaries == boundaries for finder in sys.meta_path):
        sys.meta_path.insert(0, _PlainImportGuard(boundaries))


class _PlainImportGuard:
    def __init__(self, boundaries: Boundaries) -> None:
        self.boundaries = boundaries
        self._needed = {".".join(parts[:end]) for parts in map(_parts, boundaries.kernel) for end in range(len(parts))}

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        """Leave the search to others, or refuse."""
        if self.boundaries.is_swappable(name) and name not in self._needed:
            raise PlainImportRefused(
                f"{name} is swappable: only import statements of swappable code load it, in their generation, "
                "and neither kernel modules nor a name given as text",
                name=name,
            )
        return None


def _parts(name: str) -> list[str]:
    return name.split(".")
