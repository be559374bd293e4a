"""
CompleteMultipartUpload: one object of the parts that the client names.

A retry after a lost answer finds the upload gone; the object carries the id of the upload that made it, so the retry
gets the same answer instead of ``NoSuchUpload``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import pairwise

from attrs import frozen

from cloudd.objects import Action
from storage import MultipartFacts, NoSuchContainer, NoSuchObject, NoSuchUpload, ObjectFacts, PartFacts

from ._call import Call, quoted
from ._checksums import ALGORITHMS, COMPOSITE, Algorithm, composite, digest_of, full_object, stored
from ._errors import S3Error
from ._metadata import PART_SIZES, PARTS, UPLOAD_ID, checksum_elements, encode_part_sizes
from ._multipart import MAX_PARTS, TYPE_KEY, upload_algorithm
from ._writing import write_precondition
from ._xml import Node, texts

MIN_PART_BYTES = 5_242_880
MAX_DOCUMENT_BYTES = 4_194_304
_UPLOAD = "upload:"


@frozen
class NamedPart:
    """A part as the client names it: its number, its entity tag, and what it says of its checksums."""

    number: int
    etag: str
    checksums: Mapping[str, str]


async def complete_multipart(call: Call) -> None:
    """POST object?uploadId."""
    await call.authorize(Action.WRITE_OBJECT)
    precondition = write_precondition(call)
    # The checksum headers of this request speak of the object that it makes, not of the document that it sends.
    root = await call.read_xml("CompleteMultipartUpload", MAX_DOCUMENT_BYTES, call.payload(without_checksum=True))
    named = read_parts(root)
    upload_id = call.query["uploadId"]
    try:
        facts = await call.store.multipart(call.account, call.bucket, call.key, upload_id)
        kept = await _all_parts(call, upload_id)
        parts = check_parts(named, kept)
        metadata = _object_metadata(call, facts, parts)
        made = await call.store.complete_multipart(
            call.account,
            call.bucket,
            call.key,
            upload_id,
            [(part.number, part.etag) for part in parts],
            etag=multipart_etag(parts),
            metadata=metadata,
            precondition=precondition,
        )
    except NoSuchUpload:
        made = await _made_before(call, upload_id)
    location = f"{call.resources.urls.get('s3', '')}/{call.bucket}/{call.key}"
    pairs = [("Location", location), ("Bucket", call.bucket), ("Key", call.key), ("ETag", quoted(made.etag))]
    call.answer_xml("CompleteMultipartUploadResult", texts([*pairs, *checksum_elements(made.metadata)]))


def read_parts(root: Node) -> list[NamedPart]:
    """
    The parts in a request's document.

    :raises S3Error: ``MalformedXML``, ``InvalidPartOrder``, ``InvalidArgument``
    """
    named = []
    for node in root.children("Part"):
        number, etag = (node.value("PartNumber") or "").strip(), (node.value("ETag") or "").strip()
        if not (number.isascii() and number.isdigit() and len(number) <= 9) or not etag:
            raise S3Error("MalformedXML", "Each part needs a PartNumber and an ETag.")
        given = {each.name: value for each in ALGORITHMS.values() if (value := node.value(each.tag))}
        named.append(NamedPart(int(number), etag.strip('"').lower(), given))
    if not 1 <= len(named) <= MAX_PARTS:
        raise S3Error("MalformedXML", f"An object is made of 1 to {MAX_PARTS} parts.")
    if any(later.number <= earlier.number for earlier, later in pairwise(named)):
        raise S3Error("InvalidPartOrder")
    return named


def check_parts(named: Sequence[NamedPart], kept: Mapping[int, PartFacts]) -> list[PartFacts]:
    """
    The kept parts that are named, in order.

    :raises S3Error: ``InvalidPart``, ``EntityTooSmall``
    """
    parts = []
    for each in named:
        part = kept.get(each.number)
        if part is None or part.etag != each.etag:
            raise S3Error("InvalidPart", PartNumber=str(each.number), ETag=each.etag)
        for name, value in each.checksums.items():
            if part.metadata.get(ALGORITHMS[name].key, value) != value:
                raise S3Error("InvalidPart", PartNumber=str(each.number), ETag=each.etag)
        parts.append(part)
    for part in parts[:-1]:
        if part.size < MIN_PART_BYTES:
            raise S3Error(
                "EntityTooSmall",
                ProposedSize=str(part.size),
                MinSizeAllowed=str(MIN_PART_BYTES),
                PartNumber=str(part.number),
                ETag=part.etag,
            )
    return parts


def multipart_etag(parts: Sequence[PartFacts]) -> str:
    """MD5 of the parts' MD5s, and how many they are."""
    digest = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in parts), usedforsecurity=False)
    return f"{digest.hexdigest()}-{len(parts)}"


def object_checksum(algorithm: Algorithm, kind: str, parts: Sequence[PartFacts]) -> str:
    """The object's checksum from those of its parts."""
    digests = [digest_of(part.metadata[algorithm.key], algorithm) for part in parts]
    if kind == COMPOSITE:
        return composite(algorithm, digests)
    return full_object(algorithm, zip(digests, (part.size for part in parts), strict=True))


async def _all_parts(call: Call, upload_id: str) -> dict[int, PartFacts]:
    kept: dict[int, PartFacts] = {}
    while True:
        marker = max(kept, default=0)
        page = await call.store.parts(call.account, call.bucket, call.key, upload_id, marker=marker, limit=1000)
        kept |= {part.number: part for part in page}
        if len(page) < 1000:
            return kept


def _object_metadata(call: Call, facts: MultipartFacts, parts: Sequence[PartFacts]) -> dict[str, str]:
    metadata = {key: text for key, text in facts.metadata.items() if not key.startswith(_UPLOAD)}
    sizes = [part.size for part in parts]
    metadata |= {PARTS: str(len(parts)), PART_SIZES: encode_part_sizes(sizes), UPLOAD_ID: facts.upload_id}
    if call.headers.get("x-amz-mp-object-size", str(sum(sizes))) != str(sum(sizes)):
        raise S3Error("InvalidRequest", f"The parts have {sum(sizes)} bytes, x-amz-mp-object-size says otherwise.")
    algorithm = upload_algorithm(facts)
    if algorithm is None:
        return metadata
    kind = facts.metadata.get(TYPE_KEY, COMPOSITE)
    if call.headers.get("x-amz-checksum-type", kind).upper() != kind:
        raise S3Error("InvalidRequest", f"The upload was created with the checksum type {kind}.")
    value = object_checksum(algorithm, kind, parts)
    expected = call.headers.get(algorithm.header, value)
    if expected != value and expected != value.rpartition("-")[0]:
        raise S3Error("BadDigest", f"The {algorithm.label} you specified did not match the calculated checksum.")
    return {**metadata, **stored(algorithm, value, kind)}


async def _made_before(call: Call, upload_id: str) -> ObjectFacts:
    try:
        facts = await call.store.object(call.account, call.bucket, call.key)
    except (NoSuchObject, NoSuchContainer) as cause:
        raise S3Error("NoSuchUpload", UploadId=upload_id) from cause
    if facts.metadata.get(UPLOAD_ID) != upload_id:
        raise S3Error("NoSuchUpload", UploadId=upload_id)
    return facts
