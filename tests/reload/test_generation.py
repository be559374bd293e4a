"""Generations: names, sources, coexistence, release."""

from __future__ import annotations

import copyreg
import dataclasses
import enum
import gc
import importlib.resources
import importlib.util
import inspect
import linecache
import sys
import traceback
import typing
from pathlib import Path

from reload import CodeTree, Generation, compare

from .trees import BOUNDARIES, TreeCase

SHAPES = {
    "shopx/shapes.py": """
        from __future__ import annotations
        import enum, typing
        from dataclasses import dataclass
        from typing import NamedTuple, Optional
        import attrs
        from zope.interface import Interface, implementer
        from shopx.kernel import Fact
        class Colour(enum.Enum):
            RED = 1
        class IShape(Interface):
            pass
        @dataclass
        class Point:
            x: int
            next: Optional[Point] = None
        @implementer(IShape)
        @attrs.define
        class Circle:
            centre: Point
            colour: Colour = Colour.RED
            fact: Fact | None = None
        class Pair(NamedTuple):
            left: int
        T = typing.TypeVar("T")
        class Box(typing.Generic[T]):
            pass
        def hints():
            return typing.get_type_hints(Circle), typing.get_type_hints(Point), Optional[Box[Point]]
        def broken():
            raise RuntimeError("as asked")
    """,
}


class GenerationTests(TreeCase):
    def test_names_and_places(self) -> None:
        """A module carries its generation in its name and lies in the staged copy."""
        generation = self.generation(SHAPES)
        module = generation.load("shopx.shapes")
        self.assertEqual(module.__name__, f"_g{generation.number}.shopx.shapes")
        self.assertIs(sys.modules[module.__name__], module)
        self.assertEqual(module.__file__, str(generation.tree.root / "shopx/shapes.py"))
        self.assertEqual(sys.modules[generation.name].__name__, generation.name)
        self.assertIn(generation.tree.hash[:12], repr(generation))
        self.assertEqual(generation.load("shopx.kernel.facts").__name__, "shopx.kernel.facts")

    def test_what_looks_modules_up_by_name_works(self) -> None:
        """Dataclasses, attrs, enums, named tuples and type hints find the generation's own classes."""
        module = self.generation(SHAPES).load("shopx.shapes")
        circle = module.Circle(module.Point(1))
        self.assertTrue(dataclasses.is_dataclass(circle.centre))
        self.assertTrue(issubclass(module.Colour, enum.Enum))
        self.assertTrue(module.IShape.providedBy(circle))
        hints, point_hints, _ = module.hints()
        self.assertEqual(hints["centre"], module.Point)
        self.assertEqual(hints["fact"], sys.modules["shopx.kernel"].Fact | None)
        self.assertEqual(point_hints["next"], typing.Optional[module.Point])  # noqa: UP045
        self.assertEqual(module.Pair(3).left, 3)

    def test_source_and_tracebacks_are_the_copys(self) -> None:
        """``inspect.getsource`` and tracebacks show the copy, also when the original has changed since."""
        generation = self.generation(SHAPES)
        module = generation.load("shopx.shapes")
        (self.folder / "tree/shopx/shapes.py").write_text("# changed since")
        self.assertIn("class Point", inspect.getsource(module.Point))
        self.assertEqual(inspect.getsourcefile(module.broken), str(generation.tree.root / "shopx/shapes.py"))
        error = self.assertRaises(RuntimeError, module.broken)
        last = traceback.extract_tb(error.__traceback__)[-1]
        self.assertEqual((last.filename, last.line), (module.__file__, 'raise RuntimeError("as asked")'))

    def test_code_comes_from_the_bytecode(self) -> None:
        """Loading reads no source: it works on what was compiled when the tree was staged."""
        generation = self.generation({"shopx/a.py": "A = 1"})
        source = generation.tree.root / "shopx/a.py"
        source.chmod(0o644)
        source.write_text("A = 2")
        self.assertEqual(generation.load("shopx.a").A, 1)

    def test_without_bytecode_the_source_is_read_and_nothing_written(self) -> None:
        """A tree that was not staged loads too, and stays as it is."""
        tree = self.tree({"shopx/a.py": "A = 1"})
        generation = Generation(8_999, tree, BOUNDARIES)
        self.addCleanup(generation.release)
        self.assertEqual(generation.load("shopx.a").A, 1)
        self.assertFalse(Path(importlib.util.cache_from_source(str(tree.root / "shopx/a.py"))).exists())

    def test_package_data_and_folders_without_init(self) -> None:
        """Data is read from the copy by ``__package__``; modules in a folder without ``__init__.py`` load."""
        generation = self.generation({"shopx/data/page.html": "<p>", "shopx/data/more.py": "NAME = __package__"})
        self.assertEqual(generation.load("shopx.data.more").NAME, f"{generation.name}.shopx.data")
        doors = self.generation({"shopx/doors/page.html": "<p>"}, "other").load("shopx.doors")
        self.assertEqual(importlib.resources.files(doors.__package__ or "").joinpath("page.html").read_text(), "<p>")

    def test_modules_lists_what_is_loaded(self) -> None:
        """Public names with the hashes of their sources; kernel modules are not among them."""
        generation = self.generation({"shopx/a.py": "import shopx.kernel", "shopx/b.py": ""})
        self.assertEqual(generation.modules(), {})
        generation.load("shopx.a")
        self.assertEqual(set(generation.modules()), {"shopx", "shopx.a"})
        self.assertEqual(generation.modules()["shopx.a"], generation.tree.files["shopx/a.py"])

    def test_two_generations_are_apart(self) -> None:
        """Old and new code run side by side, share the kernel and nothing else."""
        source = "from shopx.kernel import Fact\nVALUE = {}\nclass Sale(Fact): pass\ndef value():\n    return VALUE"
        old = self.generation({"shopx/sale.py": source.format(1)})
        new = self.generation({"shopx/sale.py": source.format(2)}, "new")
        first, second = old.load("shopx.sale"), new.load("shopx.sale")
        self.assertEqual((first.value(), second.value()), (1, 2))
        self.assertIsNot(first.Sale, second.Sale)
        self.assertIs(first.Fact, second.Fact)
        self.assertEqual(compare(old.tree, new.tree, BOUNDARIES).swappable, ("shopx.sale",))

    def test_a_number_is_used_once(self) -> None:
        """Two living generations of one number are refused; one finder serves them all."""
        generation = self.generation({})
        self.assertRaises(ValueError, Generation, generation.number, generation.tree, BOUNDARIES)
        finders = [finder for finder in sys.meta_path if type(finder).__name__ == "_GenerationFinder"]
        self.assertEqual(len(finders), 1)


