"""
Which operation a request asks for: level, method, and the sub-resource in its query.

The table holds all that is served; ``?x`` with a sub-resource that S3 has and the table has not is ``NotImplemented``.
Other query parameters mean nothing, as at S3: SDKs send their own, such as ``x-id``.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from reload import States

from . import _buckets, _completion, _copying, _listing, _multipart, _reading, _subresources, _writing
from ._errors import S3Error
from ._subresources import EMPTY, NOT_SET, Operation, refused


@frozen
class Named:
    """An operation and the bounded name that logs and metrics know it by."""

    name: str
    run: Operation


#: Sub-resources that change what a request means, the more special first.
BUCKET_SUBRESOURCES = (
    "location",
    "acl",
    "uploads",
    "versions",
    "list-type",
    "delete",
    "metadataTable",
    "metadataConfiguration",
    "session",
    *EMPTY,
    *NOT_SET,
)
OBJECT_SUBRESOURCES = (
    "uploads",
    "uploadId",
    "acl",
    "tagging",
    "attributes",
    "retention",
    "legal-hold",
    "torrent",
    "restore",
    "select",
    "encryption",
    "renameObject",
)

#: Level, method and sub-resource (``copy`` in it: with ``x-amz-copy-source``) -> operation.
TABLE: Mapping[tuple[str, str, str], Named] = {
    ("service", "GET", ""): Named("ListBuckets", _buckets.list_buckets),
    ("bucket", "GET", ""): Named("ListObjects", _listing.list_objects),
    ("bucket", "GET", "list-type"): Named("ListObjectsV2", _listing.list_objects_v2),
    ("bucket", "GET", "versions"): Named("ListObjectVersions", _listing.list_versions),
    ("bucket", "GET", "uploads"): Named("ListMultipartUploads", _multipart.list_multiparts),
    ("bucket", "GET", "location"): Named("GetBucketLocation", _buckets.get_location),
    ("bucket", "GET", "acl"): Named("GetBucketAcl", _subresources.get_acl),
    ("bucket", "PUT", "acl"): Named("PutBucketAcl", _subresources.put_acl),
    ("bucket", "PUT", ""): Named("CreateBucket", _buckets.create_bucket),
    ("bucket", "HEAD", ""): Named("HeadBucket", _buckets.head_bucket),
    ("bucket", "DELETE", ""): Named("DeleteBucket", _buckets.delete_bucket),
    ("bucket", "POST", "delete"): Named("DeleteObjects", _buckets.delete_objects),
    ("bucket", "POST", ""): Named("PostObject", refused("POST of a form")),
    ("object", "GET", ""): Named("GetObject", _reading.get_object),
    ("object", "HEAD", ""): Named("HeadObject", _reading.head_object),
    ("object", "PUT", ""): Named("PutObject", _writing.put_object),
    ("object", "PUT", "copy"): Named("CopyObject", _copying.copy_object),
    ("object", "DELETE", ""): Named("DeleteObject", _writing.delete_object),
    ("object", "GET", "acl"): Named("GetObjectAcl", _subresources.get_acl),
    ("object", "PUT", "acl"): Named("PutObjectAcl", _subresources.put_acl),
    ("object", "GET", "tagging"): Named("GetObjectTagging", _subresources.object_tagging),
    ("object", "DELETE", "tagging"): Named("DeleteObjectTagging", _subresources.object_tagging_deleted),
    ("object", "GET", "attributes"): Named("GetObjectAttributes", _reading.get_attributes),
    ("object", "GET", "retention"): Named("GetObjectRetention", _subresources.object_lock),
    ("object", "GET", "legal-hold"): Named("GetObjectLegalHold", _subresources.object_lock),
    ("object", "POST", "uploads"): Named("CreateMultipartUpload", _multipart.create_multipart),
    ("object", "PUT", "uploadId"): Named("UploadPart", _multipart.upload_part),
    ("object", "PUT", "uploadId copy"): Named("UploadPartCopy", _multipart.upload_part_copy),
    ("object", "GET", "uploadId"): Named("ListParts", _multipart.list_parts),
    ("object", "POST", "uploadId"): Named("CompleteMultipartUpload", _completion.complete_multipart),
    ("object", "DELETE", "uploadId"): Named("AbortMultipartUpload", _multipart.abort_multipart),
    **{("bucket", "GET", name): Named("GetBucketConfiguration", _subresources.bucket_not_set(name)) for name in EMPTY},
    **{
        ("bucket", "GET", name): Named("GetBucketConfiguration", _subresources.bucket_not_set(name)) for name in NOT_SET
    },
    **{
        ("bucket", "DELETE", name): Named("DeleteBucketConfiguration", _subresources.bucket_deleted) for name in NOT_SET
    },
}

#: Of requests that were begun in another process, by the kind of their state.
RESUMED: Mapping[str, Operation] = {
    _reading.GET: _reading.resume_get,
    _writing.PUT: _writing.resume_put,
    _multipart.PART: _multipart.resume_part,
}
STATES = States.joined([_reading.STATES, _writing.STATES, _multipart.STATES])


def choose(level: str, method: str, query: Mapping[str, str], *, copies: bool) -> Named:
    """
    The operation of a request.

    :param level: ``service``, ``bucket`` or ``object``
    :param copies: whether ``x-amz-copy-source`` is given
    :raises S3Error: ``MethodNotAllowed``, ``InvalidArgument``
    """
    known = {"bucket": BUCKET_SUBRESOURCES, "object": OBJECT_SUBRESOURCES}.get(level, ())
    name = next((each for each in known if each in query), "")
    if level == "object" and method == "PUT":
        if "partNumber" in query and name != "uploadId":
            raise S3Error("InvalidArgument", "This operation needs an uploadId beside the partNumber.")
        if copies and name in ("", "uploadId"):
            name = f"{name} copy".strip()
    if level == "bucket" and method == "HEAD":
        name = ""
    named = TABLE.get((level, method, name))
    if named is not None:
        return named
    if name and method in ("GET", "PUT", "POST", "DELETE"):
        return Named("NotImplemented", refused(name))
    raise S3Error("MethodNotAllowed", Method=method, ResourceType=level.upper())
