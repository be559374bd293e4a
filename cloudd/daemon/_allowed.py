# -*- test-case-name: tests.daemon.test_allowed -*-
"""
Which code trees an upgrade may load.

Whoever can write a tree that is loaded can do what the daemon can; so a tree must be named in the settings (or be
the one that the daemon was started from) and only root and the daemon's own user may be able to change it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from cloudd.control import BOUNDARIES
from cloudd.interfaces.settings import UpgradeSettings
from reload import CodeTree, TreeError

from ._manifests import Proof, check_manifest


def allowed_tree(named: str, start: Path, trees: tuple[str, ...]) -> Path:
    """
    The folder that an operator named.

    :param named: absolute path, or empty for the start tree
    :param start: the tree that the daemon was started from
    :param trees: ``[upgrade] trees``: each may be loaded, and what lies below it
    :raises reload.TreeError: it must not be loaded
    """
    if not named:
        return start
    if "\0" in named or not Path(named).is_absolute():
        raise TreeError(named.replace("\0", "\\0"), "is not an absolute path")
    path = Path(named).resolve()
    allowed = [start.resolve(), *(Path(tree).resolve() for tree in trees)]
    if path != allowed[0] and not any(path.is_relative_to(tree) for tree in allowed[1:]):
        raise TreeError(path, "is not among the trees that may be loaded: add it to [upgrade] trees and restart")
    return path


def check_owners(tree: CodeTree, uid: int) -> None:
    """
    Refuse a tree that others may write.

    :param uid: the daemon's own user
    :raises reload.TreeError: a file, a folder, or a folder above the tree belongs to another user or is world-writable
    """
    for folder in tree.root.parents:
        _check_owner(folder, uid, allow_sticky=True)
    for path in _paths_of(tree):
        _check_owner(path, uid, allow_sticky=False)


def check_file_owner(path: Path, uid: int) -> None:
    """
    Refuse a file that others may change, or put another one in its place.

    :raises reload.TreeError: it or a folder above it belongs to another user or is world-writable
    """
    for folder in path.parents:
        _check_owner(folder, uid, allow_sticky=True)
    _check_owner(path, uid, allow_sticky=False)


def _paths_of(tree: CodeTree) -> Iterator[Path]:
    yield tree.root
    seen: set[Path] = set()
    for name in tree.files:
        path = tree.root / name
        yield path
        for folder in path.relative_to(tree.root).parents:
            if folder not in seen and folder != Path():
                seen.add(folder)
                yield tree.root / folder


def _check_owner(path: Path, uid: int, *, allow_sticky: bool) -> None:
    try:
        facts = path.lstat()
    except OSError as error:
        raise TreeError(path, f"cannot be examined: {error.strerror}") from error
    if facts.st_uid not in {0, uid}:
        who = "root" if uid == 0 else f"root or user {uid}"
        raise TreeError(path, f"belongs to user {facts.st_uid}; code that is loaded must belong to {who}")
    sticky = allow_sticky and facts.st_mode & stat.S_ISVTX
    if facts.st_mode & stat.S_IWOTH and not sticky:
        raise TreeError(path, "may be written by everyone: chmod o-w")


def scan_allowed(path: Path, settings: UpgradeSettings) -> tuple[CodeTree, Proof]:
    """
    Read a tree and check all that must be so before its code is loaded.  Blocks.

    :return: the tree, and what vouches for it
    :raises reload.TreeError: it must not be loaded
    """
    tree = CodeTree.scan(path, BOUNDARIES)
    check_owners(tree, os.geteuid())
    return tree, check_manifest(tree, settings)
