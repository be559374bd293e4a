"""
Multipart uploads up to their end: create, upload and copy parts, list, abort.  ``_completion`` makes the object.

The checksum algorithm and type that an upload was created with stay in its metadata under ``upload:``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from cloudd.objects import Action, account_of, md5
from cloudd.protocols.moving import told
from reload import States
from storage import Hasher, IUpload, MultipartFacts, PartFacts

from ._call import Call, iso_date, quoted, refuse_unsupported
from ._checksums import COMPOSITE, FULL_OBJECT, Algorithm, algorithm, encoded, stored
from ._copying import check_source, read_source
from ._errors import S3Error
from ._listing import owner, shown_as
from ._metadata import checksum_elements, checksum_headers, describe
from ._transfer import copy_bytes
from ._writing import check_size, receive, receive_rest
from ._xml import element, texts

MAX_PARTS = 10_000
#: Of the state with which the PUT of a part goes on elsewhere.
PART = "s3-part"
PART_VERSION = 1
STATES = States({PART: PART_VERSION})
ALGORITHM_KEY, TYPE_KEY = "upload:algorithm", "upload:type"
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})", re.ASCII)


async def create_multipart(call: Call) -> None:
    """POST object?uploads."""
    await call.authorize(Action.WRITE_OBJECT)
    refuse_unsupported(call.headers)
    description = describe(call.headers)
    chosen = _chosen_checksum(call.headers)
    facts = await call.store.begin_multipart(
        call.account,
        call.bucket,
        call.key,
        content_type=description.content_type,
        metadata={**description.metadata, **chosen},
    )
    headers = []
    if chosen:
        headers = [
            (b"x-amz-checksum-algorithm", chosen[ALGORITHM_KEY].upper().encode()),
            (b"x-amz-checksum-type", chosen[TYPE_KEY].encode()),
        ]
    ids = [("Bucket", call.bucket), ("Key", call.key), ("UploadId", facts.upload_id)]
    call.answer_xml("InitiateMultipartUploadResult", texts(ids), headers=headers)


def _chosen_checksum(headers: Mapping[str, str]) -> dict[str, str]:
    label, kind = headers.get("x-amz-checksum-algorithm"), headers.get("x-amz-checksum-type")
    if label is None:
        if kind is not None:
            raise S3Error("InvalidRequest", "The x-amz-checksum-type header needs x-amz-checksum-algorithm.")
        return {}
    chosen = algorithm(label, "x-amz-checksum-algorithm")
    kind = (kind or (FULL_OBJECT if chosen.name == "crc64nvme" else COMPOSITE)).upper()
    possible = (kind == COMPOSITE and chosen.name != "crc64nvme") or (kind == FULL_OBJECT and chosen.is_crc)
    if not possible:
        raise S3Error(
            "InvalidRequest", f"The {kind} checksum type cannot be used with the {chosen.label} checksum algorithm."
        )
    return {ALGORITHM_KEY: chosen.name, TYPE_KEY: kind}


def upload_algorithm(facts: MultipartFacts) -> Algorithm | None:
    """The algorithm that an upload was created with."""
    name = facts.metadata.get(ALGORITHM_KEY)
    return None if name is None else algorithm(name, "x-amz-checksum-algorithm")


async def upload_part(call: Call) -> None:
    """PUT object?partNumber&uploadId.  The upload's algorithm is computed even when the client gave no value."""
    await call.authorize(Action.WRITE_OBJECT)
    number = _part_number(call)
    payload = call.payload()
    check_size(call, payload.size)
    facts = await _upload(call)
    chosen = upload_algorithm(facts)
    if chosen is not None and payload.promise is not None and payload.promise.algorithm != chosen:
        raise S3Error(
            "InvalidRequest",
            f"Checksum Type mismatch occurred, expected checksum Type: {chosen.name}, "
            f"actual checksum Type: {payload.promise.algorithm.name}",
        )
    kept = payload.promise.algorithm if payload.promise is not None else chosen
    more = {"checksum": "" if kept is None else kept.name}
    upload, digests = await receive(call, payload, PART, PART_VERSION, _hashers(kept), more)
    await _keep_part(call, number, kept, upload, digests)


async def resume_part(call: Call) -> None:
    """Go on with the PUT of a part that another process, or an older generation, has begun."""
    state = told(call.request, PART, PART_VERSION)
    kept = algorithm(state["checksum"], "the upload") if state["checksum"] else None
    upload, digests = await receive_rest(call, call.payload(), state, PART, PART_VERSION, _hashers(kept))
    await _keep_part(call, _part_number(call), kept, upload, digests)