class ReleaseTests(TreeCase):
    def test_released_code_is_freed(self) -> None:
        """After release and a collection no module, class or function is left, whatever the code used of them."""
        generation = self.generation({**SHAPES, "shopx/loop.py": "from shopx import shapes\nME = [shapes]"})
        module = generation.load("shopx.shapes")
        generation.load("shopx.loop")
        module.hints()
        inspect.getsource(module.Point)
        del module
        generation.release()
        gc.collect()
        self.assertEqual(generation.living(), 0, generation.holders())
        self.assertEqual(generation.holders(), [])
        self.assertFalse([name for name in sys.modules if name.partition(".")[0] == generation.name])
        self.assertFalse([key for key in linecache.cache if generation.name in key])

    def test_in_steps(self) -> None:
        """Nothing can be imported from the first one on; tables of the process forget it in the others."""
        generation = self.generation(SHAPES)
        module = generation.load("shopx.shapes")
        steps = generation.release_in_steps()
        self.assertFalse(generation.released)
        next(steps)
        self.assertTrue(generation.released)
        self.assertNotIn(module.__name__, sys.modules)
        self.assertIn(module.Point, copyreg.dispatch_table)
        self.assertGreaterEqual(len(list(steps)), 2)
        self.assertNotIn(module.Point, copyreg.dispatch_table)

    def test_release_again_does_nothing(self) -> None:
        """Releasing twice is releasing once."""
        generation = self.generation({"shopx/a.py": ""})
        generation.load("shopx.a")
        generation.release()
        generation.release()
        self.assertIn("released", repr(generation))

    def test_a_failed_load_is_freed_too(self) -> None:
        """A generation whose code raised can be dropped whole."""
        generation = self.generation(
            {"shopx/a.py": "class A: pass\nimport shopx.b", "shopx/b.py": "raise ValueError(1)"}
        )
        self.assertRaises(ValueError, generation.load, "shopx.a")
        self.flushLoggedErrors()
        generation.release()
        gc.collect()
        self.assertEqual(generation.living(), 0, generation.holders())

    def test_a_tree_scanned_again_finds_the_copy(self) -> None:
        """A restarted process loads from the copy, found by its hash."""
        staged = self.tree({"shopx/a.py": "A = 7"}).stage(self.folder / "code")
        generation = Generation(8_998, CodeTree.scan(staged.root, BOUNDARIES), BOUNDARIES)
        self.addCleanup(generation.release)
        self.assertEqual(generation.tree.hash, staged.root.name)
        self.assertEqual(generation.load("shopx.a").A, 7)
