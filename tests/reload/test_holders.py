"""What keeps a released generation alive is found and named."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from types import ModuleType

from .trees import TreeCase

SOURCE = {
    "shopx/sale.py": """
        import functools
        class Sale:
            def total(self):
                return 5
        def steps():
            yield 1
            yield 2
        @functools.cache
        def cached():
            return 1
        def late():
            return 3
    """
}


class Till:
    """Something outside of every generation."""

    kept: object = None


KEPT: list[object] = []


class HoldersTests(TreeCase):
    def setUp(self) -> None:
        super().setUp()
        self.till = Till()

    def leak(self, keep: Callable[[ModuleType], None]) -> list[str]:
        """The holders after ``keep`` was given the module and the generation was released."""
        generation = self.generation(SOURCE)
        keep(generation.load("shopx.sale"))
        generation.release()
        gc.collect()
        self.assertNotEqual(generation.living(), 0)
        found = generation.holders()
        self.till.kept = None
        KEPT.clear()
        gc.collect()
        self.assertEqual(generation.living(), 0, generation.holders())
        return found

    def keep(self, thing: object) -> None:
        self.till.kept = thing

    def assertNames(self, lines: list[str], *words: str) -> None:
        self.assertTrue(any(all(word in line for word in words) for line in lines), lines)

    def test_an_object_of_another_module(self) -> None:
        """An instance held by a foreign object: the line leads from that object to the class."""
        lines = self.leak(lambda module: self.keep(module.Sale()))
        self.assertNames(lines, "tests.reload.test_holders.Till", "shopx.sale.Sale")

    def test_a_bound_method_and_a_partial(self) -> None:
        """Callbacks are found too."""
        self.assertNames(self.leak(lambda module: self.keep(module.Sale().total)), "Till", "method total")
        self.assertNames(self.leak(lambda module: self.keep(functools.partial(module.late))), "functools.partial")

    def test_a_module_variable(self) -> None:
        """A container in another module's variables is named by that module."""
        lines = self.leak(lambda module: KEPT.append([module.late]))
        self.assertNames(lines, "variables of tests.reload.test_holders", "function", "shopx.sale.late")

    def test_a_suspended_generator(self) -> None:
        """A generator of the old code that nobody ended."""

        def begin(module: ModuleType) -> None:
            steps = module.steps()
            next(steps)
            self.keep(steps)

        self.assertNames(self.leak(begin), "generator")

    def test_the_module_itself(self) -> None:
        """A module that a foreign object holds."""
        self.assertNames(self.leak(self.keep), "Till", "module", "shopx.sale")
