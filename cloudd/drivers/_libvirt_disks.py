# -*- test-case-name: tests.drivers.test_libvirt_disks -*-
"""
The root disks of guests, by qemu-img.

Each is a qcow2 layer above an image that is only read.  A file gets its name when it is complete.  All of this blocks;
nothing here may be called for the disk of a guest that runs.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from cloudd.interfaces.servers import DriverError, Guest

from ._full import FULL, ROOM

QUICK_S: Final = 60.0  # a new layer, a bigger one
COPY_S: Final = 4 * 3600.0  # a whole disk
# qemu-img itself may be led astray by a file: Nova bounds it likewise (CVE-2015-5162).
_MEMORY_BYTES: Final = 1 << 30
_CPU_S: Final = 30
FORMATS: Final = ("raw", "qcow2")


def make_layer(guest: Guest, file: Path) -> None:
    """
    Make the root disk of ``guest``, whatever is at ``file``.

    :raises DriverError: see its cause; ``file`` is as it was
    """
    partial = file.with_suffix(".part")
    backing: list[str] = []
    if guest.image is not None:
        if guest.image_format not in FORMATS:
            raise DriverError(f"image_format is {guest.image_format!r}", f"Convert the image to one of {FORMATS}")
        if not guest.image.is_file():
            raise DriverError(f"the image {guest.image} is not there", "Fetch it again")
        backing = ["-b", str(guest.image.resolve()), "-F", guest.image_format]
        least = _image_bytes(guest.image, guest.image_format)
        if guest.disk_bytes < least:
            raise DriverError(f"disk_bytes is {guest.disk_bytes}; the image needs {least}", "Take a bigger flavor")
    with _dropped_if_failed(partial):
        _run(["create", "-q", "-f", "qcow2", *backing, str(partial), str(guest.disk_bytes)], QUICK_S)
        keep(partial, file)


def virtual_bytes(file: Path) -> int:
    """The size that a guest sees, of a layer."""
    return int(_info(file, "qcow2")["virtual-size"])


def check_kept(guest: Guest, file: Path) -> None:
    """
    Whether the disk at ``file`` may stay, as the disk of ``guest``.

    :raises DriverError: it was made from another image, which would be read below what the guest wrote, or it is bigger
    """
    told = _info(file, "qcow2")
    below = str(told.get("full-backing-filename") or told.get("backing-filename") or "")
    image = str(guest.image.resolve()) if guest.image is not None else ""
    if below != image or (image and told.get("backing-filename-format") != guest.image_format):
        raise DriverError(
            f"image is {image or 'none'}, as {guest.image_format}; the disk was made from {below or 'none'}",
            "Rebuild the server to have another image",
        )
    if guest.disk_bytes < int(told["virtual-size"]):
        raise DriverError(
            f"disk_bytes is {guest.disk_bytes}", f"The disk has {told['virtual-size']} and cannot be made smaller"
        )


def grow(file: Path, size_bytes: int) -> None:
    """Make it at least that big."""
    if virtual_bytes(file) < size_bytes:
        _run(["resize", "-q", "-f", "qcow2", str(file), str(size_bytes)], QUICK_S)


def flatten(file: Path, target: Path) -> None:
    """Write the layer and all below it as one qcow2 file."""
    partial = target.with_name(f"{target.name}.part")
    with _dropped_if_failed(partial):
        _run(["convert", "-q", "-f", "qcow2", "-O", "qcow2", str(file), str(partial)], COPY_S)
        keep(partial, target)


@contextmanager
def _dropped_if_failed(partial: Path) -> Iterator[None]:
    """On a full disk half a file is what others have no room for."""
    try:
        yield
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def keep(partial: Path, target: Path) -> None:
    """Give a complete file its name."""
    _sync(partial)
    partial.replace(target)


def _image_bytes(image: Path, kind: str) -> int:
    """
    :raises DriverError: it has other files below or beside it, which could be any of the host's
    """
    told = _info(image, kind)
    if "backing-filename" in told or "data-file" in told.get("format-specific", {}).get("data", {}):
        raise DriverError(f"the image {image} refers to other files", "Make one without them and upload that")
    return int(told["virtual-size"])


def _info(file: Path, kind: str) -> dict[str, Any]:
    told = _run(["info", "--output=json", "-U", "-f", kind, str(file)], QUICK_S, bounded=True)
    facts: dict[str, Any] = json.loads(told)
    return facts


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _run(words: list[str], patience_s: float, bounded: bool = False) -> bytes:
    limits = ["prlimit", f"--as={_MEMORY_BYTES}", f"--cpu={_CPU_S}", "--"] if bounded else []
    try:
        command = [*limits, "qemu-img", *words]
        done = subprocess.run(command, capture_output=True, timeout=patience_s, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise DriverError(
            f"qemu-img {words[0]} took more than {patience_s:.0f} s", "Look at the host's disks"
        ) from None
    except OSError as error:
        raise DriverError(f"qemu-img cannot be run ({error.strerror})", "Install qemu-utils") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-500:]
        if os.strerror(errno.ENOSPC) in said:
            raise DriverError(f"{FULL}: qemu-img {words[0]} says: {said}", ROOM)
        raise DriverError(f"qemu-img {words[0]} failed: {said}", "See whether the host's disk is full")
    return done.stdout
