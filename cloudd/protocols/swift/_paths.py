# -*- test-case-name: tests.protocols.swift.test_paths -*-
"""
From a raw request target to names: ``/v1/AUTH_x/container/object?query``.

The path is percent-decoded exactly once and then cut, as Swift does it, so ``%2F`` is a slash and ``%2525`` is the
name ``%25``.  An object's name is all that follows the container's slash, more slashes and ``..`` included: names
are data and reach no file system.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from cloudd.objects import InvalidName, decode_name

from ._answers import Refusal, bad_request

VERSIONS = ("v1", "v1.0")


class Place(NamedTuple):
    """What a path below ``/v1`` names; ``container`` and ``object`` are ``""`` where the path ends before them."""

    account: str
    container: str = ""
    object: str = ""

    @property
    def route(self) -> str:
        """The template for logs and metrics."""
        if self.object:
            return "/v1/{account}/{container}/{object}"
        return "/v1/{account}/{container}" if self.container else "/v1/{account}"


def decode(raw: bytes) -> str:
    """
    Percent-decode once.

    :raises Refusal: 412, as Swift, for bytes that are not UTF-8 and for NUL
    """
    try:
        return decode_name(raw, "path")
    except InvalidName:
        raise Refusal(412, "Invalid UTF8 or contains NULL", plain=True) from None


def parse_place(path: bytes) -> Place:
    """
    Read ``/v1/account[/container[/object]]``.

    :param path: raw, not yet percent-decoded, without query
    :raises Refusal: with the status that Swift's proxy gives for paths of another shape
    """
    version, _, rest = decode(path).removeprefix("/").partition("/")
    if not version:
        raise Refusal(404)
    account, _, rest = rest.partition("/")
    container, _, name = rest.partition("/")
    if not account or (name and not container):
        raise Refusal(412, "Bad URL", plain=True)
    if version not in VERSIONS:
        raise Refusal(400, "The path has to begin with /v1/.")
    return Place(account, container, name)


def parse_header_path(value: bytes, header: str) -> tuple[str, str]:
    """
    Read ``container/object`` of ``Destination`` and ``X-Copy-From``, percent-encoded, with or without first slash.

    :raises Refusal: 412 when one of the two is missing
    """
    container, _, name = decode(value).removeprefix("/").partition("/")
    if not container or not name:
        raise Refusal(412, f"{header} header must be of the form <container name>/<object name>", plain=True)
    return container, name


class Query:
    """The parameters of a query string; of a repeated one the last counts, as in Swift."""

    def __init__(self, raw: bytes) -> None:
        self._values: dict[str, bytes] = {}
        for pair in raw.split(b"&") if raw else ():
            name, _, value = pair.partition(b"=")
            decoded = unquote_to_bytes(name.replace(b"+", b" ")).decode("utf-8", "replace")
            self._values[decoded] = unquote_to_bytes(value.replace(b"+", b" "))

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get(self, name: str) -> str | None:
        """
        :raises Refusal: 400 when the value is not UTF-8
        """
        value = self._values.get(name)
        if value is None:
            return None
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise bad_request(f'"{name}" parameter not valid UTF-8') from None

    def text(self, name: str) -> str:
        """The value, ``""`` when absent."""
        return self.get(name) or ""

    def flag(self, name: str) -> bool:
        """Whether the value is one of Swift's words for true."""
        return is_true(self.text(name))


def is_true(value: str) -> bool:
    """Swift's words for true."""
    return value.strip().lower() in {"true", "1", "yes", "on", "t", "y"}
