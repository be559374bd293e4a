# -*- test-case-name: tests.daemon.test_access_log -*-
"""
Access lines: one per request, and one more in each place that it leaves on its way, for other code or another process;
formatted in the reactor thread, written in batches by a thread of their own.

A line has the time, request id, face, project, method, path, route, status, milliseconds, body bytes received and bytes
sent, generation, peer and worker; at its end ``moved`` where the request goes on elsewhere.  Never logged are queries
(presigned URLs carry signatures there), header values and bodies.  Whatever a client sent is percent-encoded, so that
it can neither break nor forge a line.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import quote_from_bytes

import msgspec

MAX_PATH = 1024
MAX_WAITING = 100_000
FLUSH_S = 0.2
_UNSAFE = re.compile(rb"[^!#-\[\]-~]")
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"\\')


class AccessFacts(Protocol):
    """What a line says; ``cloudd.protocols.http.Request`` has it."""

    method: bytes
    path: bytes
    peer: str
    face: str
    id: str
    generation: int
    route: str
    project_id: str
    status: int
    sent_bytes: int


class Formatter(Protocol):
    """Makes a line."""

    def __call__(self, request: AccessFacts, now: float, seconds: float, received: int, moved: bool = False) -> bytes:
        """
        :param seconds: since the request's head was there
        :param received: bytes of its body
        :param moved: it has not ended, and goes on elsewhere
        """


def safe_text(raw: bytes) -> str:
    """Bytes of a client as text without spaces, quotes, backslashes and control characters, cut at ``MAX_PATH``."""
    text = raw.decode("ascii") if _UNSAFE.search(raw) is None else quote_from_bytes(raw, safe=_SAFE)
    return text if len(text) <= MAX_PATH else text[:MAX_PATH] + "..."


class _Clock:
    """Seconds since the epoch as ISO 8601 in UTC; the part down to the second is kept."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def format(self, now: float) -> str:
        second = int(now)
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._text}.{int((now - second) * 1000):03d}Z"


def text_formatter(worker: str = "-") -> Formatter:
    """
    Lines for people and ``awk``: fields in a fixed order, separated by blanks; ``-`` where there is nothing.

    time id face project method path route status ms received sent generation peer worker [moved]

    :param worker: whose lines these are
    """
    clock = _Clock()

    def format_line(request: AccessFacts, now: float, seconds: float, received: int, moved: bool = False) -> bytes:
        return (
            f"{clock.format(now)} {request.id or '-'} {request.face} {request.project_id or '-'} "
            f"{safe_text(request.method) or '-'} {safe_text(request.path) or '-'} {request.route.replace(' ', '_')} "
            f"{request.status} {seconds * 1000:.3f} {received} {request.sent_bytes} "
            f"{request.generation} {request.peer or '-'} {worker}{' moved' if moved else ''}\n"
        ).encode()

    return format_line


def json_formatter(worker: str = "-") -> Formatter:
    """Lines for programs: one JSON object each, with the facts of ``text_formatter`` by name."""
    clock = _Clock()
    encode = msgspec.json.Encoder().encode

    def format_line(request: AccessFacts, now: float, seconds: float, received: int, moved: bool = False) -> bytes:
        line = {
            "time": clock.format(now),
            "request_id": request.id,
            "face": request.face,
            "project_id": request.project_id,
            "method": safe_text(request.method),
            "path": safe_text(request.path),
            "route": request.route,
            "status": request.status,
            "ms": round(seconds * 1000, 3),
            "received_bytes": received,
            "sent_bytes": request.sent_bytes,
            "generation": request.generation,
            "peer": request.peer,
            "worker": worker,
        }
        if moved:
            line["moved"] = True
        return encode(line) + b"\n"

    return format_line


FORMATTERS: dict[str, Callable[[str], Formatter]] = {"text": text_formatter, "json": json_formatter}


def access_log_file(state: Path, named: str) -> Path:
    """
    Where the lines go.

    :param named: ``[log] access_file``; a relative path lies in the state folder
    """
    return state / (named or "log/access.log")


class AccessLog:
    """
    Writes lines to a file that several processes append to.

    ``write`` never waits: a slow disk makes lines wait, and beyond ``MAX_WAITING`` they are dropped and counted.

    :param path: opened by ``start``, and again after ``reopen``
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[bytes] = []
        self._wake = threading.Event()
        self._stopping = False
        self._reopen = False
        self._thread = threading.Thread(target=self._write_batches, name="access-log", daemon=True)
        self.is_open = False
        self.dropped = 0
        self.failure = ""  # why the last batch was lost; empty: it was not

    def start(self) -> None:
        """Open the file and start the thread; ``stop`` ends both."""
        self._descriptor = self._open()
        self.is_open = True
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Keep a line for the next batch."""
        lines = self._lines
        if len(lines) >= MAX_WAITING:
            self.dropped += 1
            return
        lines.append(line)
        if len(lines) == 1:
            self._wake.set()

    def reopen(self) -> None:
        """Open the file anew before the next batch: a rotated one is let go."""
        self._reopen = True
        self._wake.set()

    def stop(self) -> None:
        """Write what is left and close; lines after that are lost."""
        self.is_open = False
        self._stopping = True
        self._wake.set()
        self._thread.join()
        os.close(self._descriptor)

    def _open(self) -> int:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _write_batches(self) -> None:
        while not self._stopping:
            self._wake.wait()
            self._wake.clear()
            if not self._stopping and not self._reopen:
                time.sleep(FLUSH_S)  # let a batch gather
            self._write_batch()
        self._write_batch()  # what came while the last one was written

    def _write_batch(self) -> None:
        try:
            if self._reopen:
                self._reopen = False
                fresh = self._open()
                os.close(self._descriptor)
                self._descriptor = fresh
            batch = memoryview(b"".join(self._take()))
            while batch:
                batch = batch[os.write(self._descriptor, batch) :]
            self.failure = ""
        except OSError as error:
            self.failure = f"the access log {self._path} cannot be written: {error.strerror}"

    def _take(self) -> list[bytes]:
        """What waits; from one list, which never changes: ``write`` may be about to append to it."""
        taken = self._lines[:]
        del self._lines[: len(taken)]
        if self._lines:
            self._wake.set()  # those came meanwhile, and woke nobody
        return taken
