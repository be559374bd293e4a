"""Multipart uploads from their creation to the object, and the ways they end otherwise."""

from __future__ import annotations

import hashlib

from tests.http_client import Answer
from tests.protocols.s3.s3_client import values
from tests.protocols.s3.test_objects import FaceTestCase

PART = bytes(range(256)) * 20_480  # 5 MiB, the least that a part may have
TAIL = b"the end"


class MultipartTestCase(FaceTestCase):
    async def create(self, headers: dict[str, str] | None = None, name: str = "big") -> str:
        answer = await self.s3.call("POST", f"/bucket/{name}?uploads", headers, b"")
        self.assertEqual(answer.status, 200, answer.text)
        [upload_id] = values(answer, "UploadId")
        return upload_id

    async def part(self, upload_id: str, number: int, data: bytes, headers: dict[str, str] | None = None) -> Answer:
        return await self.s3.call("PUT", f"/bucket/big?partNumber={number}&uploadId={upload_id}", headers, data)

    async def complete(
        self, upload_id: str, parts: list[tuple[int, str]], headers: dict[str, str] | None = None, more: str = ""
    ) -> Answer:
        inside = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{more}</Part>" for number, etag in parts
        )
        body = f"<CompleteMultipartUpload>{inside}</CompleteMultipartUpload>".encode()
        return await self.s3.call("POST", f"/bucket/big?uploadId={upload_id}", headers, body)

    async def two_parts(self, upload_id: str) -> list[tuple[int, str]]:
        parts = []
        for number, data in ((1, PART), (4, TAIL)):
            answer = await self.part(upload_id, number, data)
            self.assertEqual(answer.status, 200, answer.text)
            parts.append((number, answer.headers["etag"]))
        return parts