async def _keep_part(
    call: Call, number: int, kept: Algorithm | None, upload: IUpload, digests: Mapping[str, bytes]
) -> None:
    part = await call.store.put_part(
        call.account,
        call.bucket,
        call.key,
        call.query["uploadId"],
        number,
        upload,
        etag=digests["md5"].hex(),
        metadata=_part_metadata(kept, digests),
    )
    call.answer(200, [(b"etag", quoted(part.etag).encode()), *checksum_headers(part.metadata)])


async def upload_part_copy(call: Call) -> None:
    """PUT object?partNumber&uploadId with ``x-amz-copy-source``: here the data is copied."""
    source = read_source(call.headers["x-amz-copy-source"])
    await call.objects.authorize(call.access, account_of(call.owner_id), Action.READ_OBJECT, source.bucket)
    await call.authorize(Action.WRITE_OBJECT)
    number = _part_number(call)
    facts = await _upload(call)
    kept = upload_algorithm(facts)
    reading = await call.store.open(call.account, source.bucket, source.key)
    try:
        check_source(call.headers, reading.facts)
        start, length = _source_range(call, reading.facts.size)
        check_size(call, length)
        upload = await call.store.receive({"md5": md5, **_hashers(kept)}, length)
        try:
            await copy_bytes(call.resources.threads, reading, start, length, upload)
            digests = await upload.finish()
        except Exception:
            await upload.discard()
            raise
    finally:
        reading.close()
    part = await call.store.put_part(
        call.account,
        call.bucket,
        call.key,
        facts.upload_id,
        number,
        upload,
        etag=digests["md5"].hex(),
        metadata=_part_metadata(kept, digests),
    )
    pairs = [("LastModified", iso_date(part.modified_us)), ("ETag", quoted(part.etag))]
    call.answer_xml("CopyPartResult", texts([*pairs, *_values(part)]))


async def list_parts(call: Call) -> None:
    """GET object?uploadId."""
    await call.authorize(Action.READ_OBJECT)
    facts = await _upload(call)
    wanted = min(call.number("max-parts", 1000, 0), 1000)
    marker = call.number("part-number-marker", 0, 0)
    rows = await call.store.parts(call.account, call.bucket, call.key, facts.upload_id, marker=marker, limit=wanted + 1)
    shown, truncated = rows[:wanted], 0 < wanted < len(rows)
    chosen = upload_algorithm(facts)
    call.answer_xml(
        "ListPartsResult",
        texts([("Bucket", call.bucket), ("Key", shown_as(call)(call.key)), ("UploadId", facts.upload_id)]),
        owner(call, "Initiator"),
        owner(call),
        texts([("StorageClass", "STANDARD"), ("PartNumberMarker", marker)]),
        texts([("NextPartNumberMarker", shown[-1].number if shown else 0), ("MaxParts", wanted)]),
        texts([("EncodingType", call.query.get("encoding-type"))]),
        texts([("IsTruncated", "true" if truncated else "false")]),
        texts(
            [("ChecksumAlgorithm", chosen.label if chosen else None), ("ChecksumType", facts.metadata.get(TYPE_KEY))]
        ),
        *(_part_row(part) for part in shown),
    )


def _part_row(part: PartFacts) -> str:
    pairs = [("PartNumber", str(part.number)), ("LastModified", iso_date(part.modified_us))]
    return element("Part", texts([*pairs, ("ETag", quoted(part.etag)), ("Size", str(part.size)), *_values(part)]))


def _values(part: PartFacts) -> list[tuple[str, str]]:
    """A part's checksum; its type is the object's affair."""
    return [(name, value) for name, value in checksum_elements(part.metadata) if name != "ChecksumType"]


async def abort_multipart(call: Call) -> None:
    """DELETE object?uploadId."""
    await call.authorize(Action.WRITE_OBJECT)
    await call.store.abort_multipart(call.account, call.bucket, call.key, call.query["uploadId"])
    call.answer(204)


