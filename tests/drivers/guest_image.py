"""The guest that tests boot: ``script/guest-image``, built once for a checkout."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from attrs import frozen

CHECKOUT = Path(__file__).resolve().parent.parent.parent


@frozen
class GuestImage:
    """
    :ivar disk: qcow2 with a boot loader of its own
    :ivar arguments: for ``kernel``
    """

    kernel: Path
    initrd: Path
    disk: Path
    arguments: str


@cache
def guest_image() -> GuestImage:
    folder = CHECKOUT / "build/guest-image"
    done = subprocess.run([CHECKOUT / "script/guest-image", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kernel, initrd, disk = map(Path, done.stdout.split())
    return GuestImage(kernel, initrd, disk, (folder / "arguments").read_text().strip())
