"""What attrs writes for classes of generations: compiled once, and as if it were not."""

from __future__ import annotations

from textwrap import dedent
from typing import Any
from unittest import mock

import attr._make

from reload import _attrs_code as attrs_code

from .trees import TreeCase

POINTS = """
from attrs import define, field, frozen

@frozen
class Point:
    x: int
    y: int = field(default=0, converter=int)

@define
class Same:
    x: int
"""
OTHER = """
@frozen
class Other:
    x: int
    y: int = field(default=0, converter=int)
"""


class AttrsCodeTests(TreeCase):
    def setUp(self) -> None:
        super().setUp()
        attrs_code._compile_once.cache_clear()

    def load(self, text: str = POINTS, tree: str = "tree") -> Any:
        return self.generation({"shopx/points.py": text}, tree).load("shopx.points")

    def test_once_for_all_generations(self) -> None:
        first = self.load()
        self.assertEqual(2, attrs_code._compile_once.cache_info().misses)
        second = self.load()
        self.assertEqual(2, attrs_code._compile_once.cache_info().misses)
        self.assertIs(first.Point.__init__.__code__, second.Point.__init__.__code__)

    def test_each_generation_has_its_own_functions(self) -> None:
        first, second = self.load(), self.load()
        self.assertIsNot(first.Point.__init__, second.Point.__init__)
        self.assertIsNot(first.Point.__init__.__globals__, second.Point.__init__.__globals__)
        self.assertEqual(second.__name__, second.Point.__init__.__module__)

    def test_values_behave(self) -> None:
        first, second = self.load(), self.load()
        self.assertEqual(second.Point(1, "2"), second.Point(1, 2))
        self.assertEqual(hash(second.Point(1, "2")), hash(second.Point(1, 2)))
        self.assertNotEqual(hash(second.Point(1, 2)), hash(second.Point(2, 1)))
        self.assertNotEqual(first.Point(1, 2), second.Point(1, 2))
        self.assertEqual("Point(x=1, y=2)", repr(second.Point(1, 2)))

    def test_hash_tells_classes_apart(self) -> None:
        points = self.load(POINTS + OTHER)
        self.assertNotEqual(hash(points.Point(1, 2)), hash(points.Other(1, 2)))

    def test_other_code_of_the_same_class_is_compiled(self) -> None:
        self.load()
        changed = self.load(POINTS.replace("    x: int\n", "    x: int\n    z: int\n", 1), "changed")
        self.assertEqual(3, changed.Point(1, z=3).z)

    def test_file_name_tells_the_class(self) -> None:
        code = self.load().Point.__init__.__code__
        self.assertEqual("<attrs generated methods shopx.points.Point>", code.co_filename)

    def test_other_classes_are_compiled_as_ever(self) -> None:
        attrs_code.keep_compiled()
        namespace: dict[str, Any] = {"__name__": "elsewhere"}
        exec(dedent(POINTS), namespace)
        self.assertEqual(0, attrs_code._compile_once.cache_info().currsize)
        self.assertEqual(namespace["Point"](1), namespace["Point"](1, "0"))

    def test_attrs_compiles_by_this_name(self) -> None:
        """A release of attrs that does it otherwise would make each load slow without a word."""
        with mock.patch.object(attrs_code, "compile", wraps=compile, create=True) as compiled:
            self.load()
        self.assertEqual(2, compiled.call_count)
        self.assertIs(attrs_code._compile, vars(attr._make)["compile"])
