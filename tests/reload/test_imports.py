"""Imports inside a generation stay inside; kernel and foreign imports stay plain."""

from __future__ import annotations

import sys
import threading

from reload import GenerationReleased

from .trees import TreeCase

SALE = {"shopx/sale/__init__.py": "WHERE = __name__", "shopx/sale/price.py": "PRICE = 5\nWHERE = __name__"}

LATE = """
    def call():
        from shopx.sale import price
        return price
    def later():
        from shopx.sale.price import LATER
        return LATER
    def relative():
        from .sale import price
    def plain():
        import json
        return json
"""


class ImportTests(TreeCase):
    def run_in(self, source: str, files: dict[str, str] | None = None) -> dict[str, object]:
        """The variables of the module ``shopx.doors.probe`` with ``source``, loaded in a generation."""
        generation = self.generation({**SALE, **(files or {}), "shopx/doors/probe.py": source})
        self.prefix = generation.name + "."
        return vars(generation.load("shopx.doors.probe"))

    def assertInside(self, found: object, name: str) -> None:
        self.assertEqual(found, self.prefix + name)
        self.assertNotIn(name, sys.modules)

    def test_every_form_of_import_stays_inside(self) -> None:
        """Absolute, renamed, from-a-package, relative and late imports all give the generation's module."""
        for statement, value in (
            ("import shopx.sale.price", "shopx.sale.price.WHERE"),
            ("import shopx.sale.price as price", "price.WHERE"),
            ("from shopx.sale import price", "price.WHERE"),
            ("from shopx.sale.price import WHERE", "WHERE"),
            ("from ..sale import price", "price.WHERE"),
            ("from ..sale.price import WHERE", "WHERE"),
            ("from .. import sale; from ..sale import price", "sale.price.WHERE"),
            ("from shopx.sale.price import *", "WHERE"),
            ("import importlib; price = importlib.import_module('..sale.price', __package__)", "price.WHERE"),
            ("price = __import__('shopx.sale.price', fromlist=['x'])", "price.WHERE"),
        ):
            with self.subTest(statement):
                found = self.run_in(f"{statement}\nFOUND = {value}")
                self.assertInside(found["FOUND"], "shopx.sale.price")

    def test_imports_in_functions_called_from_outside_stay_inside(self) -> None:
        """A late import runs with the builtins of its function, whoever calls it."""
        found = self.run_in(
            """
            def late():
                import shopx.sale.price
                from shopx.sale import price
                assert price is shopx.sale.price
                return price.WHERE
            class Thing:
                def method(self):
                    return [late() for _ in range(2)][1]
            """
        )
        self.assertInside(found["late"](), "shopx.sale.price")  # type: ignore[operator]
        self.assertInside(found["Thing"]().method(), "shopx.sale.price")  # type: ignore[operator]

    def test_kernel_modules_are_the_plain_ones(self) -> None:
        """In every form a kernel module is the one in ``sys.modules``, and its code runs once in the process."""
        for statement, value in (
            ("import shopx.kernel.facts", "shopx.kernel.facts"),
            ("import shopx.kernel.facts as facts", "facts"),
            ("from shopx.kernel import facts", "facts"),
            ("from shopx import kernel", "kernel.facts"),
            ("from ..kernel import facts", "facts"),
            ("from .. import kernel", "kernel.facts"),
            ("from ..kernel.facts import Fact\nimport shopx.kernel", "shopx.kernel.facts"),
        ):
            with self.subTest(statement):
                facts = self.run_in(f"{statement}\nFOUND = {value}")["FOUND"]
                self.assertIs(facts, sys.modules["shopx.kernel.facts"])
                self.assertEqual(facts.loads, ["shopx.kernel.facts"])  # type: ignore[attr-defined]

    def test_a_kernel_package_within_a_swappable_one(self) -> None:
        """``from . import http`` of a swappable package gives the kernel's subpackage, in ``*`` too."""
        found = self.run_in("from . import http\nimport shopx.doors.http\nSAME = shopx.doors.http is http")
        self.assertIs(found["http"], sys.modules["shopx.doors.http"])
        self.assertTrue(found["SAME"])
        self.assertIn(self.prefix + "shopx.doors", sys.modules)
        files = {"shopx/star/__init__.py": "__all__ = ['kernel']"}
        found = self.run_in("from shopx import *\nNAMES = sorted(k for k in globals() if k == 'kernel')",
                            {**files, "shopx/__init__.py": "__all__ = ['kernel']"})  # fmt: skip
        self.assertEqual(found["NAMES"], ["kernel"])

    def test_foreign_modules_are_plain(self) -> None:
        """The standard library and packages that nobody owns come from where they always do."""
        found = self.run_in("import os.path, json as j\nfrom collections import abc")
        self.assertIs(found["os"], sys.modules["os"])
        self.assertIs(found["j"], sys.modules["json"])
        self.assertIs(found["abc"], sys.modules["collections.abc"])

    def test_circular_imports(self) -> None:
        """Modules that import each other see one another half made, as in plain Python."""
        files = {
            "shopx/a.py": "import shopx.b as b\nfrom shopx import b as again\nDONE = b.SEEN",
            "shopx/b.py": "import shopx.a\nfrom . import a\nSEEN = not hasattr(a, 'DONE') and not hasattr(shopx, 'a')",
        }
        self.assertTrue(self.run_in("from shopx.a import DONE", files)["DONE"])

    def test_type_checking_blocks_do_not_run(self) -> None:
        """What only type checkers see is not imported."""
        found = self.run_in("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import shopx.absent")
        self.assertNotIn("shopx", found)

    def test_missing_modules_have_their_public_name(self) -> None:
        """The error names what the source says, and ``except ImportError`` works as always."""
        error = self.assertRaises(ModuleNotFoundError, self.run_in, "import shopx.absent.more")
        self.assertEqual((error.name, str(error)), ("shopx.absent", "No module named 'shopx.absent'"))
        error = self.assertRaises(ModuleNotFoundError, self.run_in, "import absent_altogether")
        self.assertEqual(error.name, "absent_altogether")
        error = self.assertRaises(ModuleNotFoundError, self.run_in, "import shopx.kernel.absent")
        self.assertEqual(error.name, "shopx.kernel.absent")
        self.assertRaises(ImportError, self.run_in, "from shopx.sale import absent")
        self.assertRaises(ImportError, self.run_in, "from ....sale import price")
        found = self.run_in("try:\n    from shopx import absent\nexcept ImportError:\n    absent = None")
        self.assertIsNone(found["absent"])

    def test_a_missing_import_inside_a_submodule_is_not_hidden(self) -> None:
        """``from package import module`` tells what ``module`` lacks, not that ``module`` is missing."""
        files = {"shopx/broken.py": "import shopx.absent"}
        error = self.assertRaises(ModuleNotFoundError, self.run_in, "from shopx import broken", files)
        self.assertEqual(error.name, "shopx.absent")

    def test_a_module_that_raises_leaves_nothing(self) -> None:
        """It is in no table afterwards, is no attribute of its package, and can be tried again."""
        generation = self.generation({"shopx/a.py": "import shopx.b", "shopx/b.py": "raise RuntimeError('not today')"})
        for _ in range(2):
            self.assertRaises(RuntimeError, generation.load, "shopx.a")
        self.assertEqual(list(generation.modules()), ["shopx"])
        self.assertFalse(hasattr(sys.modules[f"{generation.name}.shopx"], "b"))

    def test_code_without_a_module_of_its_own(self) -> None:
        """Code that is run with our builtins in foreign variables imports relative names as those say."""
        found = self.run_in(
            """
            spaces = {"__builtins__": __builtins__, "__package__": "email", "__name__": "email.x"}
            exec("from . import message", spaces)
            nameless = {"__builtins__": __builtins__, "__name__": __name__}
            exec("from . import http", nameless)
            package = {"__builtins__": __builtins__, "__name__": __package__, "__path__": []}
            exec("from . import http", package)
            absolute = {"__builtins__": __builtins__}
            exec("import " + __package__ + ".probe as me", absolute)
            """
        )
        self.assertIs(found["spaces"]["message"], sys.modules["email.message"])  # type: ignore[index]
        self.assertIs(found["nameless"]["http"], sys.modules["shopx.doors.http"])  # type: ignore[index]
        self.assertIs(found["package"]["http"], sys.modules["shopx.doors.http"])  # type: ignore[index]
        self.assertEqual(vars(found["absolute"]["me"]), found)  # type: ignore[index]

    def test_two_threads_load_one_module_once(self) -> None:
        """A late import in one thread waits for the same module's load in another one."""
        generation = self.generation(
            {
                "shopx/slow.py": """
                    from shopx.kernel import gates
                    gates.entered.set()
                    assert gates.go_on.wait(10)
                    gates.runs.append(1)
                """,
                "shopx/kernel/gates.py": "import threading\nentered = threading.Event()\n"
                "go_on = threading.Event()\nruns = []",
                "shopx/late.py": "def call():\n    from shopx import slow\n    return slow",
            }
        )
        late = generation.load("shopx.late")
        found: list[object] = []
        loading = threading.Thread(target=lambda: found.append(generation.load("shopx.slow")))
        loading.start()
        gates = generation.load("shopx.kernel.gates")
        self.assertTrue(gates.entered.wait(10))
        waiting = threading.Thread(target=lambda: found.append(late.call()))
        waiting.start()
        gates.go_on.set()
        for thread in (loading, waiting):
            thread.join(10)
        self.assertEqual(gates.runs, [1])
        self.assertEqual(len(found), 2)
        self.assertIs(found[0], found[1])

    def test_a_late_import_that_was_made_before_is_the_same(self) -> None:
        """The second time is quick, and sees what the first one saw; a name that came later is found too."""
        generation = self.generation({**SALE, "shopx/late.py": LATE})
        late = generation.load("shopx.late")
        self.assertIs(late.call(), late.call())
        self.assertRaises(ImportError, late.later)
        late.call().LATER = 7
        self.assertEqual(late.later(), 7)

    def test_after_release_nothing_is_imported(self) -> None:
        """Late imports of a released generation say so, also those made before; foreign imports still work."""
        generation = self.generation({**SALE, "shopx/late.py": LATE})
        late = generation.load("shopx.late")
        late.call()
        generation.release()
        self.assertIn("released", str(self.assertRaises(GenerationReleased, late.call)))
        self.assertRaises(GenerationReleased, late.relative)
        self.assertRaises(GenerationReleased, generation.load, "shopx.late")
        self.assertIs(late.plain(), sys.modules["json"])
