"""Generations of small trees for the tests of how code behaves in them."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

from .trees import TreeCase

KERNEL = {
    "shopx/kernel/facts.py": """
        from zope.interface import Interface
        class Fact:
            pass
        class Refused(Exception):
            def __init__(self, cause):
                super().__init__(cause)
                self.cause = cause
        class IShop(Interface):
            def total():
                "The sum."
    """,
    "shopx/kernel/__init__.py": "from shopx.kernel.facts import Fact, IShop, Refused",
}


class BehaviourCase(TreeCase):
    """Generations of small trees, with and without the same code."""

    def load(self, source: str, files: Mapping[str, str | bytes] | None = None) -> Any:
        """The module ``shopx.thing`` with that source, in a generation of its own."""
        self.generations = getattr(self, "generations", [])
        generation = self.generation({**KERNEL, **(files or {}), "shopx/thing.py": source})
        self.generations.append(generation)
        return generation.load("shopx.thing")

    def twice(self, source: str, files: Mapping[str, str | bytes] | None = None) -> tuple[Any, Any]:
        """The same code in two generations."""
        return self.load(source, files), self.load(source, files)

    def assertFreed(self) -> None:
        """All generations so far go when they are released."""
        for generation in self.generations:
            generation.release()
        step: FrameType | None = sys._getframe()
        while step is not None:  # a search for holders has left copies of variables in them: make new ones
            assert step.f_locals is not None
            step = step.f_back
        gc.collect()
        gc.collect()  # what has a finalizer goes one collection later
        for generation in self.generations:
            self.assertEqual(generation.living(), 0, generation.holders())
