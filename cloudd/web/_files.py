# -*- test-case-name: tests.web.test_files -*-
"""The page's own files: read once per generation, so that they are never of another generation than the code."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

_TYPES = {
    "page.html": b"text/html; charset=utf-8",
    "page.css": b"text/css; charset=utf-8",
    "page.js": b"text/javascript; charset=utf-8",
    "icon.svg": b"image/svg+xml",
}
FILES = tuple(_TYPES)


@frozen
class PageFile:
    """
    :ivar tag: its entity tag, quotes included
    """

    kind: bytes
    body: bytes = field(repr=False)
    tag: bytes


@frozen
class PageFiles:
    """
    All files by name.

    :ivar version: changes when any of them does
    """

    by_name: Mapping[str, PageFile]
    version: str


def read_files(folder: Path | None = None) -> PageFiles:
    """
    :param folder: this package's own by default
    :raises OSError: one is missing
    """
    place = folder or Path(__file__).parent
    found = {name: _read(place / name) for name in FILES}
    together = hashlib.sha256(b"".join(file.tag for file in found.values()))
    return PageFiles(found, together.hexdigest()[:16])


def _read(path: Path) -> PageFile:
    body = path.read_bytes()
    return PageFile(_TYPES[path.name], body, b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode())
