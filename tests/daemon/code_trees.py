"""Code trees of a very small cloudd, for the tests of upgrades."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import TestCase

from cloudd.control import BOUNDARIES
from reload import CodeTree

FILES = {
    "cloudd/__init__.py": "",
    "cloudd/application.py": "VERSION = 1\n",
    "cloudd/daemon/__init__.py": "",
    "reload/__init__.py": "",
    "storage/__init__.py": "",
}


class ThreadsAtOnce:
    """``Threads`` that call in the calling thread, at once."""

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        """The result, already there."""
        return maybeDeferred(function, *args, **kwargs)


class CodeTreeCase(TestCase):
    """A test with a folder, a start tree in it and a state folder."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.state = self.folder / "state"
        self.code = self.state / "code"
        self.start = self.folder / "start"
        self.code.mkdir(parents=True)
        self.write_tree(self.start, {})

    def write_tree(self, root: Path, changes: Mapping[str, str]) -> CodeTree:
        """Write the small cloudd with ``changes`` (path -> text) to ``root``."""
        for name, text in {**FILES, **changes}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return CodeTree.scan(root, BOUNDARIES)

    def version(self, number: int, name: str = "start") -> CodeTree:
        """A tree whose application has that version."""
        return self.write_tree(self.folder / name, {"cloudd/application.py": f"VERSION = {number}\n"})
