# -*- test-case-name: tests.protocols.swift.test_metadata -*-
"""
Between header fields and the store's flat metadata.

The store's keys are shared with the S3 face: ``meta:<name>`` is what users set, ``header:<name>`` is what is sent
back as a header of that name, ``acl:read`` and ``acl:write`` are container ACLs.  ``manifest`` is Swift's own: the
value of ``X-Object-Manifest`` as it was sent.  Names are lower-case; HTTP does not keep case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from cloudd.objects import READ_LIST, WRITE_LIST, check_metadata, clean_access_list

from ._answers import bad_request, not_served
from ._limits import HEADER_VALUE_BYTES

if TYPE_CHECKING:
    from cloudd.protocols.http import Header

MANIFEST = "manifest"
OBJECT_HEADERS = (
    b"content-encoding",
    b"content-disposition",
    b"cache-control",
    b"content-language",
    b"expires",
    b"x-robots-tag",
)
ACL_HEADERS = {b"x-container-read": READ_LIST, b"x-container-write": WRITE_LIST}
ACL_REMOVALS = {b"x-remove-container-read": READ_LIST, b"x-remove-container-write": WRITE_LIST}

# Headers and metadata names that switch on a feature of Swift which is not here.
REFUSED_HEADERS = {
    b"x-delete-at": "Expiry (X-Delete-At)",
    b"x-delete-after": "Expiry (X-Delete-After)",
    b"x-symlink-target": "Symbolic links (X-Symlink-Target)",
    b"x-versions-location": "Versions (X-Versions-Location)",
    b"x-history-location": "Versions (X-History-Location)",
    b"x-versions-enabled": "Versions (X-Versions-Enabled)",
    b"x-container-sync-to": "Container sync",
    b"x-container-sync-key": "Container sync",
    b"x-account-access-control": "Account ACLs (X-Account-Access-Control)",
    b"x-open-expired": "Expiry (X-Open-Expired)",
}
REFUSED_META = {
    "temp-url-key": "Temporary URLs",
    "temp-url-key-2": "Temporary URLs",
    "quota-bytes": "Quotas",
    "quota-count": "Quotas",
    "access-control-allow-origin": "Cross-origin access",
    "access-control-max-age": "Cross-origin access",
    "access-control-expose-headers": "Cross-origin access",
    "web-index": "Static websites",
    "web-error": "Static websites",
    "web-listings": "Static websites",
    "web-listings-css": "Static websites",
    "web-listings-label": "Static websites",
    "web-directory-type": "Static websites",
}


def refuse_features(headers: Iterable[Header]) -> None:
    """
    Features that would otherwise be ignored in silence.

    :raises Refusal: 501 naming the feature
    """
    for name, value in headers:
        if name in REFUSED_HEADERS and value.strip():
            raise not_served(REFUSED_HEADERS[name])


def read_changes(headers: Iterable[Header], kind: str) -> dict[str, str | None]:
    """
    The ``X-<kind>-Meta-*`` and ``X-Remove-<kind>-Meta-*`` fields of a request, as changes to the store's metadata.

    :param kind: ``account``, ``container`` or ``object``
    :return: value by key; None: remove.  For accounts and containers an empty value removes too, as in Swift
    :raises InvalidMetadata: beyond a limit
    :raises Refusal: 400 for bytes that are not UTF-8, 501 for a feature's switch
    """
    prefix = b"x-%s-meta-" % kind.encode()
    removal = b"x-remove-%s-meta-" % kind.encode()
    changes: dict[str, str | None] = {}
    for name, value in headers:
        if len(value) > HEADER_VALUE_BYTES:
            raise bad_request(f"Header value too long: {name[:128].decode('latin-1')}")
        if name.startswith(removal):
            changes[f"meta:{_key(name, removal)}"] = None
        elif name.startswith(prefix):
            key, content = _key(name, prefix), text(name, value)
            if kind != "object" and key in REFUSED_META and content:
                raise not_served(REFUSED_META[key])
            changes[f"meta:{key}"] = content if content or kind == "object" else None
    check_metadata(changes)
    return changes


def read_object_metadata(headers: Iterable[Header]) -> dict[str, str]:
    """
    The whole metadata that an object PUT or POST sets.

    :raises InvalidMetadata: beyond a limit
    :raises Refusal: 400 for bytes that are not UTF-8, 501 for a feature's switch
    """
    headers = list(headers)
    refuse_features(headers)
    metadata = {key: value for key, value in read_changes(headers, "object").items() if value is not None}
    for name, value in headers:
        if name in OBJECT_HEADERS:
            metadata[f"header:{name.decode()}"] = text(name, value)
    return metadata


def read_acls(headers: Iterable[Header]) -> dict[str, str | None]:
    """
    Container ACLs as sent, cleaned as Swift cleans them.

    :raises InvalidAccessList: for an element that means nothing
    """
    changes: dict[str, str | None] = {}
    for name, value in headers:
        if name in ACL_HEADERS:
            key = ACL_HEADERS[name]
            changes[key] = clean_access_list(text(name, value), writing=key == WRITE_LIST) or None
        elif name in ACL_REMOVALS:
            changes[ACL_REMOVALS[name]] = None
    return changes


def container_headers(metadata: Mapping[str, str], owner: bool) -> list[Header]:
    """A container's metadata as answer headers; its ACLs are shown to owners only, as in Swift."""
    headers = _user_headers(metadata, b"X-Container-Meta-")
    if owner:
        for name, key in ((b"X-Container-Read", READ_LIST), (b"X-Container-Write", WRITE_LIST)):
            if metadata.get(key):
                headers.append((name, metadata[key].encode()))
    return headers


def account_headers(metadata: Mapping[str, str]) -> list[Header]:
    """An account's metadata as answer headers."""
    return _user_headers(metadata, b"X-Account-Meta-")


def kept_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """What a POST leaves as it is: what the other face knows about the data."""
    return {
        key: value for key, value in metadata.items() if not key.startswith(("meta:", "header:")) and key != MANIFEST
    }


def object_headers(metadata: Mapping[str, str]) -> list[Header]:
    """An object's metadata as answer headers."""
    headers = _user_headers(metadata, b"X-Object-Meta-")
    for key, value in metadata.items():
        if key.startswith("header:"):
            headers.append((key[7:].title().encode(), value.encode()))
    if MANIFEST in metadata:
        headers.append((b"X-Object-Manifest", metadata[MANIFEST].encode()))
    return headers


def _user_headers(metadata: Mapping[str, str], prefix: bytes) -> list[Header]:
    return [
        (prefix + key[5:].title().encode(), value.encode())
        for key, value in metadata.items()
        if key.startswith("meta:")
    ]


def _key(name: bytes, prefix: bytes) -> str:
    return text(name, name[len(prefix) :]).lower()


def text(name: bytes, value: bytes) -> str:
    """
    A header value as text.

    :param name: of the field, for the refusal
    :raises Refusal: 400
    """
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise bad_request(f"{name.decode('latin-1')} must be valid UTF-8") from None
