"""CopyObject, and what CopyObject and UploadPartCopy share: which object is meant, and its conditions."""

from __future__ import annotations

from collections.abc import Mapping

from cloudd.objects import (
    Action,
    Conditions,
    Verdict,
    account_of,
    check_container_name,
    check_object_name,
    decode_name,
)
from storage import NoSuchObject, ObjectFacts

from ._call import Address, Call, iso_date, quoted, refuse_unsupported
from ._checksums import Algorithm, algorithm, encoded, found, stored
from ._errors import S3Error
from ._metadata import carried_by_copy, checksum_elements, describe, without_upload
from ._transfer import digest_of_object
from ._writing import refuse_early, write_precondition
from ._xml import texts

_SOURCE = "x-amz-copy-source"
_ATTEMPTS = 3


def read_source(header: str) -> Address:
    """
    Bucket and key in ``x-amz-copy-source``: ``[/]bucket/key[?versionId=null]``, percent-encoded.

    :raises S3Error: ``InvalidArgument``, ``NoSuchVersion``
    :raises InvalidName:
    """
    path, _, version = header.partition("?versionId=")
    if version not in ("", "null"):
        raise S3Error("NoSuchVersion", VersionId=version)
    bucket, _, key = path.encode("utf-8").removeprefix(b"/").partition(b"/")
    if not key:  # some clients encode the slash between the two as well
        decoded = decode_name(path.encode("utf-8"), "object").removeprefix("/")
        bucket, _, key = (part.encode("utf-8").replace(b"%", b"%25") for part in decoded.partition("/"))
    if not bucket or not key:
        raise S3Error(
            "InvalidArgument",
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            ArgumentName=_SOURCE,
            ArgumentValue=header,
        )
    return Address(
        check_container_name(decode_name(bucket, "container")), check_object_name(decode_name(key, "object"))
    )


def check_source(headers: Mapping[str, str], facts: ObjectFacts) -> None:
    """
    The ``x-amz-copy-source-if-...`` conditions.

    :raises S3Error: ``PreconditionFailed``
    """

    def condition(name: bytes) -> bytes | None:
        value = headers.get(f"{_SOURCE}-{name.decode()}")
        return None if value is None else value.encode("utf-8")

    conditions = Conditions.from_headers(condition)
    # Reading and writing differ in what If-Modified-Since does; here it counts, and its failure is 412.
    if conditions.evaluate(facts.etag, facts.modified_us, reading=True) is not Verdict.PROCEED:
        raise S3Error("PreconditionFailed", Condition=_SOURCE)


async def copy_object(call: Call) -> None:
    """
    PUT object with ``x-amz-copy-source``.  No data moves, whatever its size.

    The entity tag and the checksums stay those of the source, also of a multipart one.
    """
    refuse_unsupported(call.headers)
    source = read_source(call.headers[_SOURCE])
    await call.objects.authorize(call.access, account_of(call.owner_id), Action.READ_OBJECT, source.bucket)
    await call.authorize(Action.WRITE_OBJECT)
    replaces = _replaces_metadata(call)
    if source == call.address and not replaces:
        raise S3Error(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes.",
        )
    precondition = write_precondition(call)
    await refuse_early(call, precondition)
    for attempt in range(_ATTEMPTS):
        facts = await call.store.object(call.account, source.bucket, source.key)
        check_source(call.headers, facts)
        content_type, metadata = _described(call, facts) if replaces else (facts.content_type, facts.metadata)
        try:
            made = await call.store.copy_object(
                facts,
                call.account,
                call.bucket,
                call.key,
                content_type=content_type,
                metadata={**without_upload(metadata), **await _asked_checksum(call, source, facts)},
                precondition=precondition,
            )
        except NoSuchObject:  # replaced while we looked: the new version is the source now
            if attempt + 1 == _ATTEMPTS:
                raise
        else:
            _answer(call, made)
            return


def _replaces_metadata(call: Call) -> bool:
    directive = call.headers.get("x-amz-metadata-directive", "COPY")
    if directive not in ("COPY", "REPLACE"):
        raise S3Error("InvalidArgument", "Unknown metadata directive.", ArgumentName="x-amz-metadata-directive")
    return directive == "REPLACE"


def _described(call: Call, facts: ObjectFacts) -> tuple[str, dict[str, str]]:
    description = describe(call.headers)
    return description.content_type, {**description.metadata, **carried_by_copy(facts.metadata)}


async def _asked_checksum(call: Call, source: Address, facts: ObjectFacts) -> dict[str, str]:
    """The checksum that ``x-amz-checksum-algorithm`` wants and the source lacks; the only case that reads data."""
    label = call.headers.get("x-amz-checksum-algorithm")
    if label is None:
        return {}
    wanted: Algorithm = algorithm(label, "x-amz-checksum-algorithm")
    if any(each is wanted for each, _ in found(facts.metadata)):
        return {}
    reading = await call.store.open(call.account, source.bucket, source.key)
    try:
        if reading.facts.etag != facts.etag or reading.facts.modified_us != facts.modified_us:
            raise NoSuchObject(source.key)
        digest = await digest_of_object(call.resources.threads, reading, wanted.hasher)
    finally:
        reading.close()
    return stored(wanted, encoded(digest))


def _answer(call: Call, made: ObjectFacts) -> None:
    facts = [("LastModified", iso_date(made.modified_us)), ("ETag", quoted(made.etag))]
    call.answer_xml("CopyObjectResult", texts([*facts, *checksum_elements(made.metadata)]))