async def list_multiparts(call: Call) -> None:
    """GET bucket?uploads."""
    await call.authorize(Action.LIST_OBJECTS)
    shown = shown_as(call)
    wanted = min(call.number("max-uploads", 1000, 0), 1000)
    rows = await _rolled_up(call, wanted + 1)
    truncated = 0 < wanted < len(rows)
    rows = rows[:wanted]
    last = rows[-1] if truncated else None
    names = ("prefix", "key-marker", "upload-id-marker", "delimiter")
    prefix, key_marker, id_marker, delimiter = (call.query.get(name, "") for name in names)
    call.answer_xml(
        "ListMultipartUploadsResult",
        texts([("Bucket", call.bucket), ("KeyMarker", shown(key_marker)), ("UploadIdMarker", id_marker)]),
        texts([("NextKeyMarker", shown(last if isinstance(last, str) else last.name))] if last else []),
        texts([("NextUploadIdMarker", last.upload_id)] if isinstance(last, MultipartFacts) else []),
        texts([("Prefix", shown(prefix)), ("Delimiter", shown(delimiter) if delimiter else None)]),
        texts([("MaxUploads", wanted), ("EncodingType", call.query.get("encoding-type"))]),
        texts([("IsTruncated", "true" if truncated else "false")]),
        *(_upload_row(call, row, shown) for row in rows if isinstance(row, MultipartFacts)),
        *(element("CommonPrefixes", texts([("Prefix", shown(row))])) for row in rows if isinstance(row, str)),
    )


def _upload_row(call: Call, facts: MultipartFacts, shown: Callable[[str], str]) -> str:
    chosen = upload_algorithm(facts)
    return element(
        "Upload",
        texts([("Key", shown(facts.name)), ("UploadId", facts.upload_id)]),
        owner(call, "Initiator"),
        owner(call),
        texts([("StorageClass", "STANDARD"), ("Initiated", iso_date(facts.created_us))]),
        texts(
            [("ChecksumAlgorithm", chosen.label if chosen else None), ("ChecksumType", facts.metadata.get(TYPE_KEY))]
        ),
    )


async def _rolled_up(call: Call, wanted: int) -> list[MultipartFacts | str]:
    """Uploads in order, those under a common prefix as that prefix, at most ``wanted`` rows."""
    prefix, delimiter = call.query.get("prefix", ""), call.query.get("delimiter", "")
    key_marker, id_marker = call.query.get("key-marker", ""), call.query.get("upload-id-marker", "")
    skipped = key_marker if delimiter and key_marker.endswith(delimiter) else None
    rows: list[MultipartFacts | str] = []
    while len(rows) < wanted:
        page = await call.store.multiparts(
            call.account, call.bucket, prefix=prefix, key_marker=key_marker, id_marker=id_marker, limit=1000
        )
        for facts in page:
            end = facts.name.find(delimiter, len(prefix)) if delimiter else -1
            rolled = facts.name[: end + len(delimiter)] if end >= 0 else None
            if rolled is None:
                rows.append(facts)
            elif rolled not in (skipped, rows[-1] if rows else None):
                rows.append(rolled)
        if len(page) < 1000:
            break
        key_marker, id_marker = page[-1].name, page[-1].upload_id
    return rows[:wanted]


async def _upload(call: Call) -> MultipartFacts:
    """:raises NoSuchUpload:"""
    return await call.store.multipart(call.account, call.bucket, call.key, call.query["uploadId"])


def _part_number(call: Call) -> int:
    text = call.query.get("partNumber", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= MAX_PARTS):
        raise S3Error(
            "InvalidArgument",
            f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive",
            ArgumentName="partNumber",
            ArgumentValue=text,
        )
    return int(text)


def _hashers(kept: Algorithm | None) -> dict[str, Callable[[], Hasher]]:
    return {} if kept is None else {kept.name: kept.hasher}


def _part_metadata(kept: Algorithm | None, digests: Mapping[str, bytes]) -> dict[str, str]:
    return {} if kept is None else stored(kept, encoded(digests[kept.name]))


def _source_range(call: Call, size: int) -> tuple[int, int]:
    """Start and length in ``x-amz-copy-source-range``, which must lie inside the source."""
    text = call.headers.get("x-amz-copy-source-range")
    if text is None:
        return 0, size
    match = _RANGE.fullmatch(text.strip())
    if match is None or int(match[2]) < int(match[1]):
        raise S3Error(
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=text,
        )
    if int(match[2]) >= size:
        raise S3Error("InvalidRange", f"Range specified is not valid for source object of size: {size}")
    return int(match[1]), int(match[2]) + 1 - int(match[1])
