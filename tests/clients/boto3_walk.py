"""
Walks that boto3 makes against a running cloudd; run as a script by ``test_boto3`` in the clients' environment.

Endpoint and keys come from the environment, as for any boto3 program.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3  # type: ignore[import-not-found,unused-ignore]
from botocore.exceptions import ClientError  # type: ignore[import-not-found,unused-ignore]


def refused(code: str, call: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """The call must fail with this error code or HTTP status."""
    try:
        call(**arguments)
    except ClientError as error:
        facts: dict[str, Any] = error.response
        found = {facts["Error"]["Code"], str(facts["ResponseMetadata"]["HTTPStatusCode"])}
        assert code in found, f"wanted {code}, got {found}: {facts['Error'].get('Message')}"
        return facts
    raise AssertionError(f"{call} succeeded, wanted {code}")


def conditional_writes(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="lock", Body=b"one", IfNoneMatch="*")
    refused("PreconditionFailed", s3.put_object, Bucket=bucket, Key="lock", Body=b"two", IfNoneMatch="*")
    assert s3.get_object(Bucket=bucket, Key="lock")["Body"].read() == b"one"
    etag = s3.head_object(Bucket=bucket, Key="lock")["ETag"]
    s3.put_object(Bucket=bucket, Key="lock", Body=b"three", IfMatch=etag)
    refused("PreconditionFailed", s3.put_object, Bucket=bucket, Key="lock", Body=b"four", IfMatch=etag)
    refused("404", s3.put_object, Bucket=bucket, Key="absent", Body=b"x", IfMatch=etag)

    def contend(number: int) -> bool:
        try:
            s3.put_object(Bucket=bucket, Key="contended", Body=b"%d" % number, IfNoneMatch="*")
        except ClientError as error:
            assert error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict")
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(contend, range(40))) == 1


def checksums(s3: Any, bucket: str) -> None:
    body = b"cloudd " * 10_000
    for algorithm in ("CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"):
        key = f"sum-{algorithm}"
        put = s3.put_object(Bucket=bucket, Key=key, Body=body, ChecksumAlgorithm=algorithm)
        got = s3.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        assert got["Body"].read() == body
        assert got[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"], algorithm
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    refused("BadDigest", s3.put_object, Bucket=bucket, Key="wrong", Body=body, ChecksumSHA256=wrong)
    md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    refused("BadDigest", s3.put_object, Bucket=bucket, Key="wrong", Body=body, ContentMD5=md5)
    refused("404", s3.head_object, Bucket=bucket, Key="wrong")


def listing(s3: Any, bucket: str) -> None:
    names = [f"a/{n:03d}" for n in range(25)] + ["a b+c%d", "b/ü/1", "b/ü/2", "c"]
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=b"")
    for call in ("list_objects", "list_objects_v2"):
        pages = s3.get_paginator(call).paginate(Bucket=bucket, PaginationConfig={"PageSize": 7})
        found = [row["Key"] for page in pages for row in page.get("Contents", [])]
        assert found == sorted(names), (call, found)
    top = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [row["Prefix"] for row in top["CommonPrefixes"]] == ["a/", "b/"]
    assert [row["Key"] for row in top["Contents"]] == ["a b+c%d", "c"]
    deep = s3.list_objects_v2(Bucket=bucket, Prefix="b/", Delimiter="/")
    assert [row["Prefix"] for row in deep["CommonPrefixes"]] == ["b/ü/"]
    after = s3.list_objects_v2(Bucket=bucket, StartAfter="b/ü/1")
    assert [row["Key"] for row in after["Contents"]] == ["b/ü/2", "c"]


def multi_delete(s3: Any, bucket: str) -> None:
    for number in range(50):
        s3.put_object(Bucket=bucket, Key=f"k{number}", Body=b"x")
    wanted = [{"Key": f"k{number}"} for number in range(50)] + [{"Key": "never there"}]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": wanted})
    assert len(answer["Deleted"]) == 51 and not answer.get("Errors")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def multipart(s3: Any, bucket: str) -> None:
    first, second, last = b"1" * (5 << 20), b"2" * (5 << 20), b"3" * 17
    upload = s3.create_multipart_upload(Bucket=bucket, Key="big", Metadata={"colour": "red"})["UploadId"]
    at = {"Bucket": bucket, "Key": "big", "UploadId": upload}
    etags = {}
    for number, body in ((3, last), (1, first)):
        etags[number] = s3.upload_part(**at, PartNumber=number, Body=body)["ETag"]
    s3.put_object(Bucket=bucket, Key="source", Body=second + b"beyond")
    copied = s3.upload_part_copy(
        **at,
        PartNumber=2,
        CopySource={"Bucket": bucket, "Key": "source"},
        CopySourceRange=f"bytes=0-{len(second) - 1}",
    )
    etags[2] = copied["CopyPartResult"]["ETag"]
    assert [row["PartNumber"] for row in s3.list_parts(**at)["Parts"]] == [1, 2, 3]
    assert [row["Key"] for row in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["big"]
    parts = [{"PartNumber": number, "ETag": etags[number]} for number in (1, 2, 3)]
    refused("InvalidPartOrder", s3.complete_multipart_upload, **at, MultipartUpload={"Parts": parts[::-1]})
    bad = [{"PartNumber": 1, "ETag": '"0123456789abcdef0123456789abcdef"'}]
    refused("InvalidPart", s3.complete_multipart_upload, **at, MultipartUpload={"Parts": bad})
    done = s3.complete_multipart_upload(**at, MultipartUpload={"Parts": parts})
    assert done["ETag"].strip('"').endswith("-3")
    got = s3.get_object(Bucket=bucket, Key="big")
    assert got["Body"].read() == first + second + last and got["Metadata"] == {"colour": "red"}
    part = s3.get_object(Bucket=bucket, Key="big", Range=f"bytes={len(first) - 2}-{len(first) + 1}")
    assert part["Body"].read() == b"1122"
    gone = s3.create_multipart_upload(Bucket=bucket, Key="gone")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="gone", UploadId=gone, PartNumber=1, Body=b"x")
    s3.abort_multipart_upload(Bucket=bucket, Key="gone", UploadId=gone)
    refused("NoSuchUpload", s3.list_parts, Bucket=bucket, Key="gone", UploadId=gone)
    small = s3.create_multipart_upload(Bucket=bucket, Key="small")["UploadId"]
    tags = [s3.upload_part(Bucket=bucket, Key="small", UploadId=small, PartNumber=n, Body=b"x")["ETag"] for n in (1, 2)]
    parts = [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]
    arguments = {"Bucket": bucket, "Key": "small", "UploadId": small, "MultipartUpload": {"Parts": parts}}
    refused("EntityTooSmall", s3.complete_multipart_upload, **arguments)
    s3.abort_multipart_upload(Bucket=bucket, Key="small", UploadId=small)


def ranges_and_metadata(s3: Any, bucket: str) -> None:
    body = bytes(range(256)) * 40
    s3.put_object(
        Bucket=bucket,
        Key="o",
        Body=body,
        ContentType="text/x-walk",
        CacheControl="no-store",
        Metadata={"a": "1"},
    )
    for header, want in (("bytes=0-9", body[:10]), ("bytes=-5", body[-5:]), ("bytes=10200-", body[10200:])):
        got = s3.get_object(Bucket=bucket, Key="o", Range=header)
        assert got["Body"].read() == want and got["ResponseMetadata"]["HTTPStatusCode"] == 206
    refused("InvalidRange", s3.get_object, Bucket=bucket, Key="o", Range="bytes=20000-")
    head = s3.head_object(Bucket=bucket, Key="o")
    assert (head["ContentType"], head["CacheControl"], head["Metadata"]) == (
        "text/x-walk",
        "no-store",
        {"a": "1"},
    )
    refused("304", s3.get_object, Bucket=bucket, Key="o", IfNoneMatch=head["ETag"])
    refused("PreconditionFailed", s3.get_object, Bucket=bucket, Key="o", IfMatch='"other"')
    source = {"Bucket": bucket, "Key": "o"}
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
    assert s3.head_object(Bucket=bucket, Key="copy")["Metadata"] == {"a": "1"}
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, MetadataDirective="REPLACE", Metadata={"b": "2"})
    assert s3.head_object(Bucket=bucket, Key="copy")["Metadata"] == {"b": "2"}
    refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="absent")
    refused("NoSuchBucket", s3.get_object, Bucket="no-such-bucket-here", Key="absent")


WALKS = {
    walk.__name__: walk
    for walk in (conditional_writes, checksums, listing, multi_delete, multipart, ranges_and_metadata)
}


def main() -> None:
    name = sys.argv[1]
    s3 = boto3.client("s3")
    bucket = f"boto3-{name.replace('_', '-')}-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    WALKS[name](s3, bucket)
    resource = boto3.resource("s3").Bucket(bucket)
    resource.objects.all().delete()
    resource.delete()
    print(f"{name}: done")


if __name__ == "__main__":
    main()
