"""
PUT and DELETE of an object.

Data goes to the store's upload while it arrives and gets its name only after every promise about it held; on any
other way the upload is discarded, so a broken request leaves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cloudd.objects import Action, Conditions, md5
from storage import Hasher, IUpload, NoSuchObject, Precondition

from ._call import Call, refuse_unsupported
from ._checksums import encoded, stored
from ._errors import S3Error, not_implemented
from ._metadata import checksum_headers, describe
from ._payload import Payload


async def put_object(call: Call) -> None:
    await call.authorize(Action.WRITE_OBJECT)
    refuse_unsupported(call.headers)
    description = describe(call.headers)
    precondition = write_precondition(call)
    payload = call.payload()
    check_size(call, payload.size)
    await refuse_early(call, precondition)
    upload, digests = await receive(call, payload)
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


async def receive(
    call: Call, payload: Payload, further: Mapping[str, Callable[[], Hasher]] | None = None
) -> tuple[IUpload, Mapping[str, bytes]]:
    """
    Take a body into the store and check it.

    :param further: more digests to make of it
    :return: the finished upload, which the caller gives a name or discards, and its digests with ``md5``
    :raises S3Error: the body is not what was promised; the upload is discarded
    """
    wanted = {"md5": md5, **(further or {}), **payload.digests}
    upload = await call.store.receive(wanted, payload.size)
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
