"""Objects through the whole face: written, read in every way, copied, deleted; and what must leave nothing."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import TestCase

from storage import Listing, NoSuchObject, ObjectFacts, StoreFull
from storage._memory_data import MemoryUpload
from tests.http_client import Answer, ConnectionEnded
from tests.protocols.s3.s3_client import ACCOUNT, S3Client, error_code, values

DATA = b"0123456789" * 3


class FaceTestCase(TestCase):
    def setUp(self) -> None:
        self.s3 = S3Client(max_object_bytes=50_000_000)

    async def names(self, bucket: str = "bucket") -> list[str]:
        return [row.name for row in await self.s3.store.objects(ACCOUNT, bucket, Listing())]

    async def facts(self, name: str) -> ObjectFacts:
        facts: ObjectFacts = await self.s3.store.object(ACCOUNT, "bucket", name)
        return facts

    def refused(self, answer: Answer, status: int, code: str) -> None:
        self.assertEqual((answer.status, error_code(answer)), (status, code), answer.text)


class Writing(FaceTestCase):
    async def test_what_is_put_comes_back(self) -> None:
        await self.s3.make("bucket")
        headers = {
            "Content-Type": "text/plain",
            "x-amz-meta-mtime": "1.5",
            "Cache-Control": "no-cache",
            "Content-MD5": b64encode(hashlib.md5(DATA).digest()).decode(),
        }
        put = await self.s3.call("PUT", "/bucket/a%20b%2B%25//../%C3%BC", headers, DATA)
        self.assertEqual((put.status, put.headers["etag"]), (200, f'"{hashlib.md5(DATA).hexdigest()}"'))
        self.assertEqual(await self.names(), ["a b+%//../ü"])
        got = await self.s3.call("GET", "/bucket/a%20b%2b%25//../%c3%bc")
        self.assertEqual((got.status, got.body), (200, DATA))
        self.assertEqual(got.headers["content-type"], "text/plain")
        self.assertEqual(got.headers["x-amz-meta-mtime"], "1.5")
        self.assertEqual(got.headers["cache-control"], "no-cache")
        self.assertEqual(got.headers["accept-ranges"], "bytes")
        self.assertTrue(got.headers["x-amz-request-id"])
        head = await self.s3.call("HEAD", "/bucket/a%20b%2B%25//../%C3%BC")
        same = ("etag", "content-length", "last-modified", "content-type", "x-amz-meta-mtime")
        self.assertEqual([head.headers[name] for name in same], [got.headers[name] for name in same])

    async def test_every_size_around_the_small_ones(self) -> None:
        await self.s3.make("bucket")
        for size in (0, 1, 65_536, 65_537, 300_000):
            data = bytes(size)
            await self.s3.call("PUT", "/bucket/k", body=data)
            got = await self.s3.call("GET", "/bucket/k")
            self.assertEqual((got.body, got.headers["content-length"]), (data, str(size)))

    async def test_checksums_are_verified_kept_and_given_back(self) -> None:
        await self.s3.make("bucket")
        for name, value in (
            ("crc32", "y/Q5Jg=="),
            ("crc32c", "4waSgw=="),
            ("crc64nvme", "rosUhgp5mIg="),
            ("sha1", "98O8HYCOBHMq32eZZczDTKeuNEE="),
            ("sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
        ):
            header = f"x-amz-checksum-{name}"
            put = await self.s3.call("PUT", f"/bucket/{name}", {header: value}, b"123456789")
            self.assertEqual((put.headers[header], put.headers["x-amz-checksum-type"]), (value, "FULL_OBJECT"))
            asking = {"x-amz-checksum-mode": "ENABLED"}
            for method in ("GET", "HEAD"):
                got = await self.s3.call(method, f"/bucket/{name}", asking)
                self.assertEqual(got.headers[header], value)
                self.assertNotIn(header, (await self.s3.call(method, f"/bucket/{name}")).headers)
            part = await self.s3.call("GET", f"/bucket/{name}", {**asking, "Range": "bytes=0-3"})
            self.assertNotIn(header, part.headers)
            wrong = await self.s3.call("PUT", "/bucket/wrong", {header: value}, b"12345678")
            self.refused(wrong, 400, "BadDigest")
        self.assertNotIn("wrong", await self.names())

    async def test_broken_promises_leave_nothing(self) -> None:
        await self.s3.make("bucket")
        md5 = b64encode(hashlib.md5(b"other").digest()).decode()
        sha256 = hashlib.sha256(b"other").hexdigest()
        self.refused(await self.s3.call("PUT", "/bucket/k", {"Content-MD5": md5}, DATA), 400, "BadDigest")
        self.refused(await self.s3.call("PUT", "/bucket/k", {"Content-MD5": "x"}, DATA), 400, "InvalidDigest")
        self.refused(
            await self.s3.call("PUT", "/bucket/k", body=DATA, payload=sha256), 400, "XAmzContentSHA256Mismatch"
        )
        self.refused(await self.s3.call("PUT", "/bucket/k", body=DATA, payload="nonsense"), 400, "InvalidArgument")
        self.assertEqual(await self.names(), [])
        self.assertEqual(self.s3.open_uploads, 0)

    async def test_a_body_that_stops_early_leaves_nothing(self) -> None:
        await self.s3.make("bucket")
        fields = self.s3.signed("PUT", "/bucket/k", {}, payload="UNSIGNED-PAYLOAD")
        connection = self.s3.http.connect()
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        connection.send(f"PUT /bucket/k HTTP/1.1\r\nHost: s3.cloud\r\nContent-Length: 100\r\n{lines}\r\n".encode())
        connection.send(b"only this")
        connection.leave()
        self.assertEqual(await self.names(), [])
        self.assertEqual(self.s3.open_uploads, 0)

    async def test_a_body_that_stops_early_is_told_so_while_the_client_listens(self) -> None:
        await self.s3.make("bucket")
        fields = self.s3.signed("PUT", "/bucket/k", {}, payload="UNSIGNED-PAYLOAD")
        connection = self.s3.http.connect()
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        connection.send(f"PUT /bucket/k HTTP/1.1\r\nHost: s3.cloud\r\nContent-Length: 100\r\n{lines}\r\n".encode())
        connection.send(b"only this")
        connection.protocol.readConnectionLost()
        self.refused(await connection.answer(), 400, "IncompleteBody")

    async def test_broken_chunks_are_told_as_such(self) -> None:
        await self.s3.make("bucket")
        headers = {"x-amz-decoded-content-length": "5"}
        payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
        fields = self.s3.signed("PUT", "/bucket/k", headers, payload=payload)
        fields["transfer-encoding"] = "chunked"
        answer = await self.s3.http.request("PUT", "/bucket/k", headers=fields, body=b"xyz\r\n", host="s3.cloud")
        self.refused(answer, 400, "InvalidRequest")
        self.assertIn("hexadecimal", answer.text)
        self.assertEqual(self.s3.open_uploads, 0)

    async def test_a_body_that_stands_still_is_told_so(self) -> None:
        await self.s3.make("bucket")
        fields = self.s3.signed("PUT", "/bucket/k", {}, payload="UNSIGNED-PAYLOAD")
        connection = self.s3.http.connect()
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        connection.send(f"PUT /bucket/k HTTP/1.1\r\nHost: s3.cloud\r\nContent-Length: 100\r\n{lines}\r\n".encode())
        connection.send(b"only this")
        self.s3.http.clock.pump([1] * 125)
        self.refused(await connection.answer(), 400, "RequestTimeout")
        self.assertEqual(self.s3.open_uploads, 0)
        self.assertEqual((await self.names(), self.s3.open_uploads), ([], 0))

    async def test_a_full_disk(self) -> None:
        """Before the data, and in the middle of it; what was there stays."""
        await self.s3.make("bucket", k=DATA)

        def no_room(*_: object) -> Deferred[None]:
            return fail(StoreFull("no room"))

        self.patch(self.s3.store, "receive", no_room)
        self.refused(await self.s3.call("PUT", "/bucket/k", body=b"1"), 507, "InsufficientStorage")
        self.s3.store.__dict__.pop("receive", None)
        self.patch(MemoryUpload, "write", no_room)
        self.refused(await self.s3.call("PUT", "/bucket/k", body=b"1"), 507, "InsufficientStorage")
        self.assertEqual((await self.s3.call("GET", "/bucket/k")).body, DATA)
        self.assertEqual(self.s3.open_uploads, 0)

    async def test_an_accident_is_told_as_s3_does_and_logged(self) -> None:
        await self.s3.make("bucket")
        self.patch(self.s3.store, "container", lambda *_: fail(ZeroDivisionError()))
        answer = await self.s3.call("PUT", "/bucket/k", body=b"1")
        self.refused(answer, 500, "InternalError")
        self.assertIn(answer.headers["x-amz-request-id"], answer.text)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_ten_gigabytes_declared_are_refused_before_they_come(self) -> None:
        await self.s3.make("bucket")
        fields = self.s3.signed("PUT", "/bucket/k", {"Expect": "100-continue"}, payload="UNSIGNED-PAYLOAD")
        fields["content-length"] = "10000000000"
        connection = self.s3.http.connect()
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        connection.send(f"PUT /bucket/k HTTP/1.1\r\nHost: s3.cloud\r\n{lines}\r\n0123456789".encode())
        self.refused(await connection.answer(), 400, "EntityTooLarge")
        self.assertEqual(connection.interim, [])

    async def test_continue_is_said_for_an_empty_object_too(self) -> None:
        """botocore takes an answer without it as a refusal and then misreads the connection's next answer."""
        await self.s3.make("bucket")
        connection = self.s3.http.connect()
        for name in ("a", "b"):
            fields = self.s3.signed("PUT", f"/bucket/{name}", {"Expect": "100-continue"}, b"")
            answer = await connection.request("PUT", f"/bucket/{name}", headers=fields, body=b"", host="s3.cloud")
            self.assertEqual(answer.status, 200)
        self.assertEqual(connection.interim, [100, 100])

    async def test_a_length_is_required(self) -> None:
        await self.s3.make("bucket")
        answer = await self.s3.call(
            "PUT", "/bucket/k", {"Transfer-Encoding": "chunked"}, b"1\r\na\r\n0\r\n\r\n", payload="UNSIGNED-PAYLOAD"
        )
        self.refused(answer, 411, "MissingContentLength")

    async def test_conditional_writes(self) -> None:
        await self.s3.make("bucket")
        absent = {"If-None-Match": "*"}
        self.assertEqual((await self.s3.call("PUT", "/bucket/k", absent, b"1")).status, 200)
        self.refused(await self.s3.call("PUT", "/bucket/k", absent, b"2"), 412, "PreconditionFailed")
        etag = (await self.facts("k")).etag
        self.refused(await self.s3.call("PUT", "/bucket/k", {"If-Match": '"x"'}, b"2"), 412, "PreconditionFailed")
        self.assertEqual((await self.s3.call("PUT", "/bucket/k", {"If-Match": f'"{etag}"'}, b"3")).status, 200)
        self.refused(await self.s3.call("PUT", "/bucket/new", {"If-Match": f'"{etag}"'}, b"3"), 404, "NoSuchKey")
        self.refused(await self.s3.call("PUT", "/bucket/k", {"If-None-Match": '"x"'}, b"3"), 501, "NotImplemented")
        self.assertEqual((await self.s3.call("GET", "/bucket/k")).body, b"3")

    async def test_names_and_buckets_that_are_not_there(self) -> None:
        await self.s3.make("bucket")
        self.refused(await self.s3.call("PUT", "/nowhere/k", body=b"1"), 404, "NoSuchBucket")
        self.refused(await self.s3.call("GET", "/nowhere/k"), 404, "NoSuchBucket")
        self.refused(await self.s3.call("GET", "/bucket/k"), 404, "NoSuchKey")
        missing = await self.s3.call("HEAD", "/bucket/k")
        self.assertEqual((missing.status, missing.body), (404, b""))
        self.refused(await self.s3.call("PUT", "/bucket/" + "k" * 1025, body=b"1"), 400, "KeyTooLongError")
        self.refused(await self.s3.call("PUT", "/bucket/%00", body=b"1"), 400, "InvalidURI")
        self.refused(await self.s3.call("PUT", "/bucket/%ff", body=b"1"), 400, "InvalidURI")

    async def test_one_object_through_both_faces(self) -> None:
        """What the Swift face keeps under ``meta:`` and ``header:`` is what S3 shows, and the other way round."""
        await self.s3.make("bucket")
        await self.s3.call("PUT", "/bucket/k", {"x-amz-meta-Color": "blue", "Content-Encoding": "gzip"}, DATA)
        facts = await self.facts("k")
        self.assertEqual(dict(facts.metadata), {"meta:color": "blue", "header:content-encoding": "gzip"})
        self.assertEqual(facts.content_type, "binary/octet-stream")


