# -*- test-case-name: tests.daemon.test_generations -*-
"""
Where a worker gets generations from: the one that its loader loaded before the fork, and staged copies.

Loading takes a second of CPU.  The loader does it once, and its forks share the memory; a worker that boots newer code,
after a swap, loads its own, with the code of all modules that are still the same, and drops that generation.
"""

from __future__ import annotations

from importlib.util import cache_from_source
from pathlib import Path

from cloudd.control import BOUNDARIES
from reload import CodeTree, Generation, QuietLoading, TreeError

APPLICATION = "cloudd.application"


class CodeSource:
    """
    :param folder: ``STATE/code``
    :param preloaded: what the loader loaded, if anything
    """

    def __init__(self, folder: Path, preloaded: Generation | None = None) -> None:
        self._folder = folder
        self._preloaded = preloaded

    def open(self, number: int, tree_hash: str) -> Generation:
        """
        A generation of that number from that copy; nothing may be loaded of it yet.  Blocks.

        :raises reload.TreeError: the copy is gone or was changed
        """
        ready = self._preloaded
        if ready is not None and ready.number == number:
            self._preloaded = None
            if ready.tree.hash == tree_hash:
                return ready
            ready.release()
        with QuietLoading():
            copy = CodeTree.scan(self._folder / tree_hash, BOUNDARIES)
        if copy.hash != tree_hash:
            raise TreeError(copy.root, "the copy was changed since it was staged: start the upgrade again")
        return Generation(number, copy, BOUNDARIES)

    def take_unneeded(self) -> Generation | None:
        """What was loaded before the fork, if another one was opened since; to be released."""
        unneeded, self._preloaded = self._preloaded, None
        return unneeded


def preload(number: int, root: Path) -> Generation | None:
    """
    Load a generation before any worker is forked.

    :param root: a staged copy
    :return: None when it cannot be loaded; a worker that tries it again reports why
    """
    try:
        tree = CodeTree.scan(root, BOUNDARIES)
        if not Path(cache_from_source(str(root / "cloudd" / "application.py"))).exists():
            tree.stage(root.parent)  # the bytecode is of another Python: add ours
        generation = Generation(number, tree, BOUNDARIES)
    except (TreeError, ValueError, OSError):
        return None
    try:
        with QuietLoading():
            application = generation.load(APPLICATION)
            if hasattr(application, "make_ready"):  # older code has none
                application.make_ready()
    except Exception:
        generation.release()
        return None
    return generation
