# -*- test-case-name: tests.protocols.swift.test_object_writes -*-
"""
PUT, POST and DELETE of objects.

A PUT is refused before its body is read wherever that is possible: rights, names, headers, container, conditions,
declared length.  The data then goes to the store piece by piece; the name appears only when all of it is on disk and
its MD5 is what the client said.

Until the last byte has come a PUT may go on in another process: there ``resume_put`` derives again from the head what
is to be done, asks nobody for leave, and goes on with the open file.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from cloudd.objects import Action, Conditions, check_object_name, md5
from cloudd.protocols.moving import let_upload_move, resume_upload, told
from reload import States
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

#: Of the state with which a PUT goes on elsewhere.
PUT = "swift-put"
PUT_VERSION = 1
STATES = States({PUT: PUT_VERSION})
_DIGESTS = {"md5": md5}


@frozen
class _Plan:
    """What the head of a PUT says; ``wanted`` is the MD5 that the client expects, or ``""``."""

    metadata: dict[str, str]
    content_type: str
    wanted: str
    length: int | None
    precondition: Precondition | None


async def put_object(call: Call) -> None:
    """PUT: store the body under the name, or copy another object when ``X-Copy-From`` is there."""
    check_object_name(call.place.object)
    await call.authorize(Action.WRITE_OBJECT)
    refuse_parameters(call.query)
    if call.request.header(b"x-copy-from"):
        await put_copy(call)
        return
    plan = _plan(call)
    await _check_target(call, plan.precondition)
    await _take(call, plan, await call.store.receive(_DIGESTS, plan.length))


async def resume_put(call: Call) -> None:
    """Go on with a PUT that another process, or an older generation, has begun."""
    state = told(call.request, PUT, PUT_VERSION)
    await _take(call, _plan(call), await resume_upload(call.request, call.store, state, _DIGESTS))


def _plan(call: Call) -> _Plan:
    """:raises Refusal: the head says what is not served, or contradicts itself"""
    return _Plan(
        metadata=read_object_metadata(call.request.headers) | read_manifest(call.request),
        content_type=choose_content_type(call.request, call.place.object),
        wanted=wanted_etag(call.request),
        length=_declared_length(call),
        precondition=_precondition(call),
    )


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


def _precondition(call: Call) -> Precondition | None:
    conditions = Conditions.from_headers(call.request.header)
    if conditions.if_none_match is not None and not conditions.if_none_match.anything:
        raise bad_request("If-None-Match only supports *")
    if conditions.if_unmodified_since is not None:
        raise not_served("If-Unmodified-Since on PUT")
    return conditions.precondition()


async def _check_target(call: Call, precondition: Precondition | None) -> None:
    """Whether the container exists and the conditions hold now; the store tests them again when it writes."""
    place = call.place
    if precondition is None:
        await call.store.container(place.account, place.container)
    else:
        check_precondition(precondition, await present_version(call, place.account, place.container, place.object))


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


async def _take(call: Call, plan: _Plan, upload: IUpload) -> None:
    """Take the body, or the rest of it, and give it its name; nothing is kept when anything about it is wrong."""
    let_upload_move(call.request, upload, PUT, PUT_VERSION)
    try:
        await call.request.body.stream_to(upload, call.max_object_bytes)
        digests: Mapping[str, bytes] = await upload.finish()
        etag = digests["md5"].hex()
        if plan.wanted and plan.wanted != etag:
            raise Refusal(422, f"The body's MD5 is {etag}, not what the ETag header says.")
    except BaseException:
        await upload.discard()
        raise
    facts = await call.store.put_object(
        call.place.account,
        call.place.container,
        call.place.object,
        upload,
        etag=etag,
        content_type=plan.content_type,
        metadata=plan.metadata,
        precondition=plan.precondition,
    )
    answer(call.request, 201, created_headers(facts))
