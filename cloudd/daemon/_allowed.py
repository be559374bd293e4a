# -*- test-case-name: tests.daemon.test_allowed -*-
"""
Which code an upgrade may load: from folders, wheels and virtual environments.

Whoever can write code that is loaded can do what the daemon can; so it must be named in the settings (or be what the
daemon was started from) and only root and the daemon's own user may be able to change it, and all that decides
what an environment's interpreter runs.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from cloudd.control import BOUNDARIES
from cloudd.interfaces.settings import UpgradeSettings
from reload import CodeOrigin, Environment, TreeError, environment_of

from ._manifests import Proof, check_manifest
from ._writers import Writers

DISTRIBUTIONS = ("cloudd",)
"""What the trees are of: they are compared by file, whatever version the distribution says."""


def allowed_tree(named: str, start: Path, trees: tuple[str, ...]) -> Path:
    """
    The folder or file that an operator named.

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


def check_owners(origin: CodeOrigin, uid: int) -> None:
    """
    Refuse code that others may write.

    :param uid: the daemon's own user
    :raises reload.TreeError: a file, a folder, or a folder above them belongs to another user, or may be written by
        everyone or by a group of several users
    """
    writers = Writers(uid)
    trusted = dict.fromkeys(origin.trusted_paths())
    above: set[Path] = set()
    for path in trusted:
        if path.parent not in trusted and path.parent not in above:
            above |= {path.parent, *path.parent.parents}
    for folder in sorted(above - trusted.keys(), reverse=True):
        _check_owner(folder, uid, writers, allow_sticky=True)
    for path in trusted:
        _check_owner(path, uid, writers, allow_sticky=False)


def check_file_owner(path: Path, uid: int) -> None:
    """
    Refuse a file that others may change, or put another one in its place.

    :raises reload.TreeError: it or a folder above it belongs to another user, or may be written by others
    """
    writers = Writers(uid)
    for folder in path.parents:
        _check_owner(folder, uid, writers, allow_sticky=True)
    _check_owner(path, uid, writers, allow_sticky=False)


def _check_owner(path: Path, uid: int, writers: Writers, *, allow_sticky: bool) -> None:
    try:
        facts = path.lstat()
    except OSError as error:
        raise TreeError(path, f"cannot be examined: {error.strerror}") from error
    if facts.st_uid not in {0, uid}:
        who = "root" if uid == 0 else f"root or user {uid}"
        raise TreeError(path, f"belongs to user {facts.st_uid}; code that is loaded must belong to {who}")
    others = writers.others(path, facts)
    if others and not (allow_sticky and facts.st_mode & stat.S_ISVTX):
        raise TreeError(path, others)


def own_environment() -> Environment | None:
    """What this process runs in; None: in no virtual environment, or in one that cannot be compared with others."""
    try:
        return environment_of(Path(sys.executable), DISTRIBUTIONS)
    except TreeError:
        return None


def scan_allowed(path: Path, settings: UpgradeSettings) -> tuple[CodeOrigin, Proof]:
    """
    Read code and check all that must be so before it is loaded.  Blocks; runs nothing of it.

    :return: the code, with the interpreter that it brings, and what vouches for it
    :raises reload.TreeError: it must not be loaded
    """
    origin = CodeOrigin.at(path, BOUNDARIES, DISTRIBUTIONS)
    check_owners(origin, os.geteuid())
    return origin, check_manifest(origin.tree, settings)
