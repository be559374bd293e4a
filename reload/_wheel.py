# -*- test-case-name: tests.reload.test_wheel -*-
"""
A code tree in a wheel: a zip file of a package's files, with a list of their hashes (PEP 427).

Nothing is unpacked by the names an archive gives.  ``scan_wheel`` reads it whole, checks it, and takes of it the files
of the root packages alone; ``WheelReader`` gives their bytes when the tree is staged, where each is compared
with what was scanned, like a file of a folder.

What an archive could do to whoever unpacks it, and is refused: names that are absolute, lead upwards or hold
characters that are read differently elsewhere; two entries for one file, also by case, by Unicode form or by a folder
of that name; links and devices; encrypted entries; sizes, counts and unpacked bytes without bound.
"""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import io
import os
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from types import TracebackType

from ._boundaries import Boundaries
from ._tree import CodeTree, TreeError, is_left_out

MAX_WHEEL_BYTES = 134_217_728
MAX_ENTRIES = 20_000
MAX_ENTRY_BYTES = 16_777_216
MAX_UNPACKED_BYTES = 268_435_456

_NAME = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(-\d[^-]*)?-(?P<python>[^-]+)-none-any\.whl")
_SIGNATURES = ("RECORD.jws", "RECORD.p7s")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_STRONG = ("sha256", "sha384", "sha512")
_ENCRYPTED = 0x1


def scan_wheel(path: Path, boundaries: Boundaries) -> CodeTree:
    """
    Read a wheel and check all of it; what ``CodeTree.scan`` says.

    :return: the files of the root packages of ``boundaries``; ``root`` is the wheel
    :raises TreeError: it is no wheel of pure Python, its entries are not what a wheel may hold, a hash in its
        ``RECORD`` does not fit or is missing, or it lacks a root package
    """
    named = _NAME.fullmatch(path.name)
    if named is None:
        raise TreeError(path, "is not named as a wheel of pure Python is: NAME-VERSION-py3-none-any.whl")
    with WheelReader(path) as wheel:
        facts = f"{named['name']}-{named['version']}.dist-info"
        digests = _verify_record(wheel, facts)
    files = {name: digest for name, digest in digests.items() if boundaries.owns(name.partition("/")[0])}
    kept = {name: digest for name, digest in files.items() if not any(map(is_left_out, name.split("/")))}
    for package in sorted(boundaries.roots):
        if f"{package}/__init__.py" not in kept:
            raise TreeError(path, f"not a code tree: there is no package {package!r} in it")
    return CodeTree(path, kept)


class WheelReader:
    """
    An open wheel whose entries have been checked.  A context manager; not for several threads at once.

    :raises TreeError: it cannot be read, or its list of entries is not what a wheel may hold
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        file = _open_bounded(path)
        try:
            self._archive = zipfile.ZipFile(file)
            self._entries = dict(_checked_entries(path, self._archive.infolist()))
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, ValueError) as error:
            file.close()
            raise TreeError(path, f"is no readable zip file: {error}") from error
        except BaseException:
            file.close()
            raise
        self._file = file

    def __enter__(self) -> WheelReader:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._archive.close()
        self._file.close()

    def names(self) -> Collection[str]:
        """All files in it."""
        return self._entries.keys()

    def read(self, name: str) -> bytes:
        """
        The content of one file.

        :raises TreeError: there is none of that name, or it is damaged
        """
        entry = self._entries.get(name)
        if entry is None:
            raise TreeError(self.path / name, "is not in the wheel")
        try:
            with self._archive.open(entry) as file:
                content = file.read(MAX_ENTRY_BYTES + 1)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError) as error:
            raise TreeError(self.path / name, f"cannot be read from the wheel: {error}") from error
        if len(content) != entry.file_size:
            raise TreeError(self.path / name, "has another size in the wheel than its list of files says")
        return content


def _open_bounded(path: Path) -> io.BufferedReader:
    """A regular file, never through a link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise TreeError(path, f"cannot be read: {error.strerror}") from error
    facts = os.fstat(descriptor)
    if stat.S_ISREG(facts.st_mode) and facts.st_size <= MAX_WHEEL_BYTES:
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    regular = stat.S_ISREG(facts.st_mode)
    raise TreeError(path, f"has more than {MAX_WHEEL_BYTES} bytes" if regular else "is no regular file")


