"""Buckets: list, create, look, delete, and delete many objects of one."""

from __future__ import annotations

import re

from cloudd.objects import Action, InvalidName, check_object_name
from storage import ContainerExists, ContainerFacts, Listing

from ._call import Call, iso_date, refuse_unsupported
from ._errors import S3Error
from ._listing import owner
from ._xml import Node, element, texts

LOCATION = "s3:location"
MAX_DELETES = 1000
MAX_DELETE_DOCUMENT_BYTES = 2_097_152 * 2
MAX_CREATE_DOCUMENT_BYTES = 65_536
_LABELS = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")


def check_new_name(name: str) -> None:
    """
    S3's rules for the names of new buckets; containers that Swift made may be reached under any name.

    :raises S3Error: ``InvalidBucketName``
    """
    valid = _LABELS.fullmatch(name) and not _ADDRESS.fullmatch(name)
    if not valid or ".." in name or ".-" in name or "-." in name or name.startswith("xn--"):
        raise S3Error(
            "InvalidBucketName",
            "The specified bucket is not valid: 3 to 63 lower-case letters, digits, dots and hyphens.",
            BucketName=name,
        )


async def list_buckets(call: Call) -> None:
    """GET service.  Pages only when ``max-buckets`` asks for them."""
    await call.authorize(Action.READ_ACCOUNT)
    wanted = call.number("max-buckets", 10_000, 1, 10_000)
    prefix, marker = call.query.get("prefix", ""), call.query.get("continuation-token", "")
    listing = Listing(prefix=prefix, marker=marker, limit=wanted + 1)
    rows = await call.store.containers(call.account, listing)
    buckets = [row for row in rows if isinstance(row, ContainerFacts)]
    shown = buckets[:wanted]
    dates = [texts([("Name", row.name), ("CreationDate", iso_date(row.created_us))]) for row in shown]
    call.answer_xml(
        "ListAllMyBucketsResult",
        owner(call),
        element("Buckets", *(element("Bucket", row) for row in dates)),
        texts([("ContinuationToken", shown[-1].name if len(buckets) > wanted else None)]),
        texts([("Prefix", prefix or None)]),
    )


async def create_bucket(call: Call) -> None:
    """PUT bucket.  Any location is taken and given back: there is one region, whatever the client calls it."""
    check_new_name(call.bucket)
    refuse_unsupported(call.headers)
    await call.authorize(Action.CHANGE_CONTAINER)
    location = await _location(call)
    try:
        metadata: dict[str, str | None] = {LOCATION: location} if location else {}
        await call.store.create_container(call.account, call.bucket, metadata, exclusive=True)
    except ContainerExists as cause:
        raise S3Error("BucketAlreadyOwnedByYou", BucketName=call.bucket) from cause
    call.answer(200, [(b"location", f"/{call.bucket}".encode())])


async def _location(call: Call) -> str:
    payload = call.payload()
    if not payload.size:
        return ""
    node = await call.read_xml("CreateBucketConfiguration", MAX_CREATE_DOCUMENT_BYTES, payload)
    location = (node.value("LocationConstraint") or "").strip()
    if not re.fullmatch(r"[A-Za-z0-9-]{0,64}", location):
        raise S3Error("IllegalLocationConstraintException", f"The location constraint {location!r} is not valid.")
    return location


async def head_bucket(call: Call) -> None:
    await call.authorize(Action.LIST_OBJECTS)
    facts = await call.store.container(call.account, call.bucket)
    region = facts.metadata.get(LOCATION) or "us-east-1"
    call.answer(200, [(b"x-amz-bucket-region", region.encode())])


async def get_location(call: Call) -> None:
    """GET bucket?location.  Empty means ``us-east-1``, which is what clients sign with when they know nothing else."""
    await call.authorize(Action.LIST_OBJECTS)
    facts = await call.store.container(call.account, call.bucket)
    call.answer_xml("LocationConstraint", facts.metadata.get(LOCATION, ""))


async def delete_bucket(call: Call) -> None:
    await call.authorize(Action.CHANGE_CONTAINER)
    await call.store.delete_container(call.account, call.bucket)
    call.answer(204)


async def delete_objects(call: Call) -> None:
    """POST bucket?delete.  Keys that do not exist count as deleted."""
    payload = call.payload()
    if not payload.is_protected:
        raise S3Error("InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
    await call.authorize(Action.WRITE_OBJECT)
    root = await call.read_xml("Delete", MAX_DELETE_DOCUMENT_BYTES, payload)
    wanted = list(root.children("Object"))
    if not 1 <= len(wanted) <= MAX_DELETES:
        raise S3Error("MalformedXML", f"From 1 to {MAX_DELETES} objects can be deleted at once.")
    names, errors = _deletable(wanted)
    await call.store.delete_objects(call.account, call.bucket, names)
    quiet = (root.value("Quiet") or "").strip().lower() == "true"
    deleted = [] if quiet else [element("Deleted", texts([("Key", name)])) for name in names]
    call.answer_xml("DeleteResult", *deleted, *errors)


def _deletable(wanted: list[Node]) -> tuple[list[str], list[str]]:
    """The names to delete, each once, and an error element for each that cannot be."""
    names: dict[str, None] = {}
    errors = []
    for each in wanted:
        key, version = each.value("Key"), each.value("VersionId")
        if not key:
            raise S3Error("MalformedXML", "An object to delete has no key.")
        try:
            check_object_name(key)
        except InvalidName as cause:
            errors.append(_refused(key, "KeyTooLongError", cause.cause))
            continue
        if version not in (None, "", "null"):
            errors.append(_refused(key, "NoSuchVersion", "The specified version does not exist."))
        elif any(each.child(condition) is not None for condition in ("ETag", "LastModifiedTime", "Size")):
            errors.append(_refused(key, "NotImplemented", "Conditions in multi-object delete are not offered."))
        else:
            names[key] = None
    return list(names), errors


def _refused(key: str, code: str, message: str) -> str:
    return element("Error", texts([("Key", key), ("Code", code), ("Message", message)]))
