"""This project's own code: as generations all of it stays inside and is freed; its headers name tests that exist."""

from __future__ import annotations

import gc
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import cloudd
from cloudd.control import BOUNDARIES
from reload import CodeTree, Generation

ROOT = Path(cloudd.__file__).parent.parent


class OwnCodeTests(SynchronousTestCase):
    def test_every_swappable_module_loads_beside_itself_and_is_freed(self) -> None:
        """Two generations of all modules share no class, and after release nothing holds them."""
        tree = CodeTree.scan(ROOT, BOUNDARIES)
        names = [name for name in tree.modules() if BOUNDARIES.is_swappable(name)]
        generations = [Generation(number, tree, BOUNDARIES) for number in (7_001, 7_002)]
        for generation in generations:
            self.addCleanup(generation.release)
            for name in names:
                self.assertEqual(generation.load(name).__name__, f"{generation.name}.{name}")
            self.assertEqual(set(generation.modules()), set(names))
        for generation in generations:
            generation.release()
        gc.collect()
        for generation in generations:
            self.assertEqual(generation.living(), 0, generation.holders())

    def test_headers_name_tests(self) -> None:
        """What a module's first line calls its tests is there."""
        missing = []
        for package in ("cloudd", "net", "reload", "storage"):
            for module in sorted((ROOT / package).rglob("*.py")):
                named = re.search(r"test-case-name: ([\w.,]+)", module.read_text().partition("\n")[0])
                for name in named[1].split(",") if named else ():
                    place = ROOT / name.replace(".", "/")
                    if not (place.is_dir() or place.with_suffix(".py").is_file()):
                        missing.append(f"{module.relative_to(ROOT)}: {name}")
        self.assertEqual(missing, [])
