"""Object metadata: from the headers of a write to what the store keeps, and back to the headers of a read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from attrs import frozen

from cloudd.objects import format_http_date
from cloudd.protocols.http import Header
from storage import ObjectFacts

from ._checksums import PREFIX, TYPE_KEY, found
from ._errors import S3Error

MAX_USER_METADATA_BYTES = 2048
DEFAULT_CONTENT_TYPE = "binary/octet-stream"
META, HEADER = "meta:", "header:"
PARTS, PART_SIZES, UPLOAD_ID = "parts", "part-sizes", "upload-id"
_KEPT_HEADERS = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")
_AMZ_META = "x-amz-meta-"
_OVERRIDES = ("content-type", "content-language", "expires", "cache-control", "content-disposition", "content-encoding")


@frozen
class Description:
    """What a client says about an object besides its bytes."""

    content_type: str
    metadata: Mapping[str, str]


def describe(headers: Mapping[str, str]) -> Description:
    """
    Read a write's headers.  ``aws-chunked`` is how the body travelled, not how the object is coded.

    :raises S3Error: ``MetadataTooLarge``
    """
    metadata = {META + name[len(_AMZ_META) :]: text for name, text in headers.items() if name.startswith(_AMZ_META)}
    size = sum(len(key.encode()) - len(META) + len(text.encode()) for key, text in metadata.items())
    if size > MAX_USER_METADATA_BYTES:
        raise S3Error("MetadataTooLarge", Size=str(size), MaxSizeAllowed=str(MAX_USER_METADATA_BYTES))
    for name in _KEPT_HEADERS:
        text = headers.get(name, "")
        if name == "content-encoding":
            text = ", ".join(part for each in text.split(",") if (part := each.strip()) not in ("", "aws-chunked"))
        if text:
            metadata[HEADER + name] = text
    return Description(headers.get("content-type") or DEFAULT_CONTENT_TYPE, metadata)


def carried_by_copy(metadata: Mapping[str, str]) -> dict[str, str]:
    """What belongs to the bytes and so goes with every copy of them, whatever the client says of the rest."""
    own = (TYPE_KEY, PARTS, PART_SIZES)
    return {key: text for key, text in metadata.items() if key.startswith(PREFIX) or key in own}


def without_upload(metadata: Mapping[str, str]) -> dict[str, str]:
    """All metadata but the mark of the multipart upload that made the object."""
    return {key: text for key, text in metadata.items() if key != UPLOAD_ID}


def version_headers(facts: ObjectFacts) -> list[Header]:
    """The fields that a 304 carries too."""
    return [(b"etag", b'"%s"' % facts.etag.encode()), (b"last-modified", format_http_date(facts.modified_us))]


def object_headers(facts: ObjectFacts, query: Mapping[str, str], *, with_checksum: bool) -> list[Header]:
    """
    The fields of GET and HEAD besides length and range.

    :param query: ``response-*`` parameters replace stored fields
    :raises S3Error: ``InvalidArgument``: an override cannot be a header value
    """
    stored = {key[len(HEADER) :]: text for key, text in facts.metadata.items() if key.startswith(HEADER)}
    stored["content-type"] = facts.content_type or DEFAULT_CONTENT_TYPE
    stored |= _overrides(query)
    headers = version_headers(facts)
    headers.append((b"accept-ranges", b"bytes"))
    headers += [(name.encode(), wire(text)) for name, text in stored.items()]
    for key, text in facts.metadata.items():
        if key.startswith(META):
            headers.append((f"x-amz-meta-{key[len(META) :]}".encode(), wire(text)))
    if with_checksum:
        headers += checksum_headers(facts.metadata)
    return headers


def checksum_headers(metadata: Mapping[str, str]) -> list[Header]:
    kept = found(metadata)
    headers = [(algorithm.header.encode(), value.encode()) for algorithm, value in kept]
    if kept and TYPE_KEY in metadata:
        headers.append((b"x-amz-checksum-type", metadata[TYPE_KEY].encode()))
    return headers


def checksum_elements(metadata: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    kept = found(metadata)
    yield from ((algorithm.tag, value) for algorithm, value in kept)
    if kept and TYPE_KEY in metadata:
        yield "ChecksumType", metadata[TYPE_KEY]


def wire(text: str) -> bytes:
    """A header value; what cannot stand in one is percent-encoded, so that no metadata breaks an answer."""
    if any((character < " " and character != "\t") or character == "\x7f" for character in text):
        text = quote(text, safe=" !#$&'()*+,/:;=?@[]\"<>\\^`{|}~")
    return text.encode("utf-8", "replace")


def _overrides(query: Mapping[str, str]) -> dict[str, str]:
    chosen = {name: query[f"response-{name}"] for name in _OVERRIDES if f"response-{name}" in query}
    for name, text in chosen.items():
        if any(character < " " or character == "\x7f" for character in text):
            raise S3Error("InvalidArgument", f"response-{name} is not a header value.", ArgumentName=f"response-{name}")
    return chosen


def encode_part_sizes(sizes: list[int]) -> str:
    """Sizes in order with runs counted, ``8388608x3,17``: few bytes for the ten thousand parts there may be."""
    runs: list[tuple[int, int]] = []
    for size in sizes:
        if runs and runs[-1][0] == size:
            runs[-1] = (size, runs[-1][1] + 1)
        else:
            runs.append((size, 1))
    return ",".join(f"{size}x{count}" if count > 1 else str(size) for size, count in runs)


def decode_part_sizes(text: str) -> list[int]:
    sizes: list[int] = []
    for run in filter(None, text.split(",")):
        size, _, count = run.partition("x")
        sizes += [int(size)] * int(count or 1)
    return sizes
