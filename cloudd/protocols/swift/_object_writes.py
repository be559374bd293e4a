# -*- test-case-name: tests.protocols.swift.test_object_writes -*-
"""
PUT, POST and DELETE of objects.

A PUT is refused before its body is read wherever that is possible: rights, names, headers, container, conditions,
declared length.  The data then goes to the store piece by piece; the name appears only when all of it is on disk and
its MD5 is what the client said.
"""

from __future__ import annotations

from collections.abc import Mapping

from cloudd.objects import Action, Conditions, check_object_name, md5
from storage import IUpload, NoSuchObject, ObjectFacts, Precondition

from ._answers import Refusal, answer, bad_request, not_served
from ._call import Call
from ._copies import put_copy
from ._metadata import kept_metadata, read_object_metadata
from ._upload_headers import (
    choose_content_type,
    created_headers,
    read_manifest,
    refuse_parameters,
    too_large,
    wanted_etag,
)


async def put_object(call: Call) -> None:
    """PUT: store the body under the name, or copy another object when ``X-Copy-From`` is there."""
    check_object_name(call.place.object)
    await call.authorize(Action.WRITE_OBJECT)
    refuse_parameters(call.query)
    if call.request.header(b"x-copy-from"):
        await put_copy(call)
        return
    metadata = read_object_metadata(call.request.headers) | read_manifest(call.request)
    content_type = choose_content_type(call.request, call.place.object)
    wanted = wanted_etag(call.request)
    length = _declared_length(call)
    precondition = await _check_target(call)
    upload, etag = await _receive(call, length, wanted)
    facts = await call.store.put_object(
        call.place.account,
        call.place.container,
        call.place.object,
        upload,
        etag=etag,
        content_type=content_type,
        metadata=metadata,
        precondition=precondition,
    )
    answer(call.request, 201, created_headers(facts))


async def post_object(call: Call) -> None:
    """POST: replace the metadata, and the content type if one is sent."""
    await call.authorize(Action.WRITE_OBJECT)
    refuse_parameters(call.query)
    place = call.place
    metadata = read_object_metadata(call.request.headers) | read_manifest(call.request)
    sent = call.request.header(b"content-type")
    facts = await call.store.object(place.account, place.container, place.object)
    await call.store.update_object(
        place.account,
        place.container,
        place.object,
        content_type=choose_content_type(call.request, place.object) if sent else None,
        metadata=kept_metadata(facts.metadata) | metadata,
    )
    answer(call.request, 202)


async def delete_object(call: Call) -> None:
    """DELETE: remove the object; of a large object the manifest alone, as in Swift."""
    await call.authorize(Action.WRITE_OBJECT)
    refuse_parameters(call.query)
    place = call.place
    precondition = Conditions.from_headers(call.request.header).precondition()
    await call.store.delete_object(place.account, place.container, place.object, precondition)
    answer(call.request, 204)


def _declared_length(call: Call) -> int | None:
    request = call.request
    if request.header(b"content-length") is None and request.header(b"transfer-encoding") is None:
        raise Refusal(411, "Missing Content-Length header.", plain=True)
    length: int | None = request.body.length
    if length is not None and length > call.max_object_bytes:
        raise too_large()
    return length


async def _check_target(call: Call) -> Precondition | None:
    """Whether the container exists and the conditions hold now; the store tests them again when it writes."""
    conditions = Conditions.from_headers(call.request.header)
    if conditions.if_none_match is not None and not conditions.if_none_match.anything:
        raise bad_request("If-None-Match only supports *")
    if conditions.if_unmodified_since is not None:
        raise not_served("If-Unmodified-Since on PUT")
    place = call.place
    precondition = conditions.precondition()
    if precondition is None:
        await call.store.container(place.account, place.container)
        return None
    facts = await present_version(call, place.account, place.container, place.object)
    check_precondition(precondition, facts)
    return precondition


async def present_version(call: Call, account: str, container: str, name: str) -> ObjectFacts | None:
    """
    The object's present version, or None.

    :raises NoSuchContainer:
    """
    try:
        return await call.store.object(account, container, name)
    except NoSuchObject:
        return None


def check_precondition(precondition: Precondition, facts: ObjectFacts | None) -> None:
    """
    Judge early what the store will judge for good.

    :raises Refusal: 412
    """
    if facts is None:
        failed = bool(precondition.if_match)
    else:
        matches = precondition.if_match == ("*",) or facts.etag in precondition.if_match
        failed = precondition.if_absent or (bool(precondition.if_match) and not matches)
    if failed:
        raise Refusal(412)


async def _receive(call: Call, length: int | None, wanted: str) -> tuple[IUpload, str]:
    """
    Take the body; nothing is kept when anything about it is wrong.

    :return: the finished upload, which the caller gives its name, and its MD5 in hex
    """
    upload = await call.store.receive({"md5": md5}, length)
    try:
        await call.request.body.stream_to(upload, call.max_object_bytes)
        digests: Mapping[str, bytes] = await upload.finish()
        etag = digests["md5"].hex()
        if wanted and wanted != etag:
            raise Refusal(422, f"The body's MD5 is {etag}, not what the ETag header says.")
    except BaseException:
        await upload.discard()
        raise
    return upload, etag
