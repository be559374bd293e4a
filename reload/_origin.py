# -*- test-case-name: tests.reload.test_origin -*-
"""
Where code comes from: a folder with the packages, a wheel, or a virtual environment into which it was installed.

The first two are code alone and run with the interpreter that runs already; the third brings an interpreter and the
versions of all other packages with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal

from attrs import frozen

from ._boundaries import Boundaries
from ._environment import Environment, environment_of, is_environment
from ._tree import CodeTree, TreeError, is_wheel

OriginKind = Literal["tree", "wheel", "environment"]


@frozen
class CodeOrigin:
    """
    Code that was looked at and not run.

    :param kind: what ``path`` is
    :param path: absolute, without links
    :param tree: the code, to be staged; its ``root`` is ``path``, or the ``site-packages`` of an environment
    :param environment: what new processes would run in; None: what this one runs in
    """

    kind: OriginKind
    path: Path
    tree: CodeTree
    environment: Environment | None = None

    @classmethod
    def at(cls, path: Path, boundaries: Boundaries, besides: Collection[str] = ()) -> CodeOrigin:
        """
        Read what lies at ``path``.  Blocks; runs nothing.

        :param path: a folder that holds the root packages, a wheel, an environment or its ``site-packages``
        :param besides: distributions that do not count in the environment's fingerprint: those that ``tree`` is of
        :raises TreeError: it is none of the three, or not such that its code could be used
        """
        path = path.resolve()
        prefix = path.parents[2] if path.name == "site-packages" else path
        if is_environment(prefix):
            environment = environment_of(prefix, besides)
            return cls("environment", prefix, _installed(environment, boundaries), environment)
        return cls("wheel" if is_wheel(path) else "tree", path, CodeTree.scan(path, boundaries))

    def needs_new_process(self, running: Environment | None) -> list[str]:
        """
        Why this code cannot be loaded into a process of another environment, whatever of the code has changed.

        :param running: what the process runs in; None: in none, but with an interpreter of the system
        :return: a line for each difference; empty: it can
        """
        if self.environment is None:
            return []
        if running is None:
            return [f"Python of the system -> {self.environment.version} in {self.path}"]
        return running.differences(self.environment)

    def trusted_paths(self) -> Iterator[Path]:
        """
        All files and folders whose writers decide what runs; what lies above them is not named.

        :raises TreeError: something there cannot be judged
        """
        yield self.tree.root
        if self.kind != "wheel":
            yield from _paths_of(self.tree)
        if self.environment is not None:
            yield from self.environment.trusted_paths()


def _installed(environment: Environment, boundaries: Boundaries) -> CodeTree:
    root = environment.site_packages
    for package in boundaries.roots:
        if not (root / package).is_dir():
            raise TreeError(root, f"{package!r} is not installed there; of an editable installation give the checkout")
    return CodeTree.scan(root, boundaries)


def _paths_of(tree: CodeTree) -> Iterator[Path]:
    seen: set[Path] = set()
    for name in tree.files:
        path = tree.root / name
        yield path
        for folder in path.relative_to(tree.root).parents:
            if folder not in seen and folder != Path():
                seen.add(folder)
                yield tree.root / folder
