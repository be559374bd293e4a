# -*- test-case-name: tests.protocols.swift.test_answers -*-
"""
Swift's answers that are not data: the standard page of a status, and refusals that name their cause.

Swift's own library sends ``<html><h1>Not Found</h1><p>The resource could not be found.</p></html>``; clients show
its first line to people.  We keep that text to the letter and add the cause as a paragraph of its own, or send the
cause alone as plain text where Swift does so.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudd.protocols.http import Header, Request

HTML = (b"Content-Type", b"text/html; charset=UTF-8")
PLAIN = (b"Content-Type", b"text/plain; charset=UTF-8")
JSON = (b"Content-Type", b"application/json; charset=UTF-8")

PAGES = {
    202: ("Accepted", "The request is accepted for processing."),
    400: (
        "Bad Request",
        "The server could not comply with the request since it is either malformed or otherwise incorrect.",
    ),
    401: (
        "Unauthorized",
        "This server could not verify that you are authorized to access the document you requested.",
    ),
    403: ("Forbidden", "Access was denied to this resource."),
    404: ("Not Found", "The resource could not be found."),
    405: ("Method Not Allowed", "The method is not allowed for this resource."),
    406: ("Not Acceptable", "The resource is not available in a format acceptable to your browser."),
    408: ("Request Timeout", "The server has waited too long for the request to be sent by the client."),
    409: ("Conflict", "There was a conflict when trying to complete your request."),
    411: ("Length Required", "Content-Length header required."),
    412: ("Precondition Failed", "A precondition for this request was not met."),
    413: ("Request Entity Too Large", "The body of your request was too large for this server."),
    416: ("Requested Range Not Satisfiable", "The Range requested is not available."),
    422: ("Unprocessable Entity", "Unable to process the contained instructions"),
    499: ("Client Disconnect", "The client was disconnected during request."),
    501: ("Not Implemented", "The requested method is not implemented by this server."),
    503: ("Service Unavailable", "The server is currently unavailable. Please try again at a later time."),
    507: ("Insufficient Storage", "There was not enough space to save the resource."),
}


class Refusal(Exception):
    """
    A request that Swift answers with an error.  Nothing was changed.

    :param status: HTTP status
    :param cause: one sentence; empty when Swift's standard text says it all
    :param plain: whether Swift sends the bare sentence as text/plain instead of a page
    :param headers: further header fields
    """

    def __init__(self, status: int, cause: str = "", *, plain: bool = False, headers: Sequence[Header] = ()) -> None:
        super().__init__(f"{status} {cause}")
        self.status = status
        self.cause = cause
        self.plain = plain
        self.headers = tuple(headers)


def bad_request(cause: str) -> Refusal:
    """Swift's 400 with its sentence as plain text."""
    return Refusal(400, cause, plain=True)


def not_served(feature: str) -> Refusal:
    """The 501 for a feature of Swift that was asked for and is not here; ``/info`` does not list it either."""
    return Refusal(501, f"{feature} is not served here; GET /info lists what is.", plain=True)


def page(status: int, cause: str = "") -> bytes:
    """Swift's standard body of a status, with the cause as a second paragraph."""
    if status not in PAGES:
        return b""
    title, text = PAGES[status]
    more = f"<p>{escape(cause, quote=False)}</p>" if cause else ""
    return f"<html><h1>{title}</h1><p>{text}</p>{more}</html>".encode()


def answer(request: Request, status: int, headers: Sequence[Header] = ()) -> None:
    """Answer with the status's standard page, which is empty for 201 and 204."""
    request.respond(status, (HTML, *headers), page(status))


def refuse(request: Request, refusal: Refusal) -> None:
    """Answer with the refusal; a client that expects no body on HEAD gets none."""
    if refusal.plain:
        request.respond(refusal.status, (PLAIN, *refusal.headers), refusal.cause.encode())
    else:
        request.respond(refusal.status, (HTML, *refusal.headers), page(refusal.status, refusal.cause))
