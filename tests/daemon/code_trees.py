"""Code trees of a very small cloudd, for the tests of upgrades."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import TestCase

from cloudd.control import BOUNDARIES
from reload import CodeTree
from tests.reload.wheels import write_wheel

FILES = {
    "cloudd/__init__.py": "",
    "cloudd/application.py": "VERSION = 1\n",
    "cloudd/daemon/__init__.py": "",
    "reload/__init__.py": "",
    "net/__init__.py": "",
    "storage/__init__.py": "",
}


class ThreadsAtOnce:
    """``Threads`` that call in the calling thread, at once."""

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        """The result, already there."""
        return maybeDeferred(function, *args, **kwargs)


class LoadAtOnce:
    """``reload.Load`` in the calling thread: it has ended when it is made."""

    def __init__(self, _reactor: object, function: Callable[[], Any], _name: str) -> None:
        self.result: Deferred[Any] = maybeDeferred(function)

    def give_up(self) -> None:
        """Too late."""


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

    def write_wheel(self, number: int) -> Path:
        """A wheel of that version, in a folder of its own."""
        files = {**FILES, "cloudd/application.py": f"VERSION = {number}\n"}
        folder = self.folder / "wheels"
        folder.mkdir(exist_ok=True)
        return write_wheel(folder / f"shopx-{number}.0-py3-none-any.whl", files, facts=f"shopx-{number}.0.dist-info")

    def write_environment(self, name: str = "venv", twisted: str = "24.7.0") -> Path:
        """A virtual environment with version 1 installed; its interpreter is no program."""
        prefix, home = self.folder / name, self.folder / "base/bin"
        site_packages = prefix / "lib/python3.11/site-packages"
        self.write_tree(site_packages, {"cloudd/application.py": "VERSION = 1\n", "twisted/__init__.py": ""})
        facts = [site_packages / f"{name}.dist-info" for name in (f"Twisted-{twisted}", "cloudd-2")]
        for folder in (prefix / "bin", home, home.parent / "lib/python3.11", *facts):
            folder.mkdir(parents=True, exist_ok=True)
        (home / "python").write_text("")
        (home / "python").chmod(0o755)
        (prefix / "bin/python3").symlink_to(home / "python")
        (prefix / "bin/python").symlink_to("python3")
        (prefix / "pyvenv.cfg").write_text(f"home = {home}\nversion = 3.11.7\n")
        return prefix

    def version(self, number: int, name: str = "start") -> CodeTree:
        """A tree whose application has that version."""
        return self.write_tree(self.folder / name, {"cloudd/application.py": f"VERSION = {number}\n"})
