# -*- test-case-name: tests.protocols.swift.test_object_reads -*-
"""
GET and HEAD of objects: conditions, ranges, dynamic large objects.

A GET that is under way may go on in another process: the parts of its answer are told, with the open files that they
come from, and ``resume_get`` sends what is left of them.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from cloudd.objects import Action, ByteRange, Conditions, MultipartRanges, Verdict, parse_range
from cloudd.protocols.http import ClientGone, Header, Request
from cloudd.protocols.moving import let_download_move, told
from cloudd.protocols.readings import open_reading
from reload import States
from storage import ObjectFacts

from ._answers import Refusal
from ._call import Call
from ._contents import Contents, ObjectContents, SegmentedContents, contents_from, list_segments
from ._formats import header_date, timestamp
from ._metadata import MANIFEST, object_headers
from ._paths import decode

SECOND_US = 1_000_000
#: Of the state with which a GET goes on elsewhere.
GET = "swift-get"
GET_VERSION = 1
STATES = States({GET: GET_VERSION})
#: Of an answer: bytes as they are, or start and length in the contents.
Part = bytes | tuple[int, int]
CONDITIONS = frozenset((b"if-none-match", b"if-modified-since", b"if-match", b"if-unmodified-since"))


async def head_object(call: Call) -> None:
    """HEAD: say what a GET would, without the data."""
    await call.authorize(Action.READ_OBJECT)
    place = call.place
    facts = await call.store.object(place.account, place.container, place.object)
    segmented = await segments_of(call, facts)
    size, header_etag = (segmented.size, segmented.header_etag) if segmented else (facts.size, facts.etag.encode())
    etag = segmented.etag if segmented else facts.etag
    if not _stopped(call, facts, etag, header_etag):
        request = call.request
        request.start(200, describe(facts, header_etag), size)
        request.finish()


async def get_object(call: Call) -> None:
    """GET: send the data, or the parts of it that were asked for."""
    if not call.allowed_by_role(Action.READ_OBJECT):
        await call.authorize(Action.READ_OBJECT)
    place = call.place
    reading = await open_reading(call.store, place.account, place.container, place.object)
    contents: Contents = ObjectContents(reading)
    try:
        facts: ObjectFacts = reading.facts
        if MANIFEST in facts.metadata:
            contents = await segments_of(call, facts) or contents
        if _stopped(call, facts, contents.etag, contents.header_etag):
            return
        if contents.small is not None and b"range" not in call.request.fields:
            call.request.respond(200, describe(facts, contents.header_etag), contents.small)
        else:
            await _answer(call, facts, contents)
    except ClientGone:
        return
    finally:
        reading.close()


def describe(facts: ObjectFacts, header_etag: bytes) -> list[Header]:
    """An object's facts as headers."""
    return [
        (b"Content-Type", facts.content_type.encode()),
        (b"Etag", header_etag),
        (b"Last-Modified", header_date(facts.modified_us)),
        (b"X-Timestamp", timestamp(facts.modified_us)),
        (b"Accept-Ranges", b"bytes"),
        *object_headers(facts.metadata),
    ]


async def segments_of(call: Call, facts: ObjectFacts, account: str = "") -> SegmentedContents | None:
    """
    What a manifest stands for; None for any other object, and where the manifest itself is asked for.

    :param account: of the manifest, when it is not the path's
    :raises Unauthorized: the client may not read the segments' container
    :raises Forbidden: the same
    """
    manifest = facts.metadata.get(MANIFEST)
    if manifest is None or call.query.text("multipart-manifest") == "get":
        return None
    account = account or call.place.account
    container, _, prefix = decode(manifest.encode()).removeprefix("/").partition("/")
    await call.authorize(Action.READ_OBJECT, account, container)
    segments = await list_segments(call.store, account, container, prefix)
    return SegmentedContents(call.store, account, container, segments)


def _stopped(call: Call, facts: ObjectFacts, etag: str, header_etag: bytes) -> bool:
    """Answer 304 or 412 if a condition says so; whether it was answered."""
    if CONDITIONS.isdisjoint(call.request.fields):
        return False
    conditions = Conditions.from_headers(call.request.header)
    verdict = conditions.evaluate(etag, whole_seconds(facts.modified_us), reading=True)
    if verdict is Verdict.FAILED:
        raise Refusal(412, headers=[(b"Etag", header_etag)])
    if verdict is Verdict.NOT_MODIFIED:
        call.request.respond(304, describe(facts, header_etag))
    return verdict is not Verdict.PROCEED


def whole_seconds(time_us: int) -> int:
    """The time as ``Last-Modified`` shows it: rounded up, so that conditions fit what clients were told."""
    return -(-time_us // SECOND_US) * SECOND_US


async def _answer(call: Call, facts: ObjectFacts, contents: Contents) -> None:
    request = call.request
    headers = describe(facts, contents.header_etag)
    ranges = _ranges(call, facts, contents)
    if ranges is None and contents.small is not None:
        request.respond(200, headers, contents.small)
        return
    if ranges is None:
        request.start(200, headers, contents.size)
        await _send(request, contents, [(0, contents.size)])
    elif len(ranges) == 1:
        headers.append((b"Content-Range", ranges[0].content_range(contents.size)))
        request.start(206, headers, ranges[0].length)
        await _send(request, contents, [(ranges[0].start, ranges[0].length)])
    else:
        await _answer_several(call, facts, contents, ranges)


def _ranges(call: Call, facts: ObjectFacts, contents: Contents) -> Sequence[ByteRange] | None:
    value = call.request.header(b"range")
    if value is None:
        return None
    conditions = Conditions.from_headers(call.request.header)
    if not conditions.range_applies(contents.etag, whole_seconds(facts.modified_us)):
        return None
    return parse_range(value, contents.size)


async def _answer_several(call: Call, facts: ObjectFacts, contents: Contents, ranges: Sequence[ByteRange]) -> None:
    request = call.request
    parts = MultipartRanges(ranges, contents.size, facts.content_type.encode(), secrets.token_hex(16).encode())
    headers = [header for header in describe(facts, contents.header_etag) if header[0] != b"Content-Type"]
    request.start(206, [(b"Content-Type", parts.media_type), *headers], parts.length)
    answer: list[Part] = []
    for head, part in zip(parts.heads, ranges, strict=True):
        answer += [head, (part.start, part.length)]
    await _send(request, contents, [*answer, parts.tail])


async def resume_get(call: Call) -> None:
    """Go on with a GET that another process, or an older generation, has begun to answer."""
    request = call.request
    state = told(request, GET, GET_VERSION)
    contents = contents_from(call.store, state["source"], request.resumed_descriptors)
    try:
        parts: list[Part] = [part if isinstance(part, bytes) else (part[0], part[1]) for part in state["parts"]]
        await _send(request, contents, parts)
    except ClientGone:
        return
    finally:
        contents.close()


async def _send(request: Request, contents: Contents, parts: Sequence[Part]) -> None:
    """Send what is left of these parts, and end the answer, whose head was sent."""
    plain: list[Any] = [part if isinstance(part, bytes) else list(part) for part in parts]
    let_download_move(request, contents, GET, GET_VERSION, lambda: {"parts": plain})
    skip = request.sent_bytes
    for part in parts:
        size = len(part) if isinstance(part, bytes) else part[1]
        if skip < size:
            if isinstance(part, bytes):
                await _written(request.write(part[skip:]))
            else:
                await contents.send(request, part[0] + skip, size - skip)
        skip = max(0, skip - size)
    request.finish()


async def _written(waiting: Deferred[None] | None) -> None:
    if waiting is not None:
        await waiting
