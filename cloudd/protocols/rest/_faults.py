# -*- test-case-name: tests.protocols.rest -*-
"""
What a REST face answers when it cannot do what was asked.

A route raises ``Fault``; the face writes it in the form its API has for errors.  A message names the cause and, where
there is one, the next step; it never holds a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus

import msgspec

from cloudd.protocols.http import Header

#: Names that OpenStack clients and documents use where RFC 9110 has another.
_TITLES = {413: "Request Entity Too Large", 500: "Internal Server Error"}


class Fault(Exception):
    """
    An answer other than success.

    :ivar status: HTTP status, 400 to 599
    :ivar title: the status in words
    :ivar message: cause and next step, for a person
    :ivar headers: further header fields of the answer
    """

    def __init__(self, status: int, message: str, *, headers: Iterable[Header] = ()) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.title = title_of(status)
        self.message = message
        self.headers = tuple(headers)


FaultBody = Callable[[Fault], bytes]


def title_of(status: int) -> str:
    """The status in words, ``Unknown`` for one that has none."""
    if status in _TITLES:
        return _TITLES[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def error_body(fault: Fault) -> bytes:
    """``{"error": {"code", "message", "title"}}``: the form of Identity API v3."""
    error = {"code": fault.status, "message": fault.message, "title": fault.title}
    return msgspec.json.encode({"error": error})


def bad_request(message: str) -> Fault:
    """400: the request itself is at fault; sending it again will not help."""
    return Fault(400, message)


def not_found(kind: str, name: str) -> Fault:
    """404 in Keystone's words."""
    return Fault(404, f"Could not find {kind}: {name}.")


def not_implemented(what: str) -> Fault:
    """501: known from the API's reference, not served here."""
    return Fault(501, f"cloudd does not implement this part of the API: {what}.")