class Streaming(FaceTestCase):
    """Bodies in ``aws-chunked`` coding."""

    def chunks(self, headers: dict[str, str], *pieces: bytes) -> bytes:
        """Chunks signed one after the other, from the request's signature on."""
        previous = headers["authorization"].rpartition("=")[2]
        date = headers["x-amz-date"]
        key = self.s3.signing_key("member-key", date[:8])
        body = b""
        for piece in (*pieces, b""):
            text = "\n".join(
                (
                    "AWS4-HMAC-SHA256-PAYLOAD",
                    date,
                    f"{date[:8]}/here/s3/aws4_request",
                    previous,
                    hashlib.sha256(b"").hexdigest(),
                    hashlib.sha256(piece).hexdigest(),
                )
            )
            previous = hmac.new(key, text.encode(), "sha256").hexdigest()
            body += b"%x;chunk-signature=%s\r\n%s\r\n" % (len(piece), previous.encode(), piece)
        return body

    def fields(self, kind: str, size: int, **more: str) -> dict[str, str]:
        headers = {"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": str(size)}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        return self.s3.signed("PUT", "/bucket/k", headers, payload=kind)

    async def put(self, fields: dict[str, str], body: bytes) -> Answer:
        return await self.s3.http.request("PUT", "/bucket/k", headers=fields, body=body, host="s3.cloud")

    async def test_signed_chunks(self) -> None:
        await self.s3.make("bucket")
        fields = self.fields("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", 30)
        answer = await self.put(fields, self.chunks(fields, DATA[:10], DATA[10:]))
        self.assertEqual(answer.status, 200)
        got = await self.s3.call("GET", "/bucket/k")
        self.assertEqual(got.body, DATA)
        self.assertNotIn("content-encoding", got.headers)

    async def test_a_changed_chunk_leaves_nothing(self) -> None:
        await self.s3.make("bucket")
        fields = self.fields("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", 30)
        body = self.chunks(fields, DATA[:10], DATA[10:]).replace(b"0123456789\r\n", b"0123456780\r\n", 1)
        self.refused(await self.put(fields, body), 403, "SignatureDoesNotMatch")
        self.assertEqual((await self.names(), self.s3.open_uploads), ([], 0))

    async def test_lengths_must_agree(self) -> None:
        await self.s3.make("bucket")
        for size in (29, 31):
            fields = self.fields("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", size)
            answer = await self.put(fields, self.chunks(fields, DATA))
            self.assertEqual(answer.status, 400, answer.text)
        fields = self.s3.signed("PUT", "/bucket/k", {}, payload="STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
        self.refused(await self.put(fields, b"0\r\n\r\n"), 411, "MissingContentLength")
        self.assertEqual((await self.names(), self.s3.open_uploads), ([], 0))

    async def test_unsigned_chunks_with_a_trailer(self) -> None:
        await self.s3.make("bucket")
        fields = self.fields("STREAMING-UNSIGNED-PAYLOAD-TRAILER", 9, x_amz_trailer="x-amz-checksum-crc32")
        body = b"9\r\n123456789\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n"
        answer = await self.put(fields, body % b"y/Q5Jg==")
        self.assertEqual((answer.status, answer.headers["x-amz-checksum-crc32"]), (200, "y/Q5Jg=="))
        self.refused(await self.put(fields, body % b"AAAAAA=="), 400, "BadDigest")
        self.refused(await self.put(fields, b"9\r\n123456789\r\n0\r\n\r\n"), 400, "MalformedTrailerError")
        self.assertEqual(self.s3.open_uploads, 0)
        got = await self.s3.call("GET", "/bucket/k", {"x-amz-checksum-mode": "ENABLED"})
        self.assertEqual((got.body, got.headers["x-amz-checksum-crc32"]), (b"123456789", "y/Q5Jg=="))

    async def test_over_http_chunks_as_well(self) -> None:
        await self.s3.make("bucket")
        fields = self.fields("STREAMING-UNSIGNED-PAYLOAD-TRAILER", 9, x_amz_trailer="x-amz-checksum-crc32")
        fields["transfer-encoding"] = "chunked"
        body = b"9\r\n123456789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n"
        answer = await self.put(fields, b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        self.assertEqual(answer.status, 200, answer.text)


class Reading(FaceTestCase):
    async def test_ranges(self) -> None:
        await self.s3.make("bucket", k=DATA, empty=b"")
        for value, data, content_range in (
            ("bytes=0-9", DATA[:10], "bytes 0-9/30"),
            ("bytes=25-", DATA[25:], "bytes 25-29/30"),
            ("bytes=-3", DATA[-3:], "bytes 27-29/30"),
            ("bytes=20-100", DATA[20:], "bytes 20-29/30"),
        ):
            got = await self.s3.call("GET", "/bucket/k", {"Range": value})
            self.assertEqual((got.status, got.body, got.headers["content-range"]), (206, data, content_range))
        for value in ("bytes=0-1,5-6", "bytes=x", "lines=1-2"):
            got = await self.s3.call("GET", "/bucket/k", {"Range": value})
            self.assertEqual((got.status, got.body), (200, DATA))
        for name, value, total in (("k", "bytes=30-", 30), ("empty", "bytes=0-", 0)):
            answer = await self.s3.call("GET", f"/bucket/{name}", {"Range": value})
            self.refused(answer, 416, "InvalidRange")
            self.assertEqual(answer.headers["content-range"], f"bytes */{total}")
        head = await self.s3.call("HEAD", "/bucket/k", {"Range": "bytes=0-9"})
        self.assertEqual((head.status, head.headers["content-length"]), (206, "10"))

    async def test_large_ranges_come_from_the_file(self) -> None:
        data = bytes(range(256)) * 1000
        await self.s3.make("bucket", k=data)
        got = await self.s3.call("GET", "/bucket/k", {"Range": "bytes=1000-200000"})
        self.assertEqual(got.body, data[1000:200_001])

    async def test_conditions(self) -> None:
        await self.s3.make("bucket", k=DATA)
        etag = f'"{(await self.facts("k")).etag}"'
        for headers, status in (
            ({"If-Match": etag}, 200),
            ({"If-Match": '"x"'}, 412),
            ({"If-None-Match": etag}, 304),
            ({"If-None-Match": '"x"'}, 200),
            ({"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}, 304),
            ({"If-Unmodified-Since": "Fri, 01 Jan 1999 00:00:00 GMT"}, 412),
            ({"If-Match": etag, "If-Unmodified-Since": "Fri, 01 Jan 1999 00:00:00 GMT"}, 200),
        ):
            for method in ("GET", "HEAD"):
                answer = await self.s3.call(method, "/bucket/k", headers)
                self.assertEqual(answer.status, status, headers)
        unchanged = await self.s3.call("GET", "/bucket/k", {"If-None-Match": etag})
        self.assertEqual((unchanged.body, unchanged.headers["etag"]), (b"", etag))

    async def test_overrides(self) -> None:
        await self.s3.make("bucket", k=DATA)
        got = await self.s3.call(
            "GET",
            "/bucket/k?response-content-type=text%2Fcsv&response-content-disposition=attachment%3B%20filename%3Da",
        )
        self.assertEqual(got.headers["content-type"], "text/csv")
        self.assertEqual(got.headers["content-disposition"], "attachment; filename=a")
        answer = await self.s3.call("GET", "/bucket/k?response-expires=a%0d%0aSet-Cookie:x")
        self.refused(answer, 400, "InvalidArgument")

    async def test_versions(self) -> None:
        await self.s3.make("bucket", k=DATA)
        self.assertEqual((await self.s3.call("GET", "/bucket/k?versionId=null")).status, 200)
        self.refused(await self.s3.call("GET", "/bucket/k?versionId=3"), 404, "NoSuchVersion")

    async def test_attributes(self) -> None:
        await self.s3.make("bucket", k=DATA)
        got = await self.s3.call("GET", "/bucket/k?attributes", {"x-amz-object-attributes": "ETag,ObjectSize"})
        self.assertEqual(values(got, "ETag") + values(got, "ObjectSize"), [hashlib.md5(DATA).hexdigest(), "30"])

    async def test_descriptors_are_closed_when_the_answer_breaks(self) -> None:
        """Before its head an error is told; after it the connection is dropped, so that nobody takes it for whole."""
        await self.s3.make("bucket", k=bytes(200_000))
        closed: list[bool] = []
        opened = self.s3.store.open
        for headers in ({"Range": "bytes=200000-"}, {}):
            reading = await opened(ACCOUNT, "bucket", "k")
            close = reading.close
            self.patch(reading, "close", _noticed(close, closed))
            self.patch(reading, "region", lambda *_: fail(OSError("the disk is gone")))
            self.patch(self.s3.store, "open", lambda *_, reading=reading: succeed(reading))
            if headers:
                self.refused(await self.s3.call("GET", "/bucket/k", headers), 416, "InvalidRange")
            else:
                with self.assertRaises(ConnectionEnded):
                    await self.s3.call("GET", "/bucket/k", headers)
        self.assertEqual(closed, [True, True])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)


def _noticed(close: Callable[[], None], closed: list[bool]) -> Callable[[], None]:
    def noticed() -> None:
        closed.append(True)
        close()

    return noticed


class Copying(FaceTestCase):
    async def test_with_the_source_metadata(self) -> None:
        await self.s3.make("bucket")
        await self.s3.call("PUT", "/bucket/a%20b", {"x-amz-meta-a": "1", "Content-Type": "text/x"}, DATA)
        answer = await self.s3.call("PUT", "/bucket/c", {"x-amz-copy-source": "/bucket/a%20b"})
        self.assertEqual((answer.status, values(answer, "ETag")), (200, [f'"{hashlib.md5(DATA).hexdigest()}"']))
        facts = await self.facts("c")
        self.assertEqual((facts.content_type, facts.metadata["meta:a"]), ("text/x", "1"))
        self.assertEqual((await self.s3.call("GET", "/bucket/c")).body, DATA)

    async def test_with_new_metadata(self) -> None:
        await self.s3.make("bucket")
        await self.s3.call("PUT", "/bucket/k", {"x-amz-meta-a": "1", "x-amz-checksum-crc32": "y/Q5Jg=="}, b"123456789")
        headers = {"x-amz-copy-source": "bucket/k", "x-amz-metadata-directive": "REPLACE", "x-amz-meta-b": "2"}
        answer = await self.s3.call("PUT", "/bucket/k", headers)
        self.assertEqual((answer.status, values(answer, "ChecksumCRC32")), (200, ["y/Q5Jg=="]))
        metadata = (await self.facts("k")).metadata
        self.assertEqual((metadata.get("meta:a"), metadata["meta:b"]), (None, "2"))

    async def test_to_itself_without_a_change(self) -> None:
        await self.s3.make("bucket", k=DATA)
        self.refused(await self.s3.call("PUT", "/bucket/k", {"x-amz-copy-source": "bucket/k"}), 400, "InvalidRequest")

    async def test_conditions_on_the_source(self) -> None:
        await self.s3.make("bucket", k=DATA)
        etag = (await self.facts("k")).etag
        for name, value, status in (
            ("if-match", etag, 200),
            ("if-match", "x", 412),
            ("if-none-match", etag, 412),
            ("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT", 412),
            ("if-unmodified-since", "Fri, 01 Jan 1999 00:00:00 GMT", 412),
        ):
            headers = {"x-amz-copy-source": "bucket/k", f"x-amz-copy-source-{name}": value}
            self.assertEqual((await self.s3.call("PUT", "/bucket/c", headers)).status, status, name)

    async def test_a_checksum_that_the_source_lacks(self) -> None:
        await self.s3.make("bucket", k=b"123456789")
        headers = {"x-amz-copy-source": "bucket/k", "x-amz-checksum-algorithm": "CRC32C"}
        self.assertEqual(values(await self.s3.call("PUT", "/bucket/c", headers), "ChecksumCRC32C"), ["4waSgw=="])

    async def test_sources_that_are_not_there(self) -> None:
        await self.s3.make("bucket", k=DATA)
        for source, status, code in (
            ("bucket/x", 404, "NoSuchKey"),
            ("nowhere/x", 404, "NoSuchBucket"),
            ("bucket", 400, "InvalidArgument"),
        ):
            answer = await self.s3.call("PUT", "/bucket/c", {"x-amz-copy-source": source})
            self.refused(answer, status, code)
        self.refused(await self.s3.call("PUT", "/nowhere/c", {"x-amz-copy-source": "bucket/k"}), 404, "NoSuchBucket")


class Deleting(FaceTestCase):
    async def test_one(self) -> None:
        await self.s3.make("bucket", k=DATA)
        self.assertEqual((await self.s3.call("DELETE", "/bucket/k")).status, 204)
        self.assertEqual((await self.s3.call("DELETE", "/bucket/k")).status, 204)
        self.refused(await self.s3.call("DELETE", "/nowhere/k"), 404, "NoSuchBucket")
        with self.assertRaises(NoSuchObject):
            await self.facts("k")

    async def delete(self, document: bytes, headers: dict[str, str] | None = None) -> Answer:
        if headers is None:
            headers = {"Content-MD5": b64encode(hashlib.md5(document).digest()).decode()}
        return await self.s3.call("POST", "/bucket?delete", headers, document)

    async def test_many(self) -> None:
        await self.s3.make("bucket", a=DATA, b=DATA, c=DATA)
        document = b"<Delete><Object><Key>a</Key></Object><Object><Key>b</Key></Object><Object><Key>x</Key></Object>"
        answer = await self.delete(document + b"</Delete>")
        self.assertEqual((values(answer, "Deleted/Key"), await self.names()), (["a", "b", "x"], ["c"]))
        quiet = await self.delete(b"<Delete><Quiet>true</Quiet><Object><Key>c</Key></Object></Delete>")
        self.assertEqual((values(quiet, "Deleted/Key"), await self.names()), ([], []))

    async def test_many_needs_a_digest(self) -> None:
        await self.s3.make("bucket", a=DATA)
        document = b"<Delete><Object><Key>a</Key></Object></Delete>"
        self.refused(await self.delete(document, {}), 400, "InvalidRequest")
        self.refused(await self.delete(document, {"x-amz-checksum-crc32": "AAAAAA=="}), 400, "BadDigest")
        self.assertEqual(await self.names(), ["a"])

    async def test_documents_that_are_none(self) -> None:
        await self.s3.make("bucket")
        many = b"<Object><Key>a</Key></Object>" * 1001
        for document in (b"", b"<Delete>", b"<Delete/>", b"<Delete>%s</Delete>" % many, b"<!DOCTYPE a><Delete/>"):
            self.refused(await self.delete(document), 400, "MalformedXML")

    async def test_what_cannot_be_deleted_is_told_apart(self) -> None:
        await self.s3.make("bucket", a=DATA)
        key = b"k" * 1025
        answer = await self.delete(
            b"<Delete><Object><Key>a</Key><VersionId>3</VersionId></Object><Object><Key>%s</Key></Object></Delete>"
            % key
        )
        self.assertEqual(values(answer, "Error/Code"), ["NoSuchVersion", "KeyTooLongError"])
        self.assertEqual(await self.names(), ["a"])
