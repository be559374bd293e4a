# -*- test-case-name: tests.image_cache.test_holding -*-
"""
Which files servers of this host need: images, which their disks name too, kernels and ramdisks.  All of this blocks.

``FOLDER/held/<server id>`` has names of files of the cache, one a line.  It is written whole, and goes with the server.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

HELD: Final = "held"
_SERVER: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")
_PARTIAL: Final = ".part-"


def hold(folder: Path, server_id: str, files: Iterable[Path]) -> None:
    """
    A server needs these files, and none that it was said to need before.

    :param folder: of the cache
    :raises OSError: that cannot be written; what was said before holds
    """
    place = _place(folder, server_id)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(prefix=_PARTIAL, dir=place.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as opened:
            opened.writelines(f"{each.name}\n" for each in files)
            opened.flush()
            os.fsync(opened.fileno())
        Path(partial).replace(place)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(partial).unlink(missing_ok=True)
        raise


def release(folder: Path, server_id: str) -> None:
    """It needs none any more; safe to call again."""
    _place(folder, server_id).unlink(missing_ok=True)


def held_by(folder: Path, server_id: str) -> list[Path]:
    """
    What a server was said to need, in that order; none where nothing was said of it, or where one is there no more.

    :raises OSError: that cannot be read
    """
    try:
        names = _place(folder, server_id).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    files = [folder / name for name in names]
    return files if all(each.exists() for each in files) else []


def held(folder: Path) -> set[Path]:
    """
    All that some server needs.

    :raises OSError: that cannot be read: then nothing is known of any
    """
    found: set[Path] = set()
    place = folder / HELD
    if not place.exists():
        return found
    for each in place.iterdir():
        if not each.name.startswith(_PARTIAL):
            with contextlib.suppress(FileNotFoundError):
                found |= {(folder / name).resolve() for name in each.read_text(encoding="utf-8").splitlines()}
    return found


def _place(folder: Path, server_id: str) -> Path:
    if not _SERVER.fullmatch(server_id):
        raise ValueError(f"{server_id[:80]!r} is no id of a server")
    return folder / HELD / server_id
