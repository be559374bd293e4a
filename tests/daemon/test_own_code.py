"""This project's own code, loaded as generations: all of it stays inside, and all of it is freed."""

from __future__ import annotations

import gc
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
