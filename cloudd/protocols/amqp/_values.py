# -*- test-case-name: tests.protocols.amqp.test_values -*-
"""
Values of AMQP 0-9-1 as bytes, with the field types that RabbitMQ has for tables.

Source: AMQP 0-9-1 section 4.2, and RabbitMQ's "AMQP 0-9-1 Errata" section 3 (its types, not the specification's, where
the two differ: ``s`` is a 16-bit integer).  Strings of a table are UTF-8; bytes that are not stay what they are
(``surrogateescape``), so that a header which somebody else wrote survives being passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from struct import Struct, error
from typing import Any

MAX_DEPTH = 32
_LONG = Struct("!L")
_INT32, _INT64, _DOUBLE = Struct("!ci"), Struct("!cq"), Struct("!cd")
_DECIMAL = Struct("!cBi")

Table = dict[str, Any]


class Unencodable(ValueError):
    """A value has no form in AMQP; the text names where in the table it is."""


class Malformed(ValueError):
    """Bytes are not what they claim to be."""


def pack_short_string(text: str | bytes) -> bytes:
    """
    One byte of length, in bytes, and UTF-8.

    :raises Unencodable: more than 255 bytes, or half of a surrogate pair
    """
    data = text if isinstance(text, bytes) else _encode(text)
    if len(data) > 255:
        raise Unencodable(f"a short string has {len(data)} bytes, 255 are allowed: {data[:40]!r}…")
    return bytes((len(data),)) + data


def pack_long_string(text: str | bytes) -> bytes:
    """
    Four bytes of length, in bytes, and what it is.

    :raises Unencodable: it has half of a surrogate pair
    """
    data = text if isinstance(text, bytes) else _encode(text)
    return _LONG.pack(len(data)) + data


def _encode(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as cause:
        raise Unencodable(f"{text[:40]!r} has no form in UTF-8: {cause.reason}") from None


def pack_table(table: Mapping[str, Any]) -> bytes:
    """
    A field table with its length.

    ``bool``, ``int`` of 64 bits, ``float``, ``str``, ``bytes``, ``None``, ``Decimal``, aware ``datetime`` (to the
    second), and lists and mappings of these.

    :raises Unencodable: what is not, nested deeper than ``MAX_DEPTH`` too
    """
    return _pack_table(table, "", MAX_DEPTH)


def _pack_table(table: Mapping[str, Any], path: str, depth: int) -> bytes:
    pieces = []
    for key, value in table.items():
        if not isinstance(key, str):
            raise Unencodable(f"{path or 'table'}: the key {key!r} is no string")
        pieces.append(pack_short_string(key))
        pieces.append(_pack_value(value, f"{path}.{key}" if path else key, depth))
    return _LONG.pack(sum(map(len, pieces))) + b"".join(pieces)


def _pack_value(value: Any, path: str, depth: int) -> bytes:
    if depth == 0:
        raise Unencodable(f"{path}: nested deeper than {MAX_DEPTH}")
    pack = _PACKERS.get(type(value))
    if pack is not None:
        return pack(value, path)
    if isinstance(value, Mapping):
        return b"F" + _pack_table(value, path, depth - 1)
    if isinstance(value, list | tuple):
        items = b"".join(_pack_value(item, f"{path}[{place}]", depth - 1) for place, item in enumerate(value))
        return b"A" + pack_long_string(items)
    raise Unencodable(f"{path}: {type(value).__name__} has no form in a table")


def _pack_int(value: int, path: str) -> bytes:
    try:
        return (_INT32 if -(2**31) <= value < 2**31 else _INT64).pack(
            b"I" if -(2**31) <= value < 2**31 else b"l", value
        )
    except error:
        raise Unencodable(f"{path}: {value} has more than 64 bits") from None


def _pack_decimal(value: Decimal, path: str) -> bytes:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or not -255 <= exponent <= 0:
        raise Unencodable(f"{path}: {value} has no place for its point in a decimal of AMQP")
    number = int("".join(map(str, digits))) * (-1 if sign else 1)
    try:
        return _DECIMAL.pack(b"D", -exponent, number)
    except error:
        raise Unencodable(f"{path}: {value} has more digits than 32 bits hold") from None


def _pack_time(value: datetime, path: str) -> bytes:
    if value.tzinfo is None:
        raise Unencodable(f"{path}: {value} has no time zone")
    return b"T" + int(value.timestamp()).to_bytes(8, "big", signed=True)


_PACKERS: dict[type, Callable[[Any, str], bytes]] = {
    bool: lambda value, _path: b"t\x01" if value else b"t\x00",
    int: _pack_int,
    float: lambda value, _path: _DOUBLE.pack(b"d", value),
    str: lambda value, _path: b"S" + pack_long_string(value),
    bytes: lambda value, _path: b"x" + pack_long_string(value),
    type(None): lambda _value, _path: b"V",
    Decimal: _pack_decimal,
    datetime: _pack_time,
}


def unpack_short_string(data: bytes, at: int) -> tuple[str, int]:
    """
    :param at: where it begins
    :return: it, and where it ends
    :raises Malformed: ``data`` ends before it does
    """
    if at >= len(data):
        raise Malformed("a short string is missing")
    end = at + 1 + data[at]
    if end > len(data):
        raise Malformed("a short string is cut off")
    return data[at + 1 : end].decode("utf-8", "surrogateescape"), end


def unpack_long_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """The same of a long string, which may hold anything."""
    if at + 4 > len(data):
        raise Malformed("the length of a long string is cut off")
    end = at + 4 + _LONG.unpack_from(data, at)[0]
    if end > len(data):
        raise Malformed("a long string is cut off")
    return data[at + 4 : end], end


def unpack_table(data: bytes, at: int) -> tuple[Table, int]:
    """The same of a field table; values of kinds that Python has no type for are the nearest ones."""
    return _unpack_table(data, at, MAX_DEPTH)


def _unpack_table(data: bytes, at: int, depth: int) -> tuple[Table, int]:
    inner, end = unpack_long_bytes(data, at)
    table: Table = {}
    place = 0
    while place < len(inner):
        key, place = unpack_short_string(inner, place)
        table[key], place = _unpack_value(inner, place, depth)
    return table, end


def _unpack_array(data: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    inner, end = unpack_long_bytes(data, at)
    items, place = [], 0
    while place < len(inner):
        item, place = _unpack_value(inner, place, depth)
        items.append(item)
    return items, end


def _unpack_value(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if depth == 0:
        raise Malformed(f"a table is nested deeper than {MAX_DEPTH}")
    kind = data[at : at + 1]
    at += 1
    if (number := _NUMBERS.get(kind)) is not None:
        if at + number.size > len(data):
            raise Malformed(f"a value of type {kind!r} is cut off")
        return number.unpack_from(data, at)[0], at + number.size
    if kind == b"S":
        text, end = unpack_long_bytes(data, at)
        return text.decode("utf-8", "surrogateescape"), end
    if (unpack := _UNPACKERS.get(kind)) is not None:
        return unpack(data, at, depth - 1)
    raise Malformed(f"a table has a value of the unknown type {kind!r}")


def _unpack_decimal(data: bytes, at: int, _depth: int) -> tuple[Decimal, int]:
    if at + 5 > len(data):
        raise Malformed("a decimal is cut off")
    number = int.from_bytes(data[at + 1 : at + 5], "big", signed=True)
    return Decimal(number).scaleb(-data[at]), at + 5


def _unpack_time(data: bytes, at: int, _depth: int) -> tuple[datetime | int, int]:
    if at + 8 > len(data):
        raise Malformed("a time is cut off")
    seconds = int.from_bytes(data[at : at + 8], "big", signed=True)
    try:
        return datetime.fromtimestamp(seconds, UTC), at + 8
    except (OverflowError, ValueError, OSError):
        return seconds, at + 8  # a time that Python's calendar does not reach


_NUMBERS = {
    b"t": Struct("!?"),
    b"b": Struct("!b"),
    b"B": Struct("!B"),
    b"s": Struct("!h"),
    b"u": Struct("!H"),
    b"I": Struct("!i"),
    b"i": Struct("!I"),
    b"l": Struct("!q"),
    b"f": Struct("!f"),
    b"d": Struct("!d"),
}
_UNPACKERS: dict[bytes, Callable[[bytes, int, int], tuple[Any, int]]] = {
    b"x": lambda data, at, _depth: unpack_long_bytes(data, at),
    b"V": lambda _data, at, _depth: (None, at),
    b"F": _unpack_table,
    b"A": _unpack_array,
    b"D": _unpack_decimal,
    b"T": _unpack_time,
}
