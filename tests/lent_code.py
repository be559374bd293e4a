"""Code that was staged once, lent to the daemons under test: each would compile the same for more than a second."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from cloudd.control import BOUNDARIES
from reload import CodeTree

CHECKOUT = Path(__file__).resolve().parent.parent


def lend_code(state: Path) -> None:
    """
    Before its first start: links in a daemon's state folder to a copy of the checkout that is staged already.

    A state folder on a file system of its own is left to the daemon.
    """
    if not state.exists() and state.parent.stat().st_dev == _staged().stat().st_dev:
        state.mkdir(mode=0o700)
        shutil.copytree(_staged(), state / "code", copy_function=os.link)


@cache
def _staged() -> Path:
    """A folder of staged copies."""
    folder = Path(tempfile.mkdtemp(prefix="cloudd-code-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    CodeTree.scan(CHECKOUT, BOUNDARIES).stage(folder)
    return folder
