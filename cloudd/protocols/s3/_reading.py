"""
GET and HEAD of an object: conditions, ranges, parts, and the way of the bytes to the client.

A GET that is under way may go on in another process, where ``resume_get`` sends what is left.
"""

from __future__ import annotations

from cloudd.objects import Action, ByteRange, Conditions, UnsatisfiableRange, Verdict, parse_range
from cloudd.protocols.http import Header
from cloudd.protocols.moving import let_download_move, told
from reload import States
from storage import IReading, ObjectFacts

from ._call import HOST_ID, Call
from ._checksums import FULL_OBJECT, TYPE_KEY, found
from ._errors import S3Error
from ._metadata import PART_SIZES, decode_part_sizes, object_headers, version_headers
from ._transfer import regions
from ._xml import element, texts

#: Of the state with which a GET goes on elsewhere.
GET = "s3-get"
GET_VERSION = 1
STATES = States({GET: GET_VERSION})
_CONDITIONS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")


async def get_object(call: Call) -> None:
    """
    Streams the version that was present when the request came, whatever happens to its name meanwhile.

    The descriptors are closed on every way out.
    """
    await call.authorize(Action.READ_OBJECT)
    call.check_version()
    reading = await call.store.open(call.account, call.bucket, call.key)
    try:
        if not _answered_by_condition(call, reading.facts):
            await _send(call, reading)
    finally:
        reading.close()


async def head_object(call: Call) -> None:
    await call.authorize(Action.READ_OBJECT)
    call.check_version()
    facts = await call.store.object(call.account, call.bucket, call.key)
    if not _answered_by_condition(call, facts):
        status, headers, span = _plan(call, facts)
        call.request.start(status, headers, span.length if span is not None else facts.size)
        call.request.finish()


async def get_attributes(call: Call) -> None:
    """GET object?attributes."""
    await call.authorize(Action.READ_OBJECT)
    call.check_version()
    asked = {name.strip() for name in call.headers.get("x-amz-object-attributes", "").split(",")} - {""}
    unknown = asked - {"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"}
    if not asked or unknown:
        raise S3Error("InvalidArgument", "Invalid attribute name specified.", ArgumentName="x-amz-object-attributes")
    facts = await call.store.object(call.account, call.bucket, call.key)
    checksums = [(algorithm.tag, value) for algorithm, value in found(facts.metadata)]
    sizes = decode_part_sizes(facts.metadata.get(PART_SIZES, ""))
    parts = [("ETag", facts.etag)] if "ETag" in asked else []
    answer = [texts(parts)]
    if "Checksum" in asked and checksums:
        kind = facts.metadata.get(TYPE_KEY, FULL_OBJECT)
        answer.append(element("Checksum", texts([*checksums, ("ChecksumType", kind)])))
    if "ObjectParts" in asked and sizes:
        answer.append(element("ObjectParts", texts([("PartsCount", len(sizes))])))
    answer.append(texts([("StorageClass", "STANDARD" if "StorageClass" in asked else None)]))
    answer.append(texts([("ObjectSize", facts.size if "ObjectSize" in asked else None)]))
    call.answer_xml("GetObjectAttributesResponse", *answer, headers=version_headers(facts)[1:])


def _answered_by_condition(call: Call, facts: ObjectFacts) -> bool:
    """
    Whether 304 was the answer.

    :raises S3Error: ``PreconditionFailed``
    """
    if not any(name in call.headers for name in _CONDITIONS):
        return False
    verdict = Conditions.from_headers(call.request.header).evaluate(facts.etag, facts.modified_us, reading=True)
    if verdict is Verdict.FAILED:
        raise S3Error("PreconditionFailed")
    if verdict is Verdict.NOT_MODIFIED:
        call.answer(304, version_headers(facts))
        return True
    return False


def _plan(call: Call, facts: ObjectFacts) -> tuple[int, list[Header], ByteRange | None]:
    """Status, headers and the bytes to send; None for all of them with 200."""
    span = _chosen_part(call, facts) if "partNumber" in call.query else _chosen_range(call, facts)
    whole = span is None or span.length == facts.size
    wants_checksum = call.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
    # A client checks what it received against the checksum it got: the whole object's is wrong for a part of it.
    headers = object_headers(facts, call.query, with_checksum=wants_checksum and whole)
    headers.append((b"x-amz-id-2", HOST_ID))
    if "partNumber" in call.query and PART_SIZES in facts.metadata:
        count = len(decode_part_sizes(facts.metadata[PART_SIZES]))
        headers.append((b"x-amz-mp-parts-count", str(count).encode()))
    if span is None:
        return 200, headers, None
    headers.append((b"content-range", span.content_range(facts.size)))
    return 206, headers, span


def _chosen_range(call: Call, facts: ObjectFacts) -> ByteRange | None:
    """S3 serves one range; of several it makes the whole object."""
    value = call.request.header(b"range")
    if value is None or not Conditions.from_headers(call.request.header).range_applies(facts.etag, facts.modified_us):
        return None
    try:
        ranges = parse_range(value, facts.size)
    except UnsatisfiableRange as cause:
        raise S3Error(
            "InvalidRange",
            headers=[(b"content-range", f"bytes */{facts.size}".encode())],
            RangeRequested=value.decode("latin-1"),
            ActualObjectSize=str(facts.size),
        ) from cause
    return ranges[0] if ranges is not None and len(ranges) == 1 else None


def _chosen_part(call: Call, facts: ObjectFacts) -> ByteRange | None:
    if "range" in call.headers:
        raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    number = call.number("partNumber", 1, 1, 10_000)
    sizes = decode_part_sizes(facts.metadata.get(PART_SIZES, "")) or [facts.size]
    if number > len(sizes):
        raise S3Error("InvalidPartNumber", ActualPartCount=str(len(sizes)), PartNumberRequested=str(number))
    length = sizes[number - 1]
    return ByteRange(sum(sizes[: number - 1]), length) if length else None


async def _send(call: Call, reading: IReading) -> None:
    request, facts = call.request, reading.facts
    status, headers, span = _plan(call, facts)
    start, length = (span.start, span.length) if span is not None else (0, facts.size)
    if reading.content is not None:
        request.respond(status, headers, reading.content[start : start + length])
        return
    request.start(status, headers, length)
    await _send_rest(call, reading, start, length)


async def resume_get(call: Call) -> None:
    """Go on with a GET that another process, or an older generation, has begun to answer."""
    state = told(call.request, GET, GET_VERSION)
    reading = call.store.resume_reading(state["source"], call.request.resumed_descriptors)
    try:
        await _send_rest(call, reading, state["start"], state["length"])
    finally:
        reading.close()


async def _send_rest(call: Call, reading: IReading, start: int, length: int) -> None:
    """Of these bytes those that were not sent before; and the end of the answer, whose head was sent."""
    request = call.request
    more = {"start": start, "length": length, "caller": call.tell()}
    let_download_move(request, reading, GET, GET_VERSION, lambda: more)
    sent = request.sent_bytes
    async for descriptor, offset, count in regions(reading, start + sent, length - sent):
        await request.send_file(descriptor, offset, count)
    request.finish()
