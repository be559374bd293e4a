"""Wheels and virtual environments of small trees, for the tests of where code comes from."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from .trees import KERNEL, TreeCase, write_tree

WHEEL_NAME = "shopx-1.0-py3-none-any.whl"
FACTS = "shopx-1.0.dist-info"

Change = Callable[[list[tuple[zipfile.ZipInfo, bytes]]], None]


def record_line(name: str, content: bytes) -> str:
    """A line of ``RECORD``."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"


def write_wheel(
    path: Path,
    files: Mapping[str, str | bytes],
    record: str | None = None,
    change: Change = lambda _: None,
    facts: str = FACTS,
) -> Path:
    """
    Write ``files`` as a wheel.

    :param record: what ``RECORD`` holds; None: what is right
    :param facts: name of its ``.dist-info`` folder
    :param change: gets the entries before they are written
    """
    contents = {name: data if isinstance(data, bytes) else data.encode() for name, data in files.items()}
    contents = {f"{facts}/METADATA": b"Name: shopx\n", f"{facts}/WHEEL": b"Wheel-Version: 1.0\n", **contents}
    right = "".join(record_line(name, data) for name, data in contents.items()) + f"{facts}/RECORD,,\n"
    contents[f"{facts}/RECORD"] = (right if record is None else record).encode()
    entries = [(zipfile.ZipInfo(name), data) for name, data in contents.items()]
    for entry, _data in entries:
        entry.external_attr = 0o100644 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
    change(entries)
    with zipfile.ZipFile(path, "w") as archive:
        for entry, data in entries:
            archive.writestr(entry, data)
    return path


class OriginCase(TreeCase):
    """A test with trees, wheels and virtual environments."""

    def wheel(
        self, files: Mapping[str, str | bytes], record: str | None = None, change: Change = lambda _: None
    ) -> Path:
        """A wheel of the kernel and ``files``."""
        return write_wheel(self.folder / WHEEL_NAME, {**KERNEL, **files}, record, change)

    def environment(
        self,
        name: str = "venv",
        *,
        version: str = "3.11.7",
        installed: tuple[str, ...] = ("Twisted-24.7.0", "zope_interface-7.0"),
        base: str = "base",
        configuration: str = "",
    ) -> Path:
        """A virtual environment in which the kernel tree is installed; nothing in it can run."""
        prefix, home = self.folder / name, self.folder / base / "bin"
        library = f"python{'.'.join(version.split('.')[:2])}"
        site_packages = prefix / "lib" / library / "site-packages"
        for folder in (prefix / "bin", site_packages, home, home.parent / "lib" / library):
            folder.mkdir(parents=True, exist_ok=True)
        (home / "python").write_text("")
        (home / "python").chmod(0o755)
        if not (prefix / "bin/python").is_symlink():
            (prefix / "bin/python3").symlink_to(home / "python")
            (prefix / "bin/python").symlink_to("python3")
        text = configuration or f"home = {home}\ninclude-system-site-packages = false\nversion = {version}\n"
        (prefix / "pyvenv.cfg").write_text(text)
        write_tree(site_packages, {f"{facts}.dist-info/METADATA": "" for facts in (*installed, "shopx-1.0")})
        write_tree(site_packages, KERNEL)
        return prefix
