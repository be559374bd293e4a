# -*- test-case-name: tests.protocols.rest.test_documents -*-
"""
JSON bodies: read within a limit, checked against a schema, refused with the place and the cause.

A schema is a ``Document``; a member it does not name is refused, since an ignored member is a wish that silently
does not come true.  What is wrong is said with the path of the member (``auth.identity.methods[0]``), for malformed
text with the position of the byte.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import Meta, Struct

from cloudd.protocols.http import BodyMalformed, BodyTimedOut, BodyTooLarge, BodyTruncated, Request

from ._faults import Fault, bad_request


class Document(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of every schema: members by name, unknown ones refused."""


#: A name as OpenStack has it: something, and no longer than its column.
Name = Annotated[str, Meta(min_length=1, max_length=255)]
#: An id given by a client; ours are 32 hex digits, and a longer one never matches.
Id = Annotated[str, Meta(min_length=1, max_length=64)]
#: Free text.
Text = Annotated[str, Meta(max_length=4096)]

Schema = TypeVar("Schema", bound=Document)

_WORDS = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
    "object": "an object",
    "array": "a list",
}
_PLACE = re.compile(r" - at `(?:key in )?\$\.?(?P<path>[^`]*)`$")
_TYPES = re.compile(r"^Expected `(?P<wanted>[^`]+)`, got `(?P<got>[^`]+)`$")
_LENGTH = re.compile(r"^Expected `(?P<type>\w+)` of length (?P<sign>[<>]=) (?P<count>\d+)$")
_MISSING = re.compile(r"^Object missing required field `(?P<name>.+)`$")
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>.*)`$", re.DOTALL)
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_MALFORMED = "JSON is malformed: "


async def read_document(request: Request, schema: type[Schema], limit: int) -> Schema:
    """
    The request's body as a checked document.

    :param limit: longest body in bytes
    :raises Fault: 413 for a longer body, 400 for anything that is not a document of this schema
    """
    return decode_document(await read_bytes(request, limit), schema)


async def read_object(request: Request, limit: int) -> dict[str, Any]:
    """
    The request's body as a JSON object of any members.

    :param limit: longest body in bytes
    :raises Fault: 413 for a longer body, 400 for anything that is no object
    """
    data = await read_bytes(request, limit)
    return cast(dict[str, Any], decode_document(data, cast(Any, dict[str, Any])))


async def read_bytes(request: Request, limit: int) -> bytes:
    """
    The whole body.

    :raises Fault: 413 when it is longer than ``limit`` bytes, 408 when the client stopped and is still there, 400
        when it left before the end or the chunks are broken
    """
    try:
        return await request.body.read(limit)
    except BodyTooLarge:
        raise Fault(413, f"The request body is longer than {limit} bytes.") from None
    except BodyTimedOut as error:
        raise Fault(408, f"The request body did not arrive: {error}.") from None
    except BodyMalformed as error:
        raise bad_request(f"The request body is broken: {error.cause}.") from None
    except BodyTruncated:
        raise bad_request("The request body ended before its declared length.") from None


def decode_document(data: bytes, schema: type[Schema]) -> Schema:
    """
    :raises Fault: 400 with the place and the cause
    """
    _check_text(data)
    try:
        return msgspec.json.decode(data, type=schema)
    except msgspec.ValidationError as error:
        raise bad_request(explain(str(error), schema)) from None
    except msgspec.DecodeError as error:
        raise bad_request(_malformed(str(error), len(data))) from None
    except RecursionError:
        raise bad_request("The JSON body is nested too deeply.") from None


def _check_text(data: bytes) -> None:
    if not data.strip():
        raise bad_request("The request needs a JSON body, and has none.")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad_request(f"The JSON body is not UTF-8: {error.reason} at byte {error.start}.") from None
    if b"\0" in data or _NUL.search(data):
        raise bad_request("The JSON body contains the character U+0000, which no value may have.")


def _malformed(message: str, length: int) -> str:
    if message.startswith(_MALFORMED):
        return f"The JSON body is malformed: {message.removeprefix(_MALFORMED)}."
    if "truncated" in message:
        return f"The JSON body is malformed: it ends too early, after byte {length}."
    return f"The JSON body is malformed: {message}."


def explain(message: str, schema: type[Struct]) -> str:
    """A sentence for a person, made from what msgspec says about one wrong member."""
    place = _PLACE.search(message)
    path = place["path"] if place else ""
    fact = message[: place.start()] if place else message
    if found := _UNKNOWN.match(fact):
        return _unknown(found["name"], path, schema)
    if found := _MISSING.match(fact):
        return f"{_joined(path, found['name'])} is missing."
    return f"{path or 'The JSON body'}: {_wrong(fact)}."


def _wrong(fact: str) -> str:
    if found := _TYPES.match(fact):
        wanted = " or ".join(_WORDS.get(name, name) for name in found["wanted"].split(" | "))
        return f"expected {wanted}, got {_WORDS.get(found['got'], found['got'])}"
    if found := _LENGTH.match(fact):
        unit = "characters" if found["type"] == "str" else "items"
        if found["sign"] == "<=":
            return f"longer than {found['count']} {unit}"
        return "must not be empty" if found["count"] == "1" else f"shorter than {found['count']} {unit}"
    return fact[:1].lower() + fact[1:].replace("`", "")


def _unknown(name: str, path: str, schema: type[Struct]) -> str:
    shown = name if len(name) <= 80 else name[:77] + "..."
    known = _members(schema, path)
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        advice = f"did you mean {near[0]}?"
    else:
        advice = f"known here: {', '.join(sorted(known))}." if known else "no member is known here."
    return f"{_joined(path, shown)} is not a known member; {advice}"


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _members(schema: type[Struct], path: str) -> list[str]:
    """Names of the members that the schema has at ``path``; empty when the path leads through free values."""
    kinds: list[Any] = [msgspec.inspect.type_info(schema)]
    for step in re.findall(r"\[[^\]]*\]|[^.\[\]]+", path):
        kinds = [inner for kind in kinds for inner in _inside(kind, step)]
    return [
        member.encode_name for kind in kinds if isinstance(kind, msgspec.inspect.StructType) for member in kind.fields
    ]


def _inside(kind: Any, step: str) -> list[Any]:
    if isinstance(kind, msgspec.inspect.StructType):
        return [choice for member in kind.fields if member.encode_name == step for choice in _choices(member.type)]
    if isinstance(kind, msgspec.inspect.ListType):
        return _choices(kind.item_type)
    if isinstance(kind, msgspec.inspect.DictType):
        return _choices(kind.value_type)
    return []


def _choices(kind: Any) -> list[Any]:
    return list(kind.types) if isinstance(kind, msgspec.inspect.UnionType) else [kind]
