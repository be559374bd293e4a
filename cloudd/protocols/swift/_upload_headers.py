# -*- test-case-name: tests.protocols.swift -*-
"""What the header fields and parameters of a PUT, POST or COPY of an object mean."""

from __future__ import annotations

import mimetypes
from urllib.parse import quote

from cloudd.protocols.http import Header, Request
from storage import ObjectFacts

from ._answers import Refusal, bad_request, not_served
from ._formats import header_date
from ._metadata import MANIFEST, text
from ._paths import Query, decode, is_true

# Query parameters, alone or with a value, of what is not here.
REFUSED_UPLOAD_PARAMETERS = {
    "multipart-manifest=put": "Static large objects (use X-Object-Manifest)",
    "multipart-manifest=delete": "Static large objects (use X-Object-Manifest)",
    "version-id": "Versions",
    "heartbeat": "Heartbeats of long copies",
}


def refuse_parameters(query: Query) -> None:
    """
    Query parameters that switch on a feature which is not here.

    :raises Refusal: 501
    """
    for asked, feature in REFUSED_UPLOAD_PARAMETERS.items():
        name, _, value = asked.partition("=")
        if name in query and value in ("", query.text(name)):
            raise not_served(feature)


def read_manifest(request: Request) -> dict[str, str]:
    """
    ``X-Object-Manifest`` as metadata, or nothing.

    :raises Refusal: 400 when it is not ``container/prefix``
    """
    value = request.header(b"x-object-manifest")
    if value is None or not value.strip():
        return {}
    shown = text(b"x-object-manifest", value.strip())
    container, _, prefix = shown.removeprefix("/").partition("/")
    if not container or not prefix or "?" in shown or "&" in shown or prefix.startswith("/"):
        raise bad_request("X-Object-Manifest must be in the format container/prefix")
    decode(value)
    return {MANIFEST: shown}


def choose_content_type(request: Request, name: str) -> str:
    """
    The type that was sent, or one guessed from the name when none was, or when the client asks for that.

    :raises Refusal: 400
    """
    detect = is_true((request.header(b"x-detect-content-type") or b"").decode("latin-1"))
    sent = request.header(b"content-type")
    if detect or not sent:
        # A URL, because guess_type reads its argument as one.
        return mimetypes.guess_type(quote(name))[0] or "application/octet-stream"
    content_type = text(b"content-type", sent)
    if any(part.strip().startswith("swift_") for part in content_type.split(";")[1:]):
        raise bad_request("Invalid Content-Type, swift_* is not a valid parameter name.")
    return content_type


def created_headers(facts: ObjectFacts) -> list[Header]:
    """What is said about an object that was just written."""
    return [(b"Etag", facts.etag.encode()), (b"Last-Modified", header_date(facts.modified_us))]


def wanted_etag(request: Request) -> str:
    """The MD5 that the client expects, in lower-case hex without quotes; ``""`` when it does not say."""
    value = (request.header(b"etag") or b"").decode("latin-1").strip().lower()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def too_large() -> Refusal:
    """The 413 for a body beyond the greatest object."""
    return Refusal(413, "Your request is too large.", plain=True)
