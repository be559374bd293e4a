"""
Listings of a bucket: ListObjects, ListObjectsV2 and ListObjectVersions.

All three are one question to the store and three ways to write the answer.  The question asks for one row more than
the page holds, which tells whether there is a next page.  A continuation token is the last name of the page, coded so
that clients do not read it.
"""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from attrs import frozen

from cloudd.objects import Action
from storage import CommonPrefix, Listing, ObjectFacts

from ._call import Call, iso_date
from ._checksums import FULL_OBJECT, TYPE_KEY, found
from ._errors import S3Error
from ._xml import element, escape, texts

MAX_KEYS = 1000
INLINE_ROWS = 100
Row = ObjectFacts | CommonPrefix


@frozen(kw_only=True)
class Page:
    """One page of rows, in order."""

    rows: Sequence[Row]
    truncated: bool

    @property
    def last(self) -> str:
        return self.rows[-1].name if self.rows else ""


async def list_objects(call: Call) -> None:
    """GET bucket.  ``NextMarker`` comes always when truncated: clients without a delimiter ignore it."""
    page, shown = await _page(call, call.query.get("marker", ""))
    call.answer_xml(
        "ListBucketResult",
        texts([("Name", call.bucket), ("Prefix", shown(call.query.get("prefix", "")))]),
        texts([("Marker", shown(call.query.get("marker", "")))]),
        texts([("NextMarker", shown(page.last) if page.truncated else None)]),
        _echo(call, shown, page),
        await _rows(call, page, shown, with_owner=True),
    )


async def list_objects_v2(call: Call) -> None:
    """GET bucket?list-type=2."""
    if call.query["list-type"] != "2":
        raise S3Error("InvalidArgument", "list-type must be 2.", ArgumentName="list-type")
    token = call.query.get("continuation-token")
    if token == "":
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect")
    page, shown = await _page(call, _decode(token) if token is not None else call.query.get("start-after", ""))
    start_after = call.query.get("start-after")
    call.answer_xml(
        "ListBucketResult",
        texts([("Name", call.bucket), ("Prefix", shown(call.query.get("prefix", "")))]),
        texts([("StartAfter", shown(start_after) if start_after is not None else None)]),
        texts([("ContinuationToken", token)]),
        texts([("NextContinuationToken", _encode(page.last) if page.truncated else None)]),
        texts([("KeyCount", len(page.rows))]),
        _echo(call, shown, page),
        await _rows(call, page, shown, with_owner=call.query.get("fetch-owner") == "true"),
    )


async def list_versions(call: Call) -> None:
    """GET bucket?versions.  Each object has one version, ``null``."""
    page, shown = await _page(call, call.query.get("key-marker", ""))
    call.answer_xml(
        "ListVersionsResult",
        texts([("Name", call.bucket), ("Prefix", shown(call.query.get("prefix", "")))]),
        texts([("KeyMarker", shown(call.query.get("key-marker", ""))), ("VersionIdMarker", "")]),
        texts([("NextKeyMarker", shown(page.last) if page.truncated else None)]),
        texts([("NextVersionIdMarker", "null" if page.truncated else None)]),
        _echo(call, shown, page),
        await _rows(call, page, shown, with_owner=True, tag="Version", version=_ONLY_VERSION),
    )


_ONLY_VERSION = texts([("VersionId", "null"), ("IsLatest", "true")])


def shown_as(call: Call) -> Callable[[str], str]:
    """
    How names are written: as they are, or percent-encoded when the client asks.

    :raises S3Error: ``InvalidArgument``: an unknown ``encoding-type``
    """
    encoding = call.query.get("encoding-type")
    if encoding is None:
        return str
    if encoding != "url":
        raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request", ArgumentName="encoding-type")
    return percent_encoded


def percent_encoded(name: str) -> str:
    """``%20`` and ``%2B``, never ``+``: right for clients that decode plus as a space and for those that do not."""
    return quote(name, safe="/")


def owner(call: Call, tag: str = "Owner") -> str:
    return element(tag, texts([("ID", call.owner_id), ("DisplayName", call.owner_name)]))


async def _page(call: Call, marker: str) -> tuple[Page, Callable[[str], str]]:
    await call.authorize(Action.LIST_OBJECTS)
    shown = shown_as(call)
    wanted = min(call.number("max-keys", MAX_KEYS, 0, 2_147_483_647), MAX_KEYS)
    listing = Listing(
        prefix=_name(call.query, "prefix"),
        delimiter=_name(call.query, "delimiter"),
        marker=marker.replace("\0", ""),
        limit=wanted + 1,
    )
    rows = await call.store.objects(call.account, call.bucket, listing)
    return Page(rows=rows[:wanted], truncated=0 < wanted < len(rows)), shown


def _name(query: Mapping[str, str], parameter: str) -> str:
    text = query.get(parameter, "")
    if "\0" in text:
        raise S3Error("InvalidArgument", f"{parameter} contains a NUL.", ArgumentName=parameter)
    return text


def _echo(call: Call, shown: Callable[[str], str], page: Page) -> str:
    delimiter = call.query.get("delimiter")
    return texts(
        [
            ("MaxKeys", min(call.number("max-keys", MAX_KEYS, 0), MAX_KEYS)),
            ("Delimiter", shown(delimiter) if delimiter else None),
            ("EncodingType", call.query.get("encoding-type")),
            ("IsTruncated", "true" if page.truncated else "false"),
        ]
    )


async def _rows(
    call: Call, page: Page, shown: Callable[[str], str], *, with_owner: bool, tag: str = "Contents", version: str = ""
) -> str:
    """The rows as elements; those of a large page are written in a thread, a thousand take some milliseconds."""
    owned = owner(call) if with_owner else ""
    if len(page.rows) <= INLINE_ROWS:
        return _written(page.rows, shown, tag, owned, version)
    return await call.resources.threads.run(_written, page.rows, shown, tag, owned, version)


def _written(rows: Sequence[Row], shown: Callable[[str], str], tag: str, owned: str, version: str) -> str:
    objects = [_row(row, shown, tag, owned, version) for row in rows if isinstance(row, ObjectFacts)]
    prefixes = [
        f"<CommonPrefixes><Prefix>{escape(shown(row.name))}</Prefix></CommonPrefixes>"
        for row in rows
        if isinstance(row, CommonPrefix)
    ]
    return "".join(objects + prefixes)


def _row(facts: ObjectFacts, shown: Callable[[str], str], tag: str, owned: str, version: str) -> str:
    """One object; plain text building, since this is what a listing costs."""
    checksums = "".join(f"<ChecksumAlgorithm>{each.label}</ChecksumAlgorithm>" for each, _ in found(facts.metadata))
    if checksums:
        checksums += f"<ChecksumType>{escape(facts.metadata.get(TYPE_KEY, FULL_OBJECT))}</ChecksumType>"
    return (
        f"<{tag}><Key>{escape(shown(facts.name))}</Key>{version}"
        f"<LastModified>{iso_date(facts.modified_us)}</LastModified><ETag>&quot;{escape(facts.etag)}&quot;</ETag>"
        f"{checksums}<Size>{facts.size}</Size>{owned}<StorageClass>STANDARD</StorageClass></{tag}>"
    )


def _encode(name: str) -> str:
    return urlsafe_b64encode(name.encode("utf-8")).decode("ascii")


def _decode(token: str) -> str:
    try:
        return b64decode(token.encode("ascii"), altchars=b"-_", validate=True).decode("utf-8")
    except (Base64Error, ValueError) as cause:
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect") from cause
