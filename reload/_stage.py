# -*- test-case-name: tests.reload.test_stage -*-
"""
Copies of code trees under their hash, from which generations load.

A copy is made beside its place, checked against the hashes of the scan, compiled, synced, and then renamed: under
``folder/<hash>`` there is a whole copy or nothing, also after a power cut.  Its files are read-only and its
bytecode is of the "unchecked hash" kind (PEP 552), so that loading a module costs one read.  What an earlier
copy has in the same words is linked from there, with its bytecode: to compile, to write and to sync is nearly all of
the work.  The paths in that bytecode are put right when it is loaded, as with any.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import marshal
import os
import re
import secrets
import shutil
import struct
from collections.abc import Collection
from pathlib import Path
from types import CodeType

from ._pacing import rest
from ._tree import CodeTree, TreeChanged, TreeError, read_regular

UNCHECKED_HASH = 0b01
_TEMPORARY = re.compile(r"\.(?:staging|bad)-(\d+)-[0-9a-f]+")
_COPY = re.compile(r"[0-9a-f]{64}")
_MOST_DONORS = 3


def stage_tree(tree: CodeTree, folder: Path) -> CodeTree:
    """
    Copy ``tree`` to ``folder/<hash>``; what ``CodeTree.stage`` says.

    A copy that is there already is read and compared first; a damaged one is put aside and made anew.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = folder.resolve()
    place = folder / tree.hash
    if place.is_dir() and not _is_sound(tree, place):
        place.rename(folder / f".bad-{os.getpid()}-{secrets.token_hex(4)}")
    if not place.is_dir():
        _make_copy(tree, folder, place)
    copy = CodeTree(place, tree.files)
    _compile_missing(copy)
    return copy


def prune_copies(folder: Path, keep: Collection[str]) -> list[str]:
    """
    Remove the copies that nobody needs, and what processes that died in the middle of staging left.

    :param keep: hashes of the copies that stay
    :return: the hashes that were removed
    """
    removed = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        unfinished = _TEMPORARY.fullmatch(path.name)
        if unfinished and not _is_running(int(unfinished[1])):
            shutil.rmtree(path, ignore_errors=True)
        elif _COPY.fullmatch(path.name) and path.name not in keep:
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path.name)
    return removed


def remove_unfinished(folder: Path) -> list[str]:
    """
    Remove what processes left that died in the middle of staging, whatever their numbers are used for now.

    Only for the one process that stages in ``folder``, before it does.

    :return: the names that were removed
    """
    found = [path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name)] if folder.is_dir() else []
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return sorted(path.name for path in found)


def _make_copy(tree: CodeTree, folder: Path, place: Path) -> None:
    donors = _newest_copies(folder)
    work = folder / f".staging-{os.getpid()}-{secrets.token_hex(4)}"
    work.mkdir(mode=0o700)
    try:
        with tree.reading() as read:
            for name, digest in tree.files.items():
                rest()
                source = read(name)
                if hashlib.sha256(source).hexdigest() != digest:
                    raise TreeChanged(tree.root / name, "changed while the tree was copied; try again")
                if not _linked(donors, name, source, work / name):
                    _write(work / name, source)
                    if name.endswith(".py"):
                        _write_bytecode(work / name, _compile_source(source, place / name, shown=tree.root / name))
        _sync_folders(work)
        _take_place(work, place)
        _sync(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _newest_copies(folder: Path) -> list[Path]:
    """Which are likely to have most in common with the next."""
    copies = [path for path in folder.iterdir() if _COPY.fullmatch(path.name)]
    return sorted(copies, key=lambda path: path.stat().st_mtime, reverse=True)[:_MOST_DONORS]


def _linked(donors: list[Path], name: str, source: bytes, target: Path) -> bool:
    """Link the same file, with its bytecode, from an earlier copy that has both whole; else change nothing."""
    for donor in donors:
        path = donor / name
        try:
            if path.read_bytes() != source or path.is_symlink() or (name.endswith(".py") and not _is_loadable(path)):
                continue
        except OSError:
            continue
        return _link_all(dict(zip(_with_bytecode(path), _with_bytecode(target), strict=True)))
    return False


def _link_all(places: dict[Path, Path]) -> bool:
    """From -> to; none of them where one cannot be, as on a file system that has no links."""
    try:
        for old, new in places.items():
            new.parent.mkdir(parents=True, exist_ok=True)
            os.link(old, new, follow_symlinks=False)
    except OSError:
        for new in places.values():
            new.unlink(missing_ok=True)
        return False
    return True


def _with_bytecode(path: Path) -> list[Path]:
    return [path, Path(importlib.util.cache_from_source(str(path)))] if path.suffix == ".py" else [path]


def _is_loadable(path: Path) -> bool:
    """Whether there is whole bytecode of this interpreter for a source file."""
    try:
        data = Path(importlib.util.cache_from_source(str(path))).read_bytes()
        code = marshal.loads(data[16:])  # noqa: S302  written here, and loaded from where it lies at each start
    except (OSError, ValueError, EOFError, TypeError):
        return False
    return data[:16] == _bytecode_head(path.read_bytes()) and isinstance(code, CodeType)


def _take_place(work: Path, place: Path) -> None:
    try:
        work.rename(place)
    except OSError as error:  # someone else was faster; his copy has the same hash and was checked as ours was
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise


def _is_sound(tree: CodeTree, place: Path) -> bool:
    try:
        return all(_has_digest(place / name, digest) for name, digest in tree.files.items())
    except TreeError:
        return False


def _has_digest(path: Path, digest: str) -> bool:
    rest()
    return hashlib.sha256(read_regular(path)).hexdigest() == digest


def _compile_missing(copy: CodeTree) -> None:
    """Make bytecode for this interpreter where another one made the copy, or where it was damaged."""
    for name in copy.files:
        rest()
        path = copy.root / name
        if name.endswith(".py") and not _has_bytecode(path):
            _write_bytecode(path, _compile_source(read_regular(path), path, shown=path))


def _bytecode_head(source: bytes) -> bytes:
    return importlib.util.MAGIC_NUMBER + struct.pack("<I", UNCHECKED_HASH) + importlib.util.source_hash(source)


def _has_bytecode(path: Path) -> bool:
    try:
        with open(importlib.util.cache_from_source(str(path)), "rb") as file:
            return file.read(16) == _bytecode_head(path.read_bytes())
    except OSError:
        return False


def _compile_source(source: bytes, path: Path, shown: Path) -> bytes:
    """
    The content of a bytecode file.

    :param path: where the source will lie; tracebacks show it
    :param shown: named in the error
    :raises TreeError: the source does not compile
    """
    try:
        code = compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise TreeError(shown, f"does not compile: line {error.lineno}: {error.msg}") from None
    except ValueError as error:
        raise TreeError(shown, f"does not compile: {error}") from None
    return _bytecode_head(source) + marshal.dumps(code)


def _write_bytecode(path: Path, bytecode: bytes) -> None:
    _write(Path(importlib.util.cache_from_source(str(path))), bytecode)


def _write(path: Path, data: bytes) -> None:
    """Write a file and sync it; one that is there is replaced as a whole, and nothing is left of what failed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f"{path.name}.{secrets.token_hex(4)}~")
    try:
        with open(os.open(work, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        work.rename(path)
    except BaseException:
        work.unlink(missing_ok=True)
        raise


def _sync_folders(top: Path) -> None:
    for folder, _folders, _files in os.walk(top):
        _sync(Path(folder))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
