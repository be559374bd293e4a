# -*- test-case-name: tests.protocols.swift.test_capabilities -*-
"""
``/info``: what this face can do, in Swift's words.  A feature that answers 501 is not listed.
"""

from __future__ import annotations

from typing import Any

from cloudd import __version__
from cloudd.interfaces.settings import Settings
from cloudd.objects import (
    MAX_ACCOUNT_BYTES,
    MAX_CONTAINER_BYTES,
    MAX_META_COUNT,
    MAX_META_NAME_BYTES,
    MAX_META_OVERALL_BYTES,
    MAX_META_VALUE_BYTES,
    MAX_OBJECT_BYTES,
)

from . import _limits as limits
from ._listings import POLICY


def capabilities(settings: Settings) -> dict[str, Any]:
    """The document of ``/info``."""
    info: dict[str, Any] = {
        "swift": {
            "version": __version__,
            "account_autocreate": True,
            "account_listing_limit": limits.LISTING_ROWS,
            "allow_account_management": False,
            "container_listing_limit": limits.LISTING_ROWS,
            "max_account_name_length": MAX_ACCOUNT_BYTES,
            "max_container_name_length": MAX_CONTAINER_BYTES,
            "max_file_size": settings.objects.max_object_bytes,
            "max_header_size": limits.HEADER_VALUE_BYTES,
            "max_meta_count": MAX_META_COUNT,
            "max_meta_name_length": MAX_META_NAME_BYTES,
            "max_meta_overall_size": MAX_META_OVERALL_BYTES,
            "max_meta_value_length": MAX_META_VALUE_BYTES,
            "max_object_name_length": MAX_OBJECT_BYTES,
            "policies": [{"name": POLICY, "aliases": POLICY, "default": True}],
            "strict_cors_mode": True,
            "valid_api_versions": ["v1", "v1.0"],
        },
        "bulk_delete": {
            "max_deletes_per_request": limits.BULK_DELETES,
            "max_failed_deletes": limits.BULK_DELETE_FAILURES,
        },
        "dlo": {},
    }
    if settings.objects.tempauth:
        info["tempauth"] = {"account_acls": False}
    return info
