# -*- test-case-name: tests.protocols.amqp.test_methods -*-
"""
Methods and content headers as payloads of frames, for txAMQP's model of the specification.

txAMQP's own codec counts text before it is encoded, takes bytes for text where they look like it, and writes two of
fifteen kinds of values in tables.  This one takes its model of methods and fields, and packs a method whole, so that
nothing of it is sent when a part cannot be encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from struct import Struct, error
from typing import Any

from txamqp import spec as txamqp_spec

from ._values import (
    Malformed,
    Unencodable,
    pack_long_string,
    pack_short_string,
    pack_table,
    unpack_long_bytes,
    unpack_short_string,
    unpack_table,
)

_IDS, _CONTENT = Struct("!HH"), Struct("!HHQ")
_BASIC = 60  # the class of messages
_NUMBERS = {
    "octet": Struct("!B"),
    "short": Struct("!H"),
    "long": Struct("!I"),
    "longlong": Struct("!Q"),
    "timestamp": Struct("!Q"),
}
_STRINGS: dict[str, Callable[[Any], bytes]] = {
    "shortstr": pack_short_string,
    "longstr": pack_long_string,
    "table": pack_table,
}
_PARSERS: dict[str, Callable[[bytes, int], tuple[Any, int]]] = {
    "shortstr": unpack_short_string,
    "longstr": unpack_long_bytes,
    "table": unpack_table,
}


@cache
def specification() -> Any:
    """AMQP 0-9-1 with RabbitMQ's extensions, as a ``txamqp.spec.Spec``."""
    return txamqp_spec.load(str(Path(__file__).parent / "amqp0-9-1.xml"))


def find_method(name: str) -> Any:
    """
    :param name: as ``basic.publish``
    """
    return specification().parse_method(name)


def pack_method(method: Any, arguments: Sequence[Any]) -> bytes:
    """
    The payload of a method's frame.

    :param arguments: one for each field, in its order
    :raises Unencodable: one has no form in AMQP; it is named
    """
    pieces = [_IDS.pack(method.klass.id, method.id)]
    bits: list[bool] = []
    for field, value in zip(method.fields.items, arguments, strict=True):
        if field.type == "bit":
            bits.append(bool(value))
            continue
        pieces += _pack_bits(bits)
        pieces.append(_pack_field(field, value))
    pieces += _pack_bits(bits)
    return b"".join(pieces)


def unpack_method(payload: bytes) -> tuple[Any, list[Any]]:
    """
    The method and its arguments.

    :raises Malformed: there is no such method, or it is cut off, or too long
    """
    if len(payload) < 4:
        raise Malformed("the name of a method is cut off")
    class_id, method_id = _IDS.unpack_from(payload)
    try:
        method = specification().classes.byid[class_id].methods.byid[method_id]
    except KeyError:
        raise Malformed(f"there is no method {method_id} of class {class_id}") from None
    arguments, at, bit = [], 4, 0
    for field in method.fields.items:
        if field.type == "bit":
            if bit % 8 == 0:
                at += 1
                if at > len(payload):
                    raise Malformed(f"{method.klass.name}.{method.name} is cut off")
            arguments.append(bool(payload[at - 1] >> bit % 8 & 1))
            bit += 1
            continue
        bit = 0
        value, at = _unpack_field(field, payload, at)
        arguments.append(value)
    if at != len(payload):
        raise Malformed(f"{method.klass.name}.{method.name} has {len(payload) - at} bytes too many")
    return method, arguments


def pack_header(size: int, properties: Mapping[str, Any]) -> bytes:
    """
    The payload of the header's frame of a message of ``size`` bytes.

    :param properties: of class ``basic``, by name (``content-type``, ``headers``, ``delivery-mode`` …); None: left out
    :raises Unencodable: there is no such property, or it has no form in AMQP
    """
    places, flags, pieces = _places(), 0, []
    for name, value in properties.items():
        try:
            place, field = places[name]
        except KeyError:
            raise Unencodable(f"messages have no property {name!r}") from None
        if value is not None:
            flags |= 1 << 15 - place
            pieces.append((place, _pack_field(field, value)))
    pieces.sort()
    return b"".join((_CONTENT.pack(_BASIC, 0, size), flags.to_bytes(2, "big"), *(packed for _, packed in pieces)))


@cache
def _places() -> dict[str, tuple[int, Any]]:
    """Of each property of a message: which bit it has, and its field."""
    fields = specification().classes.byname["basic"].fields.items
    return {field.name: (place, field) for place, field in enumerate(fields)}


def unpack_header(payload: bytes) -> tuple[int, dict[str, Any]]:
    """
    Size of the body in bytes, and properties.

    :raises Malformed: as in ``unpack_method``
    """
    basic = specification().classes.byname["basic"]
    if len(payload) < 14:
        raise Malformed("the header of a message is cut off")
    class_id, _weight, size = _CONTENT.unpack_from(payload)
    flags = int.from_bytes(payload[12:14], "big")
    if class_id != _BASIC or flags & 1:
        raise Malformed(f"the header of a message is of class {class_id} and has the flags {flags:#x}")
    properties, at = {}, 14
    for place, field in enumerate(basic.fields.items):
        if flags >> 15 - place & 1:
            properties[field.name], at = _unpack_field(field, payload, at)
    return size, properties


def _pack_field(field: Any, value: Any) -> bytes:
    try:
        if (number := _NUMBERS.get(field.type)) is not None:
            return number.pack(value)
        return _STRINGS[field.type](value)
    except (error, TypeError, AttributeError) as cause:
        raise Unencodable(f"{field.name}: {value!r} is no {field.type}: {cause}") from None
    except Unencodable as cause:
        raise Unencodable(f"{field.name}: {cause}") from None


def _unpack_field(field: Any, data: bytes, at: int) -> tuple[Any, int]:
    if (number := _NUMBERS.get(field.type)) is not None:
        if at + number.size > len(data):
            raise Malformed(f"{field.name} is cut off")
        return number.unpack_from(data, at)[0], at + number.size
    try:
        return _PARSERS[field.type](data, at)
    except Malformed as cause:
        raise Malformed(f"{field.name}: {cause}") from None


def _pack_bits(bits: list[bool]) -> list[bytes]:
    """What was gathered, eight to a byte; afterwards there is nothing."""
    packed = [sum(bit << place for place, bit in enumerate(bits[at : at + 8])) for at in range(0, len(bits), 8)]
    bits.clear()
    return [bytes(packed)] if packed else []
