"""
Objects as tenants see them: names, who may do what, conditions, ranges and checksums, shared by Swift and S3.

A face checks names, asks for leave, then calls the store itself::

    container = check_container_name(decode_name(raw, "container"))
    await objects.authorize(access, account_of(project_id), Action.READ_OBJECT, container, referrer)
    reading = await objects.store.open(account, container, name)
    facts, conditions = reading.facts, Conditions.from_headers(request.header)
    verdict = conditions.evaluate(facts.etag, facts.modified_us, reading=True)
    if conditions.range_applies(facts.etag, facts.modified_us):
        ranges = parse_range(request.header(b"range"), facts.size)  # None: the whole object

Nothing here knows HTTP requests or either API's faults.
"""

from ._acl import AccessList, clean_access_list, parse_access_list
from ._authorization import READ_LIST, WRITE_LIST, Action, Asker, allowed_by_list, allowed_by_role
from ._checksums import DIGEST_BYTES, HASHERS, combine_checksums, crc32, crc32c, crc64nvme, md5, sha1, sha256
from ._conditions import Conditions, EntityTag, EntityTags, Verdict, parse_entity_tags
from ._dates import format_http_date, parse_http_date
from ._errors import (
    Forbidden,
    InvalidAccessList,
    InvalidMetadata,
    InvalidName,
    ObjectsError,
    Unauthorized,
    UnsatisfiableRange,
)
from ._metadata import (
    MAX_META_COUNT,
    MAX_META_NAME_BYTES,
    MAX_META_OVERALL_BYTES,
    MAX_META_VALUE_BYTES,
    check_metadata,
)
from ._names import (
    MAX_ACCOUNT_BYTES,
    MAX_CONTAINER_BYTES,
    MAX_OBJECT_BYTES,
    account_of,
    check_account_name,
    check_container_name,
    check_object_name,
    decode_name,
    project_of,
)
from ._ranges import ByteRange, MultipartRanges, parse_range
from ._service import Objects

__all__ = [
    "DIGEST_BYTES",
    "HASHERS",
    "MAX_ACCOUNT_BYTES",
    "MAX_CONTAINER_BYTES",
    "MAX_META_COUNT",
    "MAX_META_NAME_BYTES",
    "MAX_META_OVERALL_BYTES",
    "MAX_META_VALUE_BYTES",
    "MAX_OBJECT_BYTES",
    "READ_LIST",
    "WRITE_LIST",
    "AccessList",
    "Action",
    "Asker",
    "ByteRange",
    "Conditions",
    "EntityTag",
    "EntityTags",
    "Forbidden",
    "InvalidAccessList",
    "InvalidMetadata",
    "InvalidName",
    "MultipartRanges",
    "Objects",
    "ObjectsError",
    "Unauthorized",
    "UnsatisfiableRange",
    "Verdict",
    "account_of",
    "allowed_by_list",
    "allowed_by_role",
    "check_account_name",
    "check_container_name",
    "check_metadata",
    "check_object_name",
    "clean_access_list",
    "combine_checksums",
    "crc32",
    "crc32c",
    "crc64nvme",
    "decode_name",
    "format_http_date",
    "md5",
    "parse_access_list",
    "parse_entity_tags",
    "parse_http_date",
    "parse_range",
    "project_of",
    "sha1",
    "sha256",
]
