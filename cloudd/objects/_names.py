"""
Names of accounts, containers and objects: from wire bytes to checked text.

Limits are Swift's (Object Storage API v1, "/info"): a container name has at most 256 bytes and no ``/``, an object
name at most 1,024 bytes.  S3's narrower rules for buckets are checked by that face.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from ._errors import InvalidName

MAX_ACCOUNT_BYTES = 256
MAX_CONTAINER_BYTES = 256
MAX_OBJECT_BYTES = 1_024
ACCOUNT_PREFIX = "AUTH_"


def account_of(project_id: str) -> str:
    """The account that belongs to a project."""
    return ACCOUNT_PREFIX + project_id


def project_of(account: str) -> str:
    """The project that an account belongs to; ``""`` if it belongs to none."""
    return account.removeprefix(ACCOUNT_PREFIX) if account.startswith(ACCOUNT_PREFIX) else ""


def decode_name(raw: bytes, kind: str) -> str:
    """
    Percent-decode one name once and read it as UTF-8.

    :param kind: ``account``, ``container`` or ``object``, for the message
    :raises InvalidName: no UTF-8, or a NUL
    """
    try:
        name = unquote_to_bytes(raw).decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise InvalidName(kind, f"the {kind} name is not valid UTF-8") from None
    if "\0" in name:
        raise InvalidName(kind, f"the {kind} name contains a NUL")
    return name


def check_account_name(name: str) -> str:
    """:raises InvalidName: empty, too long, with ``/`` or NUL"""
    return _check_part(name, "account", MAX_ACCOUNT_BYTES)


def check_container_name(name: str) -> str:
    """:raises InvalidName: empty, too long, with ``/`` or NUL"""
    return _check_part(name, "container", MAX_CONTAINER_BYTES)


def check_object_name(name: str) -> str:
    """:raises InvalidName: empty, too long, or with NUL"""
    return _check(name, "object", MAX_OBJECT_BYTES)


def _check_part(name: str, kind: str, limit: int) -> str:
    if "/" in name:
        raise InvalidName(kind, f"the {kind} name contains a slash")
    return _check(name, kind, limit)


def _check(name: str, kind: str, limit: int) -> str:
    if not name:
        raise InvalidName(kind, f"the {kind} name is empty")
    if "\0" in name:
        raise InvalidName(kind, f"the {kind} name contains a NUL")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidName(kind, f"the {kind} name is not valid Unicode") from None
    if size > limit:
        raise InvalidName(kind, f"the {kind} name has {size} bytes, at most {limit} are allowed")
    return name
