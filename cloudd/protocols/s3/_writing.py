"""
PUT and DELETE of an object.

Data goes to the store's upload while it arrives and gets its name only after every promise about it held; on any
other way the upload is discarded, so a broken request leaves nothing.

Until the last byte has come a PUT may go on in another process: there ``resume_put`` derives again from the head what
is to be done, and goes on with the open file.  Who signed the request goes along; the signature is not checked again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cloudd.objects import Action, Conditions, md5
from cloudd.protocols.moving import let_upload_move, resume_upload, told
from reload import States
from storage import Hasher, IUpload, NoSuchObject, Precondition

from ._call import Call, refuse_unsupported
from ._checksums import encoded, stored
from ._errors import S3Error, not_implemented
from ._metadata import Description, checksum_headers, describe
from ._payload import Payload

#: Of the state with which a PUT goes on elsewhere.
PUT = "s3-put"
PUT_VERSION = 1
STATES = States({PUT: PUT_VERSION})
_OWN = frozenset({"upload", "caller", "payload"})


async def put_object(call: Call) -> None:
    await call.authorize(Action.WRITE_OBJECT)
    refuse_unsupported(call.headers)
    description = describe(call.headers)
    precondition = write_precondition(call)
    payload = call.payload()
    check_size(call, payload.size)
    await refuse_early(call, precondition)
    upload, digests = await receive(call, payload, PUT, PUT_VERSION)
    await _name(call, payload, description, precondition, upload, digests)


async def resume_put(call: Call) -> None:
    """Go on with a PUT that another process, or an older generation, has begun."""
    state = told(call.request, PUT, PUT_VERSION)
    description = describe(call.headers)
    precondition = write_precondition(call)
    payload = call.payload()
    upload, digests = await receive_rest(call, payload, state, PUT, PUT_VERSION)
    await _name(call, payload, description, precondition, upload, digests)


async def _name(
    call: Call,
    payload: Payload,
    description: Description,
    precondition: Precondition | None,
    upload: IUpload,
    digests: Mapping[str, bytes],
) -> None:
    metadata = {**description.metadata, **checksum_metadata(payload, digests)}
    facts = await call.store.put_object(
        call.account,
        call.bucket,
        call.key,
        upload,
        etag=digests["md5"].hex(),
        content_type=description.content_type,
        metadata=metadata,
        precondition=precondition,
    )
    call.answer(200, [(b"etag", b'"%s"' % facts.etag.encode()), *checksum_headers(facts.metadata)])


async def delete_object(call: Call) -> None:
    """DELETE object.  A key that does not exist counts as deleted; without the bucket it is 404."""
    await call.authorize(Action.WRITE_OBJECT)
    call.check_version()
    precondition = write_precondition(call)
    try:
        await call.store.delete_object(call.account, call.bucket, call.key, precondition)
    except NoSuchObject:
        if precondition is not None:
            raise
    call.answer(204)


Hashers = Mapping[str, Callable[[], Hasher]]


async def receive(
    call: Call,
    payload: Payload,
    kind: str,
    version: int,
    further: Hashers | None = None,
    more: Mapping[str, Any] | None = None,
) -> tuple[IUpload, Mapping[str, bytes]]:
    """
    Take a body into the store and check it.

    :param kind: of the state with which the request may go on elsewhere, as ``version``
    :param further: more digests to make of it
    :param more: goes into that state
    :return: the finished upload, which the caller gives a name or discards, and its digests with ``md5``
    :raises S3Error: the body is not what was promised; the upload is discarded
    """
    upload = await call.store.receive(_digests(payload, further), payload.size)
    return await _take(call, payload, upload, kind, version, more or {})


async def receive_rest(
    call: Call,
    payload: Payload,
    state: Mapping[str, Any],
    kind: str,
    version: int,
    further: Hashers | None = None,
) -> tuple[IUpload, Mapping[str, bytes]]:
    """
    The same for a body of which another process has taken the beginning.

    :param state: what ``told`` gave; it is told again when the request moves once more
    :param kind: of that state, as ``version``
    """
    upload = await resume_upload(call.request, call.store, state, _digests(payload, further))
    try:
        await payload.go_on(state["payload"], upload)
    except BaseException:
        await upload.discard()
        raise
    more = {name: value for name, value in state.items() if name not in _OWN}
    return await _take(call, payload, upload, kind, version, more)


def _digests(payload: Payload, further: Hashers | None) -> Hashers:
    return {"md5": md5, **(further or {}), **payload.digests}


async def _take(
    call: Call, payload: Payload, upload: IUpload, kind: str, version: int, more: Mapping[str, Any]
) -> tuple[IUpload, Mapping[str, bytes]]:
    caller = call.tell()

    def tell() -> dict[str, Any]:
        return {**more, "caller": caller, "payload": payload.tell()}

    let_upload_move(call.request, upload, kind, version, tell)
    try:
        await payload.stream_to(upload)
        if upload.size != payload.size:
            raise S3Error("IncompleteBody")
        digests = await upload.finish()
        payload.verify(digests)
    except Exception:
        await upload.discard()
        raise
    return upload, digests


def checksum_metadata(payload: Payload, digests: Mapping[str, bytes]) -> dict[str, str]:
    """What is kept of the checksum that the client gave, if it gave one."""
    if payload.promise is None:
        return {}
    algorithm = payload.promise.algorithm
    return stored(algorithm, encoded(digests[algorithm.name]))


def check_size(call: Call, size: int) -> None:
    """:raises S3Error: ``EntityTooLarge``"""
    most = call.resources.settings.objects.max_object_bytes
    if size > most:
        raise S3Error("EntityTooLarge", ProposedSize=str(size), MaxSizeAllowed=str(most))


def write_precondition(call: Call) -> Precondition | None:
    """
    ``If-None-Match: *`` and ``If-Match``; S3 knows no other conditions on writes.

    :raises S3Error: ``NotImplemented``
    """
    if call.headers.get("if-none-match", "*").strip() != "*":
        raise not_implemented("If-None-Match with an entity tag on a write; only * is, and it")
    return Conditions.from_headers(call.request.header).precondition()


async def refuse_early(call: Call, precondition: Precondition | None) -> None:
    """
    Say no before the client has sent its data, where that is known already.

    :raises NoSuchContainer:
    :raises S3Error: ``PreconditionFailed``, ``NoSuchKey``
    """
    if precondition is None:
        await call.store.container(call.account, call.bucket)
        return
    try:
        found = await call.store.object(call.account, call.bucket, call.key)
    except NoSuchObject as cause:
        if precondition.if_match:
            raise S3Error("NoSuchKey") from cause
        return
    matches = precondition.if_match in ((), ("*",)) or found.etag in precondition.if_match
    if precondition.if_absent or not matches:
        raise S3Error("PreconditionFailed", Condition="If-None-Match" if precondition.if_absent else "If-Match")