class Completing(MultipartTestCase):
    async def test_an_object_of_two_parts(self) -> None:
        await self.s3.make("bucket")
        upload_id = await self.create({"x-amz-meta-a": "1", "Content-Type": "text/x"})
        parts = await self.two_parts(upload_id)
        answer = await self.complete(upload_id, parts)
        digest = hashlib.md5(hashlib.md5(PART).digest() + hashlib.md5(TAIL).digest()).hexdigest()
        self.assertEqual(values(answer, "ETag"), [f'"{digest}-2"'])
        self.assertEqual(values(answer, "Location"), ["http://s3.cloud/bucket/big"])
        got = await self.s3.call("GET", "/bucket/big", {"If-Match": f'"{digest}-2"'})
        self.assertTrue(got.body == PART + TAIL)
        self.assertEqual((got.headers["content-type"], got.headers["x-amz-meta-a"]), ("text/x", "1"))
        got = await self.s3.call("GET", "/bucket/big", {"Range": f"bytes={len(PART) - 2}-{len(PART) + 2}"})
        self.assertEqual(got.body, PART[-2:] + TAIL[:3])

    async def test_parts_can_be_read_by_number(self) -> None:
        await self.s3.make("bucket", small=b"12")
        upload_id = await self.create()
        await self.complete(upload_id, await self.two_parts(upload_id))
        got = await self.s3.call("GET", "/bucket/big?partNumber=2")
        self.assertEqual((got.status, got.body, got.headers["x-amz-mp-parts-count"]), (206, TAIL, "2"))
        head = await self.s3.call("HEAD", "/bucket/big?partNumber=1")
        self.assertEqual(head.headers["content-length"], str(len(PART)))
        self.refused(await self.s3.call("GET", "/bucket/big?partNumber=3"), 416, "InvalidPartNumber")
        self.assertEqual((await self.s3.call("GET", "/bucket/small?partNumber=1")).body, b"12")
        self.refused(
            await self.s3.call("GET", "/bucket/big?partNumber=1", {"Range": "bytes=0-1"}), 400, "InvalidRequest"
        )

    async def test_a_retry_gets_the_same_answer(self) -> None:
        await self.s3.make("bucket")
        upload_id = await self.create()
        parts = await self.two_parts(upload_id)
        first = await self.complete(upload_id, parts)
        again = await self.complete(upload_id, parts)
        self.assertEqual((again.status, again.body), (200, first.body))
        await self.s3.call("PUT", "/bucket/big", body=b"newer")
        self.refused(await self.complete(upload_id, parts), 404, "NoSuchUpload")

    async def test_refusals_change_nothing(self) -> None:
        await self.s3.make("bucket")
        upload_id = await self.create()
        parts = await self.two_parts(upload_id)
        tiny = await self.part(upload_id, 2, b"tiny")
        etag = tiny.headers["etag"]
        self.refused(await self.complete(upload_id, parts[::-1]), 400, "InvalidPartOrder")
        self.refused(await self.complete(upload_id, [(9, etag)]), 400, "InvalidPart")
        self.refused(await self.complete(upload_id, [(1, etag)]), 400, "InvalidPart")
        self.refused(await self.complete(upload_id, [(2, etag), parts[1]]), 400, "EntityTooSmall")
        self.refused(await self.complete("nonsense", parts), 404, "NoSuchUpload")
        self.refused(await self.complete(upload_id, []), 400, "MalformedXML")
        self.refused(await self.complete(upload_id, parts, {"x-amz-mp-object-size": "1"}), 400, "InvalidRequest")
        self.assertEqual(await self.names(), [])
        self.assertEqual((await self.complete(upload_id, parts)).status, 200)

    async def test_conditions(self) -> None:
        await self.s3.make("bucket", big=b"old")
        upload_id = await self.create()
        parts = await self.two_parts(upload_id)
        self.refused(await self.complete(upload_id, parts, {"If-None-Match": "*"}), 412, "PreconditionFailed")
        self.assertEqual((await self.s3.call("GET", "/bucket/big")).body, b"old")

    async def test_composite_checksums(self) -> None:
        await self.s3.make("bucket")
        upload_id = await self.create({"x-amz-checksum-algorithm": "SHA256"})
        parts = await self.two_parts(upload_id)
        answer = await self.complete(upload_id, parts)
        [value] = values(answer, "ChecksumSHA256")
        self.assertTrue(value.endswith("-2"))
        self.assertEqual(values(answer, "ChecksumType"), ["COMPOSITE"])
        head = await self.s3.call("HEAD", "/bucket/big", {"x-amz-checksum-mode": "ENABLED"})
        self.assertEqual(head.headers["x-amz-checksum-sha256"], value)

    async def test_full_object_checksums_are_those_of_the_bytes(self) -> None:
        await self.s3.make("bucket")
        upload_id = await self.create({"x-amz-checksum-algorithm": "CRC64NVME"})
        parts = await self.two_parts(upload_id)
        self.refused(
            await self.complete(upload_id, parts, {"x-amz-checksum-crc64nvme": "AAAAAAAAAAA="}), 400, "BadDigest"
        )
        [value] = values(await self.complete(upload_id, parts), "ChecksumCRC64NVME")
        whole = await self.s3.call("PUT", "/bucket/whole", {"x-amz-checksum-crc64nvme": value}, PART + TAIL)
        self.assertEqual(whole.status, 200)

    async def test_checksums_of_parts(self) -> None:
        await self.s3.make("bucket")
        upload_id = await self.create({"x-amz-checksum-algorithm": "CRC32"})
        right = await self.part(upload_id, 1, b"123456789", {"x-amz-checksum-crc32": "y/Q5Jg=="})
        self.assertEqual(right.headers["x-amz-checksum-crc32"], "y/Q5Jg==")
        wrong = await self.part(upload_id, 1, b"12345678", {"x-amz-checksum-crc32": "y/Q5Jg=="})
        self.refused(wrong, 400, "BadDigest")
        other = await self.part(upload_id, 1, b"123456789", {"x-amz-checksum-crc32c": "4waSgw=="})
        self.refused(other, 400, "InvalidRequest")
        parts = [(1, right.headers["etag"])]
        answer = await self.complete(upload_id, parts, more="<ChecksumCRC32>AAAAAA==</ChecksumCRC32>")
        self.refused(answer, 400, "InvalidPart")
        answer = await self.complete(upload_id, parts, more="<ChecksumCRC32>y/Q5Jg==</ChecksumCRC32>")
        self.assertEqual(answer.status, 200)

    async def test_impossible_checksums(self) -> None:
        await self.s3.make("bucket")
        for headers in (
            {"x-amz-checksum-algorithm": "MD4"},
            {"x-amz-checksum-algorithm": "SHA1", "x-amz-checksum-type": "FULL_OBJECT"},
            {"x-amz-checksum-algorithm": "CRC64NVME", "x-amz-checksum-type": "COMPOSITE"},
            {"x-amz-checksum-type": "COMPOSITE"},
        ):
            self.refused(await self.s3.call("POST", "/bucket/big?uploads", headers, b""), 400, "InvalidRequest")


