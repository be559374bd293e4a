"""Swappable code is not loaded a second time by its public name."""

from __future__ import annotations

import importlib
import sys

from reload import PlainImportRefused, guard_plain_imports

from .trees import BOUNDARIES, TreeCase


class GuardTests(TreeCase):
    def setUp(self) -> None:
        super().setUp()
        before = list(sys.meta_path)
        guard_plain_imports(BOUNDARIES)
        self.addCleanup(setattr, sys, "meta_path", before)

    def test_names_given_as_text_are_refused(self) -> None:
        """In swappable code and elsewhere; the error says what to do, and nothing was loaded."""
        generation = self.generation(
            {
                "shopx/sale.py": "",
                "shopx/late.py": "import importlib\ndef call():\n    return importlib.import_module('shopx.sale')",
            }
        )
        late = generation.load("shopx.late")
        for call in (late.call, lambda: importlib.import_module("shopx.sale"), lambda: __import__("shopx.sale")):
            error = self.assertRaises(PlainImportRefused, call)
            self.assertEqual(error.name, "shopx.sale")
        self.assertNotIn("shopx.sale", sys.modules)
        self.assertEqual(generation.load("shopx.sale").__name__, f"{generation.name}.shopx.sale")

    def test_the_kernel_and_what_is_above_it_load(self) -> None:
        """Kernel modules, and the packages they lie in, are plain."""
        generation = self.generation({"shopx/late.py": "from shopx.kernel.facts import Fact\nfrom .doors import http"})
        late = generation.load("shopx.late")
        self.assertIs(late.Fact, sys.modules["shopx.kernel.facts"].Fact)
        self.assertEqual(late.http.__name__, "shopx.doors.http")
        self.assertIn("shopx.doors", sys.modules)

    def test_once_is_enough(self) -> None:
        """Asking again adds nothing."""
        before = list(sys.meta_path)
        guard_plain_imports(BOUNDARIES)
        self.assertEqual(sys.meta_path, before)
