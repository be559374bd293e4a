# -*- test-case-name: tests.daemon.test_trace -*-
"""
What the host knows about one request: its access lines, one for each generation and worker that it ran in, and the
code of the generation that each names.

The access log and its rotated neighbours (``access.log.1``, ``access.log-20261120``) are read from their ends, newest
file first, and no further than ``MAX_BYTES`` in all and ``MAX_FILES`` files: the answer says of each file how much
of it was searched.  Compressed ones are named and passed over.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from attrs import frozen
from msgspec.structs import replace
from twisted.internet.defer import Deferred

from cloudd.control import Audit, AuditEntry, SearchedFile, Trace, TracedRequest
from cloudd.interfaces.application import Threads

from ._access_lines import parse_line, seconds_of

MAX_BYTES = 268_435_456
MAX_FILES = 32
MAX_LINES = 1_000
MAX_AUDIT = 10_000
BLOCK_BYTES = 1_048_576
MAX_LINE_BYTES = 65_536
COMPRESSED = {".gz", ".xz", ".bz2", ".zst", ".lz4"}


class Audited(Protocol):
    """What has an audit log; ``Upgrades`` is one."""

    def audit(self, limit: int) -> Deferred[Audit]:
        """The last entries."""


@frozen
class Traces:
    """
    :param log: the access log, as the workers write it
    :param threads: files are read there
    """

    _log: Path
    _threads: Threads
    _audited: Audited

    async def find(self, request_id: str) -> Trace:
        """All lines of a request, oldest first, and where they were looked for."""
        found: Trace = await self._threads.run(search_logs, self._log, request_id)
        if not found.requests:
            return found
        entries = (await self._audited.audit(MAX_AUDIT)).entries
        requests = [replace(request, hash=code_of(request, entries)) for request in found.requests]
        return replace(found, requests=requests)


def code_of(request: TracedRequest, entries: Sequence[AuditEntry]) -> str:
    """
    The hash of the code that a request's generation was, as far as the audit log tells; else empty.

    Numbers begin anew when an operator moves the record of the committed code away: then the last generation of
    that number which had begun by then counts.
    """
    at = seconds_of(request.time) or 0.0
    code = ""
    for entry in entries:
        if entry.result == "committed" and entry.generation == request.generation and entry.new_hash:
            # An entry is written when the change has ended; its code may have answered before.
            if code and entry.time - entry.duration_s > at:
                break
            code = entry.new_hash
    return code


def search_logs(log: Path, request_id: str) -> Trace:
    """Look through the log and its neighbours.  Blocks."""
    files: list[SearchedFile] = []
    lines: list[bytes] = []
    left = MAX_BYTES
    for path in _neighbours(log)[:MAX_FILES]:
        searched, found = _search_file(path, request_id.encode(), left, MAX_LINES + 1 - len(lines))
        left -= searched.searched_bytes
        files.append(searched)
        lines += found
    parsed = [request for request in map(parse_line, lines[:MAX_LINES][::-1]) if request is not None]
    requests = sorted((request for request in parsed if request.request_id == request_id), key=_order)
    return Trace(request_id=request_id, requests=requests, files=files, more=len(lines) > MAX_LINES)


def _order(request: TracedRequest) -> tuple[str, bool]:
    """By time; within a millisecond the parts of a request that left come before its end."""
    return request.time, not request.moved


def _neighbours(log: Path) -> list[Path]:
    """The log and its rotated files, newest first; one that was renamed while we looked is there once."""
    found: dict[tuple[int, int], tuple[float, Path]] = {}
    names = [log.name, *(name for name in _names_in(log.parent) if name.startswith((f"{log.name}.", f"{log.name}-")))]
    for name in names:
        path = log.parent / name
        try:
            facts = path.stat()
        except OSError:
            continue
        newest = float("inf") if name == log.name else facts.st_mtime
        found.setdefault((facts.st_dev, facts.st_ino), (newest, path))
    return [path for _time, path in sorted(found.values(), key=lambda one: one[0], reverse=True)]


def _names_in(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def _search_file(path: Path, needle: bytes, most_bytes: int, most_lines: int) -> tuple[SearchedFile, list[bytes]]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return SearchedFile(path=str(path), cause=f"cannot be read: {error.strerror}"), []
    try:
        facts = os.fstat(descriptor)
        size = facts.st_size
        cause = _cause_against(path, facts, most_bytes, most_lines)
        if cause:
            return SearchedFile(path=str(path), size_bytes=size, cause=cause), []
        lines: list[bytes] = []
        for line in _lines_with(descriptor, size, needle, most_bytes):
            lines.append(line)
            if len(lines) == most_lines:
                break
        return SearchedFile(path=str(path), size_bytes=size, searched_bytes=min(size, most_bytes)), lines
    except OSError as error:
        return SearchedFile(path=str(path), cause=f"cannot be read: {error.strerror}"), []
    finally:
        os.close(descriptor)


def _cause_against(path: Path, facts: os.stat_result, most_bytes: int, most_lines: int) -> str:
    if not stat.S_ISREG(facts.st_mode):
        return "is no regular file"
    if path.suffix in COMPRESSED:
        return "is compressed"
    if most_lines <= 0:
        return f"{MAX_LINES} lines were found already"
    return f"{MAX_BYTES >> 20} MiB were searched already" if most_bytes <= 0 else ""


def _lines_with(descriptor: int, size: int, needle: bytes, most_bytes: int) -> Iterator[bytes]:
    """The lines in the last bytes of a file that contain ``needle``, from the end; a torn first one is left out."""
    stop, end = max(0, size - most_bytes), size
    rest = b""  # the end of a line that begins in an earlier block
    while end > stop:
        begin = max(stop, end - BLOCK_BYTES)
        block = os.pread(descriptor, end - begin, begin) + rest
        end = begin
        if begin > 0:
            first, newline, block = block.partition(b"\n")
            rest = first + newline
            if len(rest) > MAX_LINE_BYTES:
                rest = b"\0" + newline  # no access line is that long: what is left of it must not look like one
        yield from _lines_in(block, needle)


def _lines_in(block: bytes, needle: bytes) -> list[bytes]:
    lines = []
    place = block.find(needle)
    while place >= 0:
        end = block.find(b"\n", place)
        end = len(block) if end < 0 else end
        lines.append(block[block.rfind(b"\n", 0, place) + 1 : end])
        place = block.find(needle, end)
    return lines[::-1]
