# -*- test-case-name: tests.reload.test_tree -*-
"""
A code tree: which files a set of packages has, and one hash that names them all.

A tree is known by its manifest, a text of one line per file sorted by path.  Two trees with equal manifests hold equal
code, wherever they lie.  Left out are files that follow from others or belong to tools: ``__pycache__``,
bytecode, ``dropin.cache``, names that begin with a dot and editors' backups that end with ``~``.

Everything here reads the disk and may block: call it in a thread.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from attrs import Factory, field, frozen

from ._boundaries import Boundaries
from ._pacing import rest

MANIFEST_HEADER = b"code-manifest 1\n"
LEFT_OUT = frozenset({"__pycache__", "dropin.cache"})
LEFT_OUT_SUFFIXES = (".pyc", ".pyo", "~")


class TreeError(Exception):
    """A folder cannot be used as a code tree; ``path`` says where, ``cause`` why, in words."""

    def __init__(self, path: Path | str, cause: str) -> None:
        super().__init__(f"{path}: {cause}")
        self.path = str(path)
        self.cause = cause


class TreeChanged(TreeError):
    """A file changed while the tree was being copied: nothing was kept; try again when the tree is still."""


class ManifestMismatch(TreeError):
    """The manifest does not describe the tree; ``differences`` has a line per file."""

    def __init__(self, path: Path | str, differences: tuple[str, ...]) -> None:
        shown = "; ".join(differences[:5]) + (f"; and {len(differences) - 5} more" if len(differences) > 5 else "")
        super().__init__(path, f"the manifest does not fit: {shown}")
        self.differences = differences


def _frozen_mapping(files: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(sorted(files.items())))


@frozen
class CodeTree:
    """
    The files of some root packages, by content.

    :param root: the folder that holds the root packages, or the wheel, which must be staged before it can be loaded
    :param files: path relative to ``root`` with ``/`` -> SHA-256 of the content as 64 hex digits
    """

    root: Path
    files: Mapping[str, str] = field(converter=_frozen_mapping)
    hash: str = field(
        init=False, default=Factory(lambda self: hashlib.sha256(self.manifest()).hexdigest(), takes_self=True)
    )

    @classmethod
    def scan(cls, root: Path, boundaries: Boundaries) -> CodeTree:
        """
        Read every file below the root packages of ``boundaries``.

        :param root: the folder that holds the packages, or a wheel (``*.whl``); may be a symbolic link itself, nothing
            below it may
        :raises TreeError: a root package is missing, a file cannot be read, or something is neither a
            regular file nor a folder (symbolic links are refused: a copy could not be told from what it points to)
        """
        root = root.resolve()
        if is_wheel(root):
            from ._wheel import scan_wheel

            return scan_wheel(root, boundaries)
        files: dict[str, str] = {}
        for package in sorted(boundaries.roots):
            top = root / package
            if not (top / "__init__.py").is_file() or top.is_symlink():
                raise TreeError(root, f"not a code tree: there is no package {package!r} in it")
            for path in _files_below(top):
                rest()
                files[_relative_name(path, root)] = _digest(path)
        return cls(root, files)

    def manifest(self) -> bytes:
        """
        The tree as text: a header that names the format's version, then ``SHA-256``, two spaces, path, a line per file.

        ``sha256sum --check`` reads the lines after the header.
        """
        lines = [f"{digest}  {path}\n" for path, digest in self.files.items()]
        return MANIFEST_HEADER + "".join(lines).encode()

    def verify_manifest(self, manifest: bytes) -> None:
        """
        Compare the tree with a manifest that someone made earlier.

        :raises ManifestMismatch: files differ, are missing or are too many
        :raises TreeError: this is not a manifest, or of a version this code does not know
        """
        listed = parse_manifest(manifest, self.root)
        differences = [f"{path} is missing" for path in listed.keys() - self.files.keys()]
        differences += [f"{path} is not listed" for path in self.files.keys() - listed.keys()]
        differences += [f"{path} differs" for path, digest in self.files.items() if listed.get(path, digest) != digest]
        if differences:
            raise ManifestMismatch(self.root, tuple(sorted(differences)))

    def stage(self, folder: Path) -> CodeTree:
        """
        Copy the tree to ``folder/<hash>``, bytecode included, so that it outlives the original; see ``reload._stage``.

        Safe to call again and from several threads and processes at once: all get the same copy.

        :raises TreeChanged: a file is no longer what was scanned
        :raises TreeError: a file cannot be read, or does not compile
        """
        from ._stage import stage_tree

        return stage_tree(self, folder)

    @contextmanager
    def reading(self) -> Iterator[Callable[[str], bytes]]:
        """
        A function that reads a file of the tree by its name in ``files``, as it is now.

        :raises TreeError: (the function, too) something cannot be read
        """
        if not is_wheel(self.root):
            yield lambda name: read_regular(self.root / name)
            return
        from ._wheel import WheelReader

        with WheelReader(self.root) as wheel:
            yield wheel.read

    def modules(self) -> dict[str, str]:
        """Every module of the tree: public name -> SHA-256 of its source."""
        return {module_name(path): digest for path, digest in self.files.items() if path.endswith(".py")}

    def find(self, name: str) -> tuple[Path, bool] | None:
        """
        Where a module's source lies.

        :return: path and whether it is a package; the folder itself for a package without ``__init__.py``
        """
        path = name.replace(".", "/")
        if f"{path}/__init__.py" in self.files:
            return self.root / path / "__init__.py", True
        if f"{path}.py" in self.files:
            return self.root / f"{path}.py", False
        if any(known.startswith(path + "/") for known in self.files):
            return self.root / path, True
        return None


@frozen
class Changes:
    """
    What differs between two trees, as sorted names of modules; package data counts to the package it lies in.

    :param swappable: a new generation is enough for these
    :param kernel: these live as long as the process
    """

    swappable: tuple[str, ...] = ()
    kernel: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.swappable or self.kernel)


def compare(old: CodeTree, new: CodeTree, boundaries: Boundaries) -> Changes:
    """Which modules were added, removed or changed from ``old`` to ``new``."""
    paths = {path for path in old.files.keys() | new.files.keys() if old.files.get(path) != new.files.get(path)}
    names = sorted({module_name(path) for path in paths})
    return Changes(
        swappable=tuple(name for name in names if not boundaries.is_kernel(name)),
        kernel=tuple(name for name in names if boundaries.is_kernel(name)),
    )


def module_name(path: str) -> str:
    """The module of a source file, or the package that a data file lies in."""
    folder, _, name = path.rpartition("/")  # no pathlib: a status asks for hundreds
    is_module = name.endswith(".py") and name != "__init__.py"
    return (path.removesuffix(".py") if is_module else folder).replace("/", ".")


def parse_manifest(manifest: bytes, origin: Path | str) -> dict[str, str]:
    """
    The files a manifest lists: path -> SHA-256.

    :param origin: named in the error
    :raises TreeError: this is not a manifest, or of a version this code does not know
    """
    header, _, body = manifest.partition(b"\n")
    if header + b"\n" != MANIFEST_HEADER:
        raise TreeError(origin, f"not a manifest that this version reads: its first line is {header[:40]!r}")
    files: dict[str, str] = {}
    for line in body.decode("utf-8", "replace").splitlines():
        digest, separator, path = line.partition("  ")
        if not separator or len(digest) != 64 or path in files:
            raise TreeError(origin, f"the manifest has a bad line: {line[:80]!r}")
        files[path] = digest
    return files


def _files_below(folder: Path) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise TreeError(folder, f"cannot be read: {error.strerror}") from error
    for entry in entries:
        if is_left_out(entry.name):
            continue
        path = Path(entry.path)
        if entry.is_symlink():
            raise TreeError(path, "is a symbolic link; a code tree holds only files and folders")
        if entry.is_dir():
            yield from _files_below(path)
        elif entry.is_file():
            yield path
        else:
            raise TreeError(path, "is neither a regular file nor a folder")


def is_left_out(name: str) -> bool:
    """Whether a file or folder of that name is no part of a tree."""
    return name in LEFT_OUT or name.startswith(".") or name.endswith(LEFT_OUT_SUFFIXES)


def is_wheel(path: Path) -> bool:
    """Whether a tree is read from a wheel there; a folder of such a name is a folder."""
    return path.suffix == ".whl" and not path.is_dir()


def _relative_name(path: Path, root: Path) -> str:
    name = path.relative_to(root).as_posix()
    if not name.isprintable():  # a line break would forge a line of the manifest; surrogates are not printable either
        raise TreeError(root, f"the file name {name!r} has characters that a manifest cannot hold")
    return name


def read_regular(path: Path) -> bytes:
    """
    Read one file of a tree, never through a symbolic link.

    :raises TreeError: it is gone, is a link, or cannot be read
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            return file.read()
    except OSError as error:
        raise TreeError(path, f"cannot be read: {error.strerror}") from error


def _digest(path: Path) -> str:
    return hashlib.sha256(read_regular(path)).hexdigest()