class Parts(MultipartTestCase):
    async def test_numbers(self) -> None:
        await self.s3.make("bucket")
        upload_id = await self.create()
        for number in (0, 10_001, -1):
            self.refused(await self.part(upload_id, number, b"1"), 400, "InvalidArgument")
        self.refused(await self.part("nonsense", 1, b"1"), 404, "NoSuchUpload")
        self.assertEqual(self.s3.open_uploads, 0)

    async def test_listing(self) -> None:
        await self.s3.make("bucket")
        upload_id = await self.create({"x-amz-checksum-algorithm": "CRC32"})
        for number in (3, 1, 2):
            await self.part(upload_id, number, b"123456789")
        answer = await self.s3.call("GET", f"/bucket/big?uploadId={upload_id}&max-parts=2")
        self.assertEqual(values(answer, "Part/PartNumber"), ["1", "2"])
        self.assertEqual(values(answer, "Part/ChecksumCRC32"), ["y/Q5Jg==", "y/Q5Jg=="])
        self.assertEqual((values(answer, "IsTruncated"), values(answer, "NextPartNumberMarker")), (["true"], ["2"]))
        answer = await self.s3.call("GET", f"/bucket/big?uploadId={upload_id}&part-number-marker=2")
        self.assertEqual((values(answer, "Part/PartNumber"), values(answer, "IsTruncated")), (["3"], ["false"]))
        self.refused(await self.s3.call("GET", "/bucket/big?uploadId=nonsense"), 404, "NoSuchUpload")

    async def test_copies(self) -> None:
        data = bytes(range(256)) * 2000
        await self.s3.make("bucket", source=data)
        upload_id = await self.create({"x-amz-checksum-algorithm": "CRC32"})
        headers = {"x-amz-copy-source": "/bucket/source", "x-amz-copy-source-range": "bytes=100-400000"}
        answer = await self.part(upload_id, 1, b"", headers)
        self.assertEqual(values(answer, "ETag"), [f'"{hashlib.md5(data[100:400_001]).hexdigest()}"'])
        await self.complete(upload_id, [(1, values(answer, "ETag")[0])])
        self.assertTrue((await self.s3.call("GET", "/bucket/big")).body == data[100:400_001])

    async def test_copies_that_cannot_be(self) -> None:
        await self.s3.make("bucket", source=b"0123456789")
        upload_id = await self.create()
        for more, code in (
            ({"x-amz-copy-source-range": "bytes=0-10"}, "InvalidRange"),
            ({"x-amz-copy-source-range": "bytes=5-"}, "InvalidArgument"),
            ({"x-amz-copy-source-range": "bytes=5-4"}, "InvalidArgument"),
            ({"x-amz-copy-source-if-match": "x"}, "PreconditionFailed"),
        ):
            answer = await self.part(upload_id, 1, b"", {"x-amz-copy-source": "bucket/source", **more})
            self.assertIn(f"<Code>{code}</Code>", answer.text)
        self.refused(await self.part(upload_id, 1, b"", {"x-amz-copy-source": "bucket/x"}), 404, "NoSuchKey")
        self.assertEqual(self.s3.open_uploads, 0)


class Uploads(MultipartTestCase):
    async def test_listing_and_aborting(self) -> None:
        await self.s3.make("bucket")
        first = await self.create(name="a/1")
        await self.create(name="a/2")
        last = await self.create(name="b")
        answer = await self.s3.call("GET", "/bucket?uploads")
        self.assertEqual(values(answer, "Upload/Key"), ["a/1", "a/2", "b"])
        answer = await self.s3.call("GET", "/bucket?uploads&delimiter=/")
        self.assertEqual(values(answer, "Upload/Key") + values(answer, "CommonPrefixes/Prefix"), ["b", "a/"])
        answer = await self.s3.call("GET", "/bucket?uploads&max-uploads=1")
        self.assertEqual((values(answer, "Upload/UploadId"), values(answer, "IsTruncated")), ([first], ["true"]))
        more = f"&key-marker=a/1&upload-id-marker={first}"
        answer = await self.s3.call("GET", f"/bucket?uploads{more}")
        self.assertEqual(values(answer, "Upload/Key"), ["a/2", "b"])
        self.assertEqual((await self.s3.call("DELETE", f"/bucket/b?uploadId={last}")).status, 204)
        self.refused(await self.s3.call("DELETE", f"/bucket/b?uploadId={last}"), 404, "NoSuchUpload")
        self.refused(await self.s3.call("GET", "/nowhere?uploads"), 404, "NoSuchBucket")

    async def test_a_bucket_must_exist(self) -> None:
        self.refused(await self.s3.call("POST", "/nowhere/k?uploads", body=b""), 404, "NoSuchBucket")
