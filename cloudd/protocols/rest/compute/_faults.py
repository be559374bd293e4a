# -*- test-case-name: tests.protocols.rest.compute.test_versions -*-
"""What the compute service refuses, in the API's words: ``{"itemNotFound": {"code": 404, "message": ...}}``."""

from __future__ import annotations

import msgspec

from cloudd.compute import ComputeError

from .._faults import Fault

#: Nova's names; all others are ``computeFault``.
_NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}


def compute_fault(error: Exception) -> Fault | None:
    """The answer for a refusal; None: it is an accident."""
    return Fault(error.status, error.cause) if isinstance(error, ComputeError) else None


def compute_error_body(fault: Fault) -> bytes:
    """What clients read the cause from."""
    name = _NAMES.get(fault.status, "computeFault")
    return msgspec.json.encode({name: {"code": fault.status, "message": fault.message}})