def _checked_entries(path: Path, entries: list[zipfile.ZipInfo]) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """The files among the entries by name, without the folders."""
    if len(entries) > MAX_ENTRIES:
        raise TreeError(path, f"has {len(entries)} entries, more than {MAX_ENTRIES}")
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
        raise TreeError(path, f"has more than {MAX_UNPACKED_BYTES} bytes unpacked")
    files: dict[str, str] = {}
    folders: dict[str, str] = {}  # as a careless file system would see it -> as it is written
    for entry in entries:
        if (cause := _fault_of(entry)) is not None:
            raise TreeError(path, f"has the entry {entry.orig_filename[:200]!r}, {cause}")
        plain = entry.filename.rstrip("/")
        known = folders if entry.is_dir() else files
        if _careless(plain) in files or (not entry.is_dir() and _careless(plain) in folders):
            raise TreeError(path, f"has {plain!r} twice, or under names that some file systems take for one")
        known[_careless(plain)] = plain
        for parent in list(PurePosixPath(plain).parents)[:-1]:
            name = str(parent)
            if _careless(name) in files or folders.setdefault(_careless(name), name) != name:
                raise TreeError(path, f"has {name!r} twice, or under names that some file systems take for one")
        if not entry.is_dir():
            yield entry.filename, entry


def _fault_of(entry: zipfile.ZipInfo) -> str | None:
    """Why an entry is not for us, in words."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if (cause := _fault_of_name(entry.orig_filename)) is not None:
        return cause
    if kind not in {0, stat.S_IFDIR if entry.is_dir() else stat.S_IFREG}:
        return "which is no regular file"
    if entry.flag_bits & _ENCRYPTED:
        return "which is encrypted"
    if entry.compress_type not in _METHODS:
        return "which is packed in a way that wheels are not"
    if entry.file_size > MAX_ENTRY_BYTES:
        return f"which has more than {MAX_ENTRY_BYTES} bytes"
    return None


def _fault_of_name(name: str) -> str | None:
    """:param name: as it stands in the archive, which ``zipfile`` cuts off at a zero byte"""
    parts = (name[:-1] if name.endswith("/") else name).split("/")
    if not name.isprintable() or set(name) & set('\\:*?"<>|'):
        return "whose name has characters that a code tree cannot hold"
    if any(part in {"", ".", ".."} or part.endswith((" ", ".")) for part in parts):
        return "whose name is absolute, leads upwards or has an empty part"
    return None


def _careless(name: str) -> str:
    """What a file system that ignores case and Unicode forms takes a name for."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _verify_record(wheel: WheelReader, facts: str) -> dict[str, str]:
    """
    Compare every file of the wheel with ``RECORD``.

    :param facts: the one ``.dist-info`` folder it may have
    :return: SHA-256 in hex by name
    """
    others = sorted({top for name in wheel.names() if (top := name.partition("/")[0]).endswith(".dist-info")} - {facts})
    if others or f"{facts}/RECORD" not in wheel.names():
        raise TreeError(wheel.path, f"must have {facts}/RECORD and no other .dist-info folder: {', '.join(others)}")
    listed = _read_record(wheel, f"{facts}/RECORD")
    unlisted = {f"{facts}/{name}" for name in ("RECORD", *_SIGNATURES)}
    for name in sorted(listed.keys() - wheel.names()):
        raise TreeError(wheel.path / name, "is listed in RECORD and not in the wheel")
    digests = {}
    for name in wheel.names():
        content = wheel.read(name)
        digests[name] = hashlib.sha256(content).hexdigest()
        if name not in unlisted:
            _verify(wheel.path / name, content, *listed.get(name, ("", "")))
    return digests


def _read_record(wheel: WheelReader, name: str) -> dict[str, tuple[str, str]]:
    """``RECORD``: path -> hash and size, as they are written."""
    listed: dict[str, tuple[str, str]] = {}
    try:
        for path, digest, size in csv.reader(io.StringIO(wheel.read(name).decode(), newline="")):
            if path in listed:
                raise TreeError(wheel.path / name, f"lists {path[:200]!r} twice")
            listed[path] = digest, size
    except (ValueError, csv.Error) as error:
        raise TreeError(wheel.path / name, f"is no list of files: {error}") from error
    return listed


def _verify(path: Path, content: bytes, digest: str, size: str) -> None:
    algorithm, _, encoded = digest.partition("=")
    if not encoded or algorithm not in _STRONG:
        raise TreeError(path, "has no hash in RECORD, or none that can be trusted")
    try:
        expected = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        expected = b""
    if hashlib.new(algorithm, content).digest() != expected or size not in {"", str(len(content))}:
        raise TreeError(path, "is not what RECORD says: the wheel is damaged or was changed")
