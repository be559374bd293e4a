# -*- test-case-name: tests.protocols.rest.compute.test_versions -*-
"""
One call of a compute route: with its version, and bodies read as strictly as Nova's schemas have it.

Whole numbers may come as text and truth values as words, since clients send both; ``whole`` and ``truth`` read them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from typing import Any, TypeVar

import msgspec
from attrs import frozen

from cloudd.compute import Order

from .._documents import Document, explain, read_object
from .._face import Call
from .._faults import Fault, bad_request
from .._query import meaning_of
from ._versions import ALWAYS, Members, Version, text_of

S = TypeVar("S", bound=Document)

MAX_INT = 0x7FFFFFFF
MAX_LIMIT = 1_000
#: From here on a parameter of a list that is not known is refused.
STRICT: Version = (2, 75)

_TRUE = frozenset({"true", "1", "on", "yes"})
_FALSE = frozenset({"false", "0", "off", "no"})
_DIGITS = re.compile(r"[0-9]{1,18}")


@frozen
class ComputeCall(Call):
    """
    :ivar version: in which it is answered
    """

    version: Version

    def order(self, server_id: str) -> Order:
        """The call, as one that changes this server."""
        return Order(self.access, server_id, self.request.id)

    async def read_body(self, kind: str, schema: type[S], members: Members = ALWAYS) -> S:
        """
        What stands under ``kind`` in the body, and nothing beside it.

        :param members: which of the schema's members there are in which version
        :raises Fault: 400 with the place and the cause
        """
        whole = await self.read_object()
        if kind not in whole:
            raise invalid(f"'{kind}' is a required property")
        if len(whole) > 1:
            raise invalid(_unexpected(sorted(set(whole) - {kind})))
        return self.converted(kind, whole[kind], schema, members)

    async def read_object(self) -> dict[str, Any]:
        """
        The body, which is a JSON object.

        :raises Fault: 400: it is none
        """
        return await read_object(self.request, self.max_json_bytes)

    def converted(self, kind: str, given: Any, schema: type[S], members: Members = ALWAYS) -> S:
        """
        A part of a body that was read already.

        :raises Fault: 400 with the place and the cause
        """
        if not isinstance(given, dict):
            raise invalid("expected an object", kind)
        known = set(schema.__struct_encode_fields__)
        strange = sorted((set(given) - known) | set(members.strange(self.version, given)))
        if strange:
            raise invalid(f"{_unexpected(strange)} in version {text_of(self.version)}", kind)
        try:
            return msgspec.convert(given, schema)
        except msgspec.ValidationError as error:
            raise invalid(explain(str(error), schema), kind) from None

    def only(self, names: Collection[str]) -> None:
        """
        From 2.75 on, no other parameters than these.

        :raises Fault: 400 with those that are too many
        """
        if self.version >= STRICT and (strange := sorted({name for name, _ in self.query.pairs} - set(names))):
            raise bad_request(f"{_unexpected(strange)}; known here: {', '.join(sorted(names)) or 'none'}.")

    def count(self, name: str) -> int | None:
        """
        A parameter that is a whole number from 0 on; None: it is not there.

        :raises Fault: 400: it is none
        """
        value = self.query.get(name)
        if value is None:
            return None
        return whole(name, value, 0)

    def limit(self) -> int:
        """Longest page: at most 1,000; 0 is that, too."""
        return min(self.count("limit") or MAX_LIMIT, MAX_LIMIT)


def invalid(cause: str, path: str = "") -> Fault:
    """400 for a body."""
    place = f"Invalid input for field/attribute {path}. " if path else "Invalid input received: "
    return bad_request(f"{place}{cause}")


def _unexpected(names: Collection[str]) -> str:
    shown = ", ".join(f"'{name[:80]}'" for name in list(names)[:10])
    return f"Additional properties are not allowed ({shown} {'was' if len(names) == 1 else 'were'} unexpected)"


def whole(path: str, value: int | str, minimum: int, maximum: int = MAX_INT) -> int:
    """
    A whole number that may have come as text.

    :raises Fault: 400: it is none, or outside of the bounds
    """
    if isinstance(value, str) and not _DIGITS.fullmatch(value.removeprefix("-")):
        raise invalid(f"Value: {value[:40]}. It is not a whole number.", path)
    number = int(value)
    if not minimum <= number <= maximum:
        raise invalid(f"Value: {str(number)[:40]}. It must lie between {minimum} and {maximum}.", path)
    return number


def truth(path: str, value: bool | str) -> bool:
    """
    A truth value that may have come as a word.

    :raises Fault: 400: it is none
    """
    if isinstance(value, bool):
        return value
    meant = meaning_of(value, _TRUE, _FALSE)
    if meant is None:
        raise invalid(f"Value: {value[:40]}. It is neither true nor false.", path)
    return meant


def printable(path: str, name: str) -> str:
    """
    A name as Nova has them: characters that can be printed, no blank at either end.

    :raises Fault: 400: it is none
    """
    if name != name.strip():
        raise invalid("It begins or ends with blanks.", path)
    for character in name:
        category = unicodedata.category(character)
        if category[0] == "C" or category in ("Zl", "Zp"):
            raise invalid("It holds a character that cannot be printed.", path)
    return name
