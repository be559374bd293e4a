# -*- test-case-name: tests.protocols.rest.network.test_discovery -*-
"""What the network service refuses, in the API's words: ``{"NeutronError": {"type", "message", "detail"}}``."""

from __future__ import annotations

import msgspec

from cloudd.network import NetworkError

from .._faults import Fault

#: Where a refusal comes from the face itself, Neutron's names for it.
_TYPES = {
    400: "HTTPBadRequest",
    401: "HTTPUnauthorized",
    403: "HTTPForbidden",
    404: "HTTPNotFound",
    405: "HTTPMethodNotAllowed",
    413: "HTTPRequestEntityTooLarge",
    500: "HTTPInternalServerError",
    501: "HTTPNotImplemented",
    503: "HTTPServiceUnavailable",
}


class NetworkFault(Fault):
    """
    A refusal of the service.

    :ivar type: Neutron's name for it
    """

    def __init__(self, error: NetworkError) -> None:
        super().__init__(error.status, error.cause)
        self.type = error.type


def network_fault(error: Exception) -> Fault | None:
    """The answer for a refusal; None: it is an accident."""
    return NetworkFault(error) if isinstance(error, NetworkError) else None


def network_error_body(fault: Fault) -> bytes:
    """What clients read the cause from."""
    kind = fault.type if isinstance(fault, NetworkFault) else _TYPES.get(fault.status, "HTTPBadRequest")
    return msgspec.json.encode({"NeutronError": {"type": kind, "message": fault.message, "detail": ""}})
