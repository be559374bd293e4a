# -*- test-case-name: tests.protocols.rest.network.test_records -*-
"""Bodies under the name of their kind, one or several: ``{"network": {...}}`` or ``{"networks": [...]}``."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from .._documents import Document, explain, read_object
from .._face import Call
from .._faults import Fault, bad_request
from ._bodies import RENAMED

B = TypeVar("B", bound=Document)
MAX_BULK = 1_000


async def read_one(call: Call, kind: str, schema: type[B]) -> B:
    """
    :raises Fault: 400: it is not under that name, or has members that are none
    """
    whole = await read_object(call.request, call.max_json_bytes)
    if set(whole) != {kind} or not isinstance(whole[kind], dict):
        raise bad_request(f"Unable to find '{kind}' in request body")
    return _converted(whole[kind], kind, schema)


async def read_some(call: Call, kind: str, plural: str, schema: type[B]) -> tuple[list[B], bool]:
    """
    What is to be made, and whether several were asked for.

    :raises Fault: 400, likewise
    """
    whole = await read_object(call.request, call.max_json_bytes)
    items = whole.get(plural)
    if set(whole) == {plural} and isinstance(items, list) and 1 <= len(items) <= MAX_BULK:
        return [_converted(each, kind, schema) for each in items], True
    if set(whole) != {kind} or not isinstance(whole[kind], dict):
        raise bad_request(f"Resource body required: '{kind}', or '{plural}' with 1 to {MAX_BULK} of them")
    return [_converted(whole[kind], kind, schema)], False


def _converted(given: Any, kind: str, schema: type[B]) -> B:
    if not isinstance(given, dict):
        raise bad_request(f"{kind}: expected an object.")
    inside = {field.name for field in msgspec.structs.fields(schema)}
    known = (inside - set(RENAMED.values())) | {name for name, within in RENAMED.items() if within in inside}
    if unknown := sorted(set(given) - known):
        raise bad_request(f"Unrecognized attribute(s) '{', '.join(unknown)[:200]}'")
    members = {RENAMED.get(name, name): value for name, value in given.items()}
    try:
        return msgspec.convert(members, schema)
    except msgspec.ValidationError as error:
        raise _invalid(error, schema) from None


def _invalid(error: msgspec.ValidationError, schema: type[Document]) -> Fault:
    return bad_request(f"Invalid input. {explain(str(error), schema)}")
