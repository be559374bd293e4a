# -*- test-case-name: tests.protocols.rest.image.test_data -*-
"""What the image service refuses, in the API's words."""

from __future__ import annotations

import msgspec

from cloudd.image import (
    BadImageValue,
    ImageConflict,
    ImageError,
    ImageForbidden,
    NoSuchDefinition,
    NoSuchImage,
    NoSuchImport,
    NoSuchMember,
    OverQuota,
    SourceRefused,
    UnfitData,
)

from .._faults import Fault

_STATUS: tuple[tuple[type[ImageError], int], ...] = (
    (BadImageValue, 400),
    (UnfitData, 400),
    (SourceRefused, 400),
    (ImageForbidden, 403),
    (NoSuchImage, 404),
    (NoSuchMember, 404),
    (NoSuchImport, 404),
    (NoSuchDefinition, 404),
    (ImageConflict, 409),
    (OverQuota, 413),
)


def image_fault(error: ImageError) -> Fault:
    """The answer for a refusal."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 400)
    return Fault(status, error.cause)


def image_error_body(fault: Fault) -> bytes:
    """``{"message", "code", "title"}``: what Glance sends to who accepts JSON."""
    return msgspec.json.encode(
        {"message": fault.message, "code": f"{fault.status} {fault.title}", "title": fault.title}
    )
