# -*- test-case-name: tests.protocols.rest.compute.test_server_create -*-
"""Values in bodies about servers: checked, each refused with its place."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import uuid
from collections.abc import Mapping, Sequence

from msgspec import UnsetType

from cloudd.compute import AUTO, MANUAL, MAX_TAGS

from ._call import invalid, printable

_KEY = re.compile(r"[a-zA-Z0-9\-_:. ]{1,255}")
_BLANK = re.compile(r"\s+")
MAX_VALUE = 255
MAX_TAG = 60
MAX_ITEMS = 1_000  # of one body; the quota says how many a server may have


def is_uuid(text: str) -> bool:
    """With or without dashes."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def address(path: str, text: str | UnsetType, version: int) -> str:
    """
    An address as it is written shortest; empty: none was given.

    :raises Fault: 400: it is none of that IP version
    """
    if isinstance(text, UnsetType):
        return ""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        found = None
    if found is None or found.version != version:
        raise invalid(f"Value: {text[:60]}. '{text[:60]}' is not an 'ipv{version}'", path)
    return str(found)


def any_address(path: str, text: str) -> str:
    """
    The same of either version.

    :raises Fault: 400: it is none
    """
    return address(path, text, 6 if ":" in text else 4)


def disk_config(text: str | UnsetType) -> str:
    """
    :raises Fault: 400: it is neither ``AUTO`` nor ``MANUAL``
    """
    if isinstance(text, UnsetType):
        return MANUAL
    if text not in (AUTO, MANUAL):
        raise invalid(f"Value: {text[:40]}. '{text[:40]}' is not one of ['{AUTO}', '{MANUAL}']", "OS-DCF:diskConfig")
    return text


def in_base64(path: str, text: str) -> str:
    """
    The same, which can be decoded.

    :raises Fault: 400: it is not base64
    """
    try:
        base64.b64decode(_BLANK.sub("", text), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("It is not in base64.", path) from None
    return text


def items(path: str, given: Mapping[str, str]) -> dict[str, str]:
    """
    Metadata.

    :raises Fault: 400: a key or a value has the wrong form
    """
    if len(given) > MAX_ITEMS:
        raise invalid(f"More than {MAX_ITEMS} items.", path)
    for key, value in given.items():
        item(path, key, value)
    return dict(given)


def item(path: str, key: str, value: str) -> None:
    """
    One of them.

    :raises Fault: 400: the key or the value has the wrong form
    """
    if not _KEY.fullmatch(key):
        raise invalid(
            f"'{key[:60]}' is no key: 1 to 255 letters, digits, '-', '_', ':', '.' and blanks are meant.", path
        )
    if len(value) > MAX_VALUE:
        raise invalid(f"The value of '{key[:60]}' is longer than {MAX_VALUE} characters.", path)


def tags(path: str, given: Sequence[str]) -> tuple[str, ...]:
    """
    :raises Fault: 400: they are too many, or one has the wrong form
    """
    if len(given) > MAX_TAGS:
        raise invalid(f"A server has at most {MAX_TAGS} tags.", path)
    for each in given:
        tag(path, each)
    return tuple(sorted(set(given)))


def tag(path: str, given: str) -> str:
    """
    :raises Fault: 400: it has the wrong form
    """
    if not 1 <= len(given) <= MAX_TAG or "/" in given or "," in given:
        raise invalid(f"Value: {given[:60]}. 1 to {MAX_TAG} characters are meant, without '/' and ','.", path)
    return given


def description(text: str | None) -> str | None:
    """
    :raises Fault: 400: it holds what cannot be printed
    """
    printable("description", re.sub(r"[\t\r\n]", " ", text or "").strip())
    return text
