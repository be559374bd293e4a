# -*- test-case-name: tests.protocols.swift.test_listings -*-
"""
Listings as values: what the query asks for, and the rows as text, JSON or XML.

Characters that XML 1.0 cannot carry (most control characters) become U+FFFD there, because one of them would make
the whole document unreadable; JSON carries every name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.sax.saxutils import escape

import msgspec

from storage import AccountFacts, CommonPrefix, ContainerFacts, Listing, ObjectFacts

from ._answers import Refusal
from ._formats import listing_date
from ._limits import LISTING_ROWS
from ._paths import Query

Row = ContainerFacts | ObjectFacts | CommonPrefix
POLICY = "Policy-0"

_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ATTRIBUTE = {'"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
_TEXT = {"\r": "&#13;"}


def read_listing(query: Query) -> Listing:
    """
    What part of a listing a query asks for.

    :raises Refusal: 412 for a limit above the greatest, 400 for bytes that are not UTF-8
    """
    return Listing(
        prefix=query.text("prefix"),
        delimiter=query.text("delimiter"),
        marker=query.text("marker"),
        end_marker=query.text("end_marker"),
        limit=read_limit(query),
        reverse=query.flag("reverse"),
    )


def read_limit(query: Query) -> int:
    """
    The number of rows asked for.  Swift takes whatever is no number as if it were not there.

    :raises Refusal: 412 above the greatest
    """
    text = query.text("limit")
    if not (text.isascii() and text.isdigit()):
        return LISTING_ROWS
    # A limit of a million digits is above the greatest without being converted.
    digits = text.lstrip("0") or "0"
    if len(digits) > 9 or int(digits) > LISTING_ROWS:
        raise Refusal(412, f"Maximum limit is {LISTING_ROWS}", plain=True)
    return int(digits)


def render(content_type: str, owner: AccountFacts | ContainerFacts, rows: Sequence[Row]) -> bytes:
    """
    The body of a listing.  Takes about 4 µs a row: longer ones belong into a thread.

    :param content_type: one of ``LISTING_TYPES``
    :param owner: whose listing it is; XML names it
    """
    if content_type == "application/json":
        return msgspec.json.encode([_json_row(row) for row in rows])
    if content_type.endswith("/xml"):
        return _render_xml(owner, rows)
    return "".join(f"{row.name}\n" for row in rows).encode()


def _json_row(row: Row) -> dict[str, str | int]:
    if isinstance(row, CommonPrefix):
        return {"subdir": row.name}
    if isinstance(row, ObjectFacts):
        return {
            "bytes": row.size,
            "hash": row.etag,
            "name": row.name,
            "content_type": row.content_type,
            "last_modified": listing_date(row.modified_us),
        }
    return {
        "name": row.name,
        "count": row.object_count,
        "bytes": row.bytes_used,
        "last_modified": listing_date(row.modified_us),
        "storage_policy": POLICY,
    }


def _render_xml(owner: AccountFacts | ContainerFacts, rows: Sequence[Row]) -> bytes:
    root = "account" if isinstance(owner, AccountFacts) else "container"
    parts = [_XML, f"<{root} name={_attribute(owner.name)}>"]
    if root == "account":
        parts.append("\n")
    for row in rows:
        parts.append(_xml_row(row, root))
        if root == "account":
            parts.append("\n")
    parts.append(f"</{root}>")
    return "".join(parts).encode()


def _xml_row(row: Row, root: str) -> str:
    if isinstance(row, CommonPrefix):
        inner = _element("name", row.name) if root == "container" else ""
        return f"<subdir name={_attribute(row.name)}>{inner}</subdir>"
    fields = _json_row(row)
    names = (
        ("name", "hash", "bytes", "content_type", "last_modified")
        if isinstance(row, ObjectFacts)
        else ("name", "count", "bytes", "last_modified", "storage_policy")
    )
    kind = "object" if isinstance(row, ObjectFacts) else "container"
    return f"<{kind}>{''.join(_element(name, str(fields[name])) for name in names)}</{kind}>"


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(_NOT_XML.sub(chr(0xFFFD), text), _TEXT)}</{name}>"


def _attribute(text: str) -> str:
    return f'"{escape(_NOT_XML.sub(chr(0xFFFD), text), _ATTRIBUTE)}"'
