# -*- test-case-name: tests.protocols.rest.compute.test_server_create -*-
"""Limits of what servers and images may carry: items of metadata, and files below 2.57."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from cloudd.identity import Access

from .._errors import QuotaExceeded
from ..quotas._limits import UNLIMITED, limits_of

_PATH = "Personality file path exceeds maximum length"


def enforce_contents(
    connection: Connection, access: Access, items: Mapping[str, str], files: Sequence[tuple[str, str]] = ()
) -> None:
    """
    :param files: path and content in base64
    :raises QuotaExceeded: there are too many, or one is too long
    """
    if not items and not files:
        return
    limits = limits_of(connection, access.project_id or "", access.user_id)
    _enforce(limits, "metadata_items", len(items), "Maximum number of metadata items exceeds {limit}")
    _enforce(limits, "injected_files", len(files), "Personality file limit exceeded: at most {limit}")
    for path, content in files:
        _enforce(limits, "injected_file_path_bytes", len(path.encode("utf-8")), _PATH)
        size = len(content) * 3 // 4 - content[-2:].count("=")
        _enforce(limits, "injected_file_content_bytes", size, "Personality content limit exceeded")


def _enforce(limits: Mapping[str, int], resource: str, amount: int, words: str) -> None:
    limit = limits[resource]
    if limit != UNLIMITED and amount > limit:
        raise QuotaExceeded(words.format(limit=limit), resource)
