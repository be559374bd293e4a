"""Small code trees on disk for the tests of ``reload``."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

from reload import Boundaries, CodeTree, Generation

BOUNDARIES = Boundaries(roots=("shopx", "stockx"), kernel=("shopx.kernel", "shopx.doors.http"))
_numbers = count(9_000)  # far from what a daemon under test would use

KERNEL = {
    "shopx/__init__.py": "",
    "shopx/kernel/__init__.py": "from shopx.kernel.facts import Fact",
    "shopx/kernel/facts.py": "loads = []\nclass Fact: pass\nloads.append(__name__)",
    "shopx/doors/__init__.py": "",
    "shopx/doors/http/__init__.py": "class Request: pass",
    "stockx/__init__.py": "",
}


def write_tree(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write ``files`` (path -> text, dedented) below ``folder``, which becomes or stays a tree."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else dedent(content).encode())
    return folder


class TreeCase(SynchronousTestCase):
    """A test with trees; generations and plain modules it made are gone afterwards."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(parents=True)
        self.addCleanup(self._forget)

    def tree(self, files: Mapping[str, str | bytes], name: str = "tree") -> CodeTree:
        """A tree of the kernel and ``files``."""
        return CodeTree.scan(write_tree(self.folder / name, {**KERNEL, **files}), BOUNDARIES)

    def generation(self, files: Mapping[str, str | bytes], name: str = "tree") -> Generation:
        """A generation on a staged tree of the kernel and ``files``; the kernel is loaded from the tree."""
        tree = self.tree(files, name)
        if str(tree.root) not in sys.path:
            sys.path.insert(0, str(tree.root))
            self.addCleanup(sys.path.remove, str(tree.root))
        generation = Generation(next(_numbers), tree.stage(self.folder / "code"), BOUNDARIES)
        self.addCleanup(generation.release)
        return generation

    def _forget(self) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] in BOUNDARIES.roots]:
            del sys.modules[name]
        gc.collect()
