"""The pure parts around a call: addresses, operations, metadata, listings' tokens, completion."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cloudd.objects import InvalidName
from cloudd.protocols.s3._buckets import check_new_name
from cloudd.protocols.s3._call import Address, iso_date, locate, refuse_unsupported
from cloudd.protocols.s3._completion import NamedPart, check_parts, multipart_etag, read_parts
from cloudd.protocols.s3._copying import read_source
from cloudd.protocols.s3._errors import S3Error
from cloudd.protocols.s3._listing import _decode, _encode, percent_encoded
from cloudd.protocols.s3._metadata import decode_part_sizes, describe, encode_part_sizes, object_headers, wire
from cloudd.protocols.s3._operations import choose
from cloudd.protocols.s3._xml import parse
from storage import ObjectFacts, PartFacts


class Addresses(SynchronousTestCase):
    def test_path_style(self) -> None:
        for path, bucket, key in (
            (b"/", "", ""),
            (b"/b", "b", ""),
            (b"/b/", "b", ""),
            (b"/b/k", "b", "k"),
            (b"/b//k", "b", "/k"),
            (b"/b/a/../%2e%2e/./c/", "b", "a/../.././c/"),
            (b"/b/%25%2B+%20%C3%BC", "b", "%++ ü"),
            (b"/b/%252e", "b", "%2e"),
        ):
            self.assertEqual(locate(path, b"localhost:9000", "s3.example.com"), Address(bucket, key), path)

    def test_virtual_host_style(self) -> None:
        for host in (b"b.s3.example.com", b"B.S3.example.com:9000"):
            self.assertEqual(locate(b"/a/k", host, "s3.example.com"), Address("b", "a/k"))
        self.assertEqual(locate(b"/", b"a.b.s3.example.com", "s3.example.com"), Address("a.b", ""))
        self.assertEqual(locate(b"/b/k", b"s3.example.com", "s3.example.com"), Address("b", "k"))
        self.assertEqual(locate(b"/b/k", b"b.s3.example.com", ""), Address("b", "k"))

    def test_names_that_are_none(self) -> None:
        for path in (b"/b/%00", b"/b/%ff", b"/%ff/k", b"/b/" + b"k" * 1025, b"/" + b"b" * 257):
            self.assertRaises(InvalidName, locate, path, None, "")

    def test_an_encoded_slash_is_part_of_a_key_but_not_of_a_bucket(self) -> None:
        self.assertEqual(locate(b"/b/a%2Fb", None, ""), Address("b", "a/b"))
        self.assertRaises(InvalidName, locate, b"/b%2Fa", None, "")

    def test_new_buckets(self) -> None:
        for name in ("abc", "a.b-c", "1a2", "a" * 63):
            check_new_name(name)
        for name in ("ab", "Abc", "a_b", "-abc", "abc-", "a..b", "a.-b", "1.2.3.4", "a" * 64, "xn--a", "a b"):
            self.assertRaises(S3Error, check_new_name, name)


class Sources(SynchronousTestCase):
    def test_forms(self) -> None:
        for header, address in (
            ("b/k", Address("b", "k")),
            ("/b/k", Address("b", "k")),
            ("b/a%20b%2B+%25", Address("b", "a b++%")),
            ("%2Fb%2Fa%20b", Address("b", "a b")),
            ("b/k?versionId=null", Address("b", "k")),
            ("b//k/", Address("b", "/k/")),
            ("b/ü", Address("b", "ü")),
        ):
            self.assertEqual(read_source(header), address, header)

    def test_refused(self) -> None:
        for header, code in (("", "InvalidArgument"), ("b", "InvalidArgument"), ("b/k?versionId=3", "NoSuchVersion")):
            error: S3Error = self.assertRaises(S3Error, read_source, header)
            self.assertEqual(error.code, code)


class Operations(SynchronousTestCase):
    def chosen(self, level: str, method: str, *names: str, copies: bool = False) -> str:
        return choose(level, method, dict.fromkeys(names, ""), copies=copies).name

    def test_by_sub_resource(self) -> None:
        self.assertEqual(self.chosen("bucket", "GET"), "ListObjects")
        self.assertEqual(self.chosen("bucket", "GET", "list-type", "delimiter"), "ListObjectsV2")
        self.assertEqual(self.chosen("bucket", "GET", "policy"), "GetBucketConfiguration")
        self.assertEqual(self.chosen("object", "PUT", "x-id"), "PutObject")
        self.assertEqual(self.chosen("object", "PUT", copies=True), "CopyObject")
        self.assertEqual(self.chosen("object", "PUT", "partNumber", "uploadId"), "UploadPart")
        self.assertEqual(self.chosen("object", "PUT", "partNumber", "uploadId", copies=True), "UploadPartCopy")
        self.assertEqual(self.chosen("object", "GET", "partNumber"), "GetObject")
        self.assertEqual(self.chosen("bucket", "HEAD", "versioning"), "HeadBucket")

    def test_what_is_not_served_says_so(self) -> None:
        for level, method, name in (
            ("bucket", "PUT", "policy"),
            ("bucket", "PUT", "versioning"),
            ("object", "PUT", "tagging"),
            ("object", "POST", "select"),
            ("object", "GET", "torrent"),
            ("bucket", "GET", "session"),
        ):
            self.assertEqual(self.chosen(level, method, name), "NotImplemented")

    def test_methods_that_mean_nothing(self) -> None:
        for level, method in (("service", "PUT"), ("object", "PATCH"), ("object", "POST"), ("service", "HEAD")):
            error: S3Error = self.assertRaises(S3Error, self.chosen, level, method)
            self.assertEqual(error.status, 405)
        self.assertEqual(self.assertRaises(S3Error, self.chosen, "object", "PUT", "partNumber").code, "InvalidArgument")


class Metadata(SynchronousTestCase):
    def test_headers_and_back(self) -> None:
        headers = {
            "content-type": "text/plain",
            "content-encoding": "gzip, aws-chunked",
            "cache-control": "no-cache",
            "x-amz-meta-mtime": "1.5",
            "x-amz-meta-name": "ü",
            "x-amz-acl": "private",
        }
        kept = describe(headers)
        self.assertEqual(kept.content_type, "text/plain")
        self.assertEqual(
            kept.metadata,
            {
                "meta:mtime": "1.5",
                "meta:name": "ü",
                "header:content-encoding": "gzip",
                "header:cache-control": "no-cache",
            },
        )
        facts = ObjectFacts(
            name="k", size=1, etag="e", content_type="text/plain", modified_us=0, metadata=kept.metadata
        )
        answered = dict(object_headers(facts, {"response-content-type": "a/b"}, with_checksum=True))
        self.assertEqual(answered[b"content-type"], b"a/b")
        self.assertEqual(answered[b"x-amz-meta-name"], "ü".encode())
        self.assertEqual(answered[b"content-encoding"], b"gzip")
        self.assertEqual(answered[b"etag"], b'"e"')
        self.assertNotIn(b"x-amz-checksum-type", answered)

    def test_only_aws_chunked_is_no_content_encoding(self) -> None:
        self.assertEqual(describe({"content-encoding": "aws-chunked"}).metadata, {})

    def test_limits(self) -> None:
        describe({"x-amz-meta-a": "b" * 2047})
        error: S3Error = self.assertRaises(S3Error, describe, {"x-amz-meta-a": "b" * 2048})
        self.assertEqual(error.code, "MetadataTooLarge")

    def test_nothing_breaks_out_of_a_header(self) -> None:
        self.assertNotIn(b"\r", wire("a\r\nSet-Cookie: x"))
        facts = ObjectFacts(name="k", size=1, etag="e", content_type="t", modified_us=0, metadata={})
        query = {"response-content-disposition": "a\r\nSet-Cookie: x"}
        self.assertRaises(S3Error, object_headers, facts, query, with_checksum=False)

    def test_unsupported_headers(self) -> None:
        for name, value, code in (
            ("x-amz-server-side-encryption", "AES256", "NotImplemented"),
            ("x-amz-server-side-encryption-customer-key", "k", "NotImplemented"),
            ("x-amz-tagging", "a=b", "NotImplemented"),
            ("x-amz-object-lock-mode", "GOVERNANCE", "NotImplemented"),
            ("x-amz-acl", "public-read", "NotImplemented"),
            ("x-amz-grant-read", "id=x", "NotImplemented"),
            ("x-amz-storage-class", "GLACIER", "InvalidStorageClass"),
        ):
            error: S3Error = self.assertRaises(S3Error, refuse_unsupported, {name: value})
            self.assertEqual(error.code, code, name)
        refuse_unsupported({"x-amz-acl": "private", "x-amz-storage-class": "STANDARD", "x-amz-meta-tagging": "a"})

    def test_part_sizes(self) -> None:
        for sizes in ([], [1], [8, 8, 8, 3], [1, 2, 1], [5] * 10_000):
            self.assertEqual(decode_part_sizes(encode_part_sizes(sizes)), sizes)
        self.assertEqual(encode_part_sizes([8, 8, 8, 3]), "8x3,3")


class Listings(SynchronousTestCase):
    def test_tokens(self) -> None:
        for name in ("a", "ü/ \N{GRINNING FACE}", "a" * 1024):
            self.assertEqual(_decode(_encode(name)), name)
        for token in ("*", "ü", "a", "_w=="):
            self.assertRaises(S3Error, _decode, token)

    def test_names_by_url_never_hold_a_plus(self) -> None:
        self.assertEqual(percent_encoded("a b+c/ü&%"), "a%20b%2Bc/%C3%BC%26%25")

    def test_dates(self) -> None:
        self.assertEqual(iso_date(1_255_369_830_123_456), "2009-10-12T17:50:30.123Z")


def part(number: int, size: int, etag: str = "00" * 16, **metadata: str) -> PartFacts:
    return PartFacts(number=number, size=size, etag=etag, modified_us=0, metadata=metadata)


class Completion(SynchronousTestCase):
    def read(self, inside: bytes) -> list[NamedPart]:
        root = parse(b"<CompleteMultipartUpload>%s</CompleteMultipartUpload>" % inside, "CompleteMultipartUpload")
        return read_parts(root)

    def refused(self, code: str, inside: bytes) -> None:
        error: S3Error = self.assertRaises(S3Error, self.read, inside)
        self.assertEqual(error.code, code)

    def test_documents(self) -> None:
        one = b'<Part><ETag>"AB"</ETag><PartNumber>1</PartNumber><ChecksumCRC32>x</ChecksumCRC32></Part>'
        two = b"<Part><PartNumber>3</PartNumber><ETag>cd</ETag></Part>"
        self.assertEqual(self.read(one + two), [NamedPart(1, "ab", {"crc32": "x"}), NamedPart(3, "cd", {})])
        self.refused("InvalidPartOrder", two + one)
        self.refused("InvalidPartOrder", one + one)
        self.refused("MalformedXML", b"")
        self.refused("MalformedXML", b"<Part><PartNumber>1</PartNumber></Part>")
        self.refused("MalformedXML", b"<Part><PartNumber>-1</PartNumber><ETag>a</ETag></Part>")

    def test_parts_must_be_kept_alike_and_large_enough(self) -> None:
        etag = "00" * 16
        kept = {1: part(1, 5_242_880, **{"checksum:crc32": "x"}), 2: part(2, 1), 3: part(3, 1)}
        check_parts([NamedPart(1, etag, {"crc32": "x"}), NamedPart(2, etag, {})], kept)
        for named, code in (
            ([NamedPart(4, etag, {})], "InvalidPart"),
            ([NamedPart(1, "11" * 16, {})], "InvalidPart"),
            ([NamedPart(1, etag, {"crc32": "y"})], "InvalidPart"),
            ([NamedPart(2, etag, {}), NamedPart(3, etag, {})], "EntityTooSmall"),
        ):
            error: S3Error = self.assertRaises(S3Error, check_parts, named, kept)
            self.assertEqual(error.code, code)

    def test_entity_tag(self) -> None:
        self.assertEqual(multipart_etag([part(1, 1), part(2, 1)]), "70bc8f4b72a86921468bf8e8441dce51-2")
