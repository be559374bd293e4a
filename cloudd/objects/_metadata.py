"""
Limits of client-given metadata, as Swift's ``/info`` names them.

Only keys that start with ``meta:`` are the client's own and counted; the rest are ours.
"""

from __future__ import annotations

from collections.abc import Mapping

from ._errors import InvalidMetadata

MAX_META_NAME_BYTES = 128
MAX_META_VALUE_BYTES = 256
MAX_META_COUNT = 90
MAX_META_OVERALL_BYTES = 4_096
META = "meta:"


def check_metadata(metadata: Mapping[str, str | None]) -> None:
    """
    Check what one request sets, or what would be kept afterwards.

    :raises InvalidMetadata: a name or value too long, too many of them, too much together
    """
    own = {key.removeprefix(META): value or "" for key, value in metadata.items() if key.startswith(META)}
    if len(own) > MAX_META_COUNT:
        raise InvalidMetadata(f"{len(own)} metadata items, at most {MAX_META_COUNT} are allowed")
    overall = sum(_checked_size(name, value) for name, value in own.items())
    if overall > MAX_META_OVERALL_BYTES:
        raise InvalidMetadata(f"metadata of {overall} bytes, at most {MAX_META_OVERALL_BYTES} are allowed")


def _checked_size(name: str, value: str) -> int:
    name_size, value_size = _size(name, "name"), _size(value, "value")
    if not name:
        raise InvalidMetadata("a metadata name is empty")
    if name_size > MAX_META_NAME_BYTES:
        raise InvalidMetadata(f"metadata name of {name_size} bytes, at most {MAX_META_NAME_BYTES} are allowed")
    if value_size > MAX_META_VALUE_BYTES:
        raise InvalidMetadata(
            f"metadata value of {name!r} has {value_size} bytes, at most {MAX_META_VALUE_BYTES} are allowed"
        )
    return name_size + value_size


def _size(text: str, what: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise InvalidMetadata(f"a metadata {what} is not valid UTF-8") from None
