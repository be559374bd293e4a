"""The code of modules: read once for all generations that have the same file."""

from __future__ import annotations

import linecache
import shutil
import traceback
from typing import Any
from unittest import mock

from reload import Generation
from reload._module_code import ModuleCode

from .trees import TreeCase

SAME = """
    class Same:
        def fail(self):
            raise ValueError(self)
    def same():
        return 1
"""
OLD = {"shopx/same.py": SAME, "shopx/other.py": "def other():\n    return 'old'\n"}
NEW = {"shopx/same.py": SAME, "shopx/other.py": "def other():\n    return 'new'\n"}


def lines_of_error(module: Any) -> str:
    try:
        module.Same().fail()
    except ValueError:
        linecache.checkcache()
        return traceback.format_exc()
    raise AssertionError


class ModuleCodeTests(TreeCase):
    def both(self) -> tuple[Generation, Generation]:
        old, new = self.generation(OLD, "old"), self.generation(NEW, "new")
        for generation in (old, new):
            generation.load("shopx.same")
            generation.load("shopx.other")
        return old, new

    def test_of_the_same_file_once(self) -> None:
        old, new = (generation.load("shopx.same") for generation in self.both())
        self.assertIs(old.same.__code__, new.same.__code__)
        self.assertIsNot(old.same, new.same)
        self.assertIsNot(old.Same, new.Same)

    def test_of_a_changed_file_anew(self) -> None:
        old, new = self.both()
        self.assertEqual((old.load("shopx.other").other(), new.load("shopx.other").other()), ("old", "new"))

    def test_not_of_a_file_of_the_same_text_elsewhere(self) -> None:
        generation = self.generation({"shopx/a.py": SAME, "shopx/b.py": SAME})
        first, second = generation.load("shopx.a"), generation.load("shopx.b")
        self.assertIsNot(first.same.__code__, second.same.__code__)
        self.assertTrue(second.same.__code__.co_filename.endswith("shopx/b.py"))

    def test_is_not_read_again(self) -> None:
        old, new = self.generation(OLD, "old"), self.generation(OLD, "old")
        old.load("shopx.same")
        with mock.patch("importlib._bootstrap_external.SourceFileLoader.get_code", side_effect=AssertionError):
            new.load("shopx.same")

    def test_outlives_where_it_was_read(self) -> None:
        """The third generation has it of the second, which had it of the first."""
        old, new = self.both()
        code = old.load("shopx.same").same.__code__
        old.release()
        third = self.generation(NEW, "new")
        new_code = new.load("shopx.same").same.__code__
        self.assertIs(third.load("shopx.same").same.__code__, code)
        self.assertIs(new_code, code)

    def test_lines_of_tracebacks(self) -> None:
        """They are there when the copy that the code was read from is gone, and forgotten when nobody has it."""
        old, new = self.both()
        module = new.load("shopx.same")
        shown = "raise ValueError(self)"
        self.assertIn(shown, lines_of_error(module))
        old.release()
        shutil.rmtree(old.tree.root)
        path = module.same.__code__.co_filename
        self.assertTrue(path.startswith(str(old.tree.root)))
        for _ in range(2):
            self.assertIn(shown, lines_of_error(module))
        new.release()
        self.assertNotIn(path, linecache.cache)

    def test_lines_when_no_copy_is_left(self) -> None:
        old, new = self.both()
        module = new.load("shopx.same")
        old.release()
        for generation in (old, new):
            shutil.rmtree(generation.tree.root)
        lines = lines_of_error(module)
        self.assertIn("in fail", lines)
        self.assertNotIn("raise ValueError(self)", lines)

    def test_files_that_are_of_no_tree_are_read_each_time(self) -> None:
        tree = self.tree({})
        first, second = ModuleCode(tree), ModuleCode(tree)
        self.addCleanup(first.close)
        self.addCleanup(second.close)
        code = compile("", "x", "exec")
        self.assertIs(first.of(f"{tree.root}/nowhere.py", lambda: code), code)
        self.assertIsNone(second.of(f"{tree.root}/nowhere.py", lambda: None))
