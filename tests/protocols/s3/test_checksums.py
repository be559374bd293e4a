"""What requests promise about their bytes, and checksums of objects made of parts."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.s3._checksums import (
    ALGORITHMS,
    Promise,
    composite,
    digest_of,
    encoded,
    found,
    full_object,
    promise,
    stored,
)
from cloudd.protocols.s3._errors import S3Error

CRC32 = ALGORITHMS["crc32"]


def digest(name: str, data: bytes) -> bytes:
    hasher = ALGORITHMS[name].hasher()
    hasher.update(data)
    return hasher.digest()


class Promises(SynchronousTestCase):
    def refused(self, headers: dict[str, str]) -> None:
        error: S3Error = self.assertRaises(S3Error, promise, headers)
        self.assertEqual(error.code, "InvalidRequest")

    def test_a_value_in_a_header(self) -> None:
        given = promise({"x-amz-checksum-crc32": "y/Q5Jg==", "x-amz-sdk-checksum-algorithm": "CRC32"})
        self.assertEqual(given, Promise(CRC32, bytes.fromhex("cbf43926")))

    def test_a_value_to_come_in_a_trailer(self) -> None:
        self.assertEqual(promise({"x-amz-trailer": "x-amz-checksum-crc32"}), Promise(CRC32, None))

    def test_headers_about_checksums_promise_nothing(self) -> None:
        headers = {
            "x-amz-checksum-mode": "ENABLED",
            "x-amz-checksum-type": "COMPOSITE",
            "x-amz-checksum-algorithm": "x",
        }
        self.assertIsNone(promise(headers))

    def test_refused_promises(self) -> None:
        self.refused({"x-amz-checksum-crc32": "y/Q5Jg==", "x-amz-checksum-sha1": "AAAA"})
        self.refused({"x-amz-checksum-crc32": "y/Q5Jg==", "x-amz-trailer": "x-amz-checksum-sha1"})
        self.refused({"x-amz-checksum-crc32": "not base64"})
        self.refused({"x-amz-checksum-crc32": "AAAA"})
        self.refused({"x-amz-checksum-md4": "AAAA"})
        self.refused({"x-amz-trailer": "x-other"})
        self.refused({"x-amz-sdk-checksum-algorithm": "CRC32"})
        self.refused({"x-amz-sdk-checksum-algorithm": "MD4"})
        self.refused({"x-amz-checksum-crc32": "y/Q5Jg==", "x-amz-sdk-checksum-algorithm": "SHA1"})


class Stored(SynchronousTestCase):
    def test_check_strings_of_all_algorithms(self) -> None:
        values = {name: encoded(digest(name, b"123456789")) for name in ALGORITHMS}
        self.assertEqual(
            values,
            {
                "crc32": "y/Q5Jg==",
                "crc32c": "4waSgw==",
                "crc64nvme": "rosUhgp5mIg=",
                "sha1": "98O8HYCOBHMq32eZZczDTKeuNEE=",
                "sha256": "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
            },
        )

    def test_a_value_comes_back_from_metadata(self) -> None:
        kept = {"meta:a": "1", **stored(CRC32, "y/Q5Jg==")}
        self.assertEqual(found(kept), [(CRC32, "y/Q5Jg==")])
        self.assertEqual(digest_of("y/Q5Jg==", CRC32), bytes.fromhex("cbf43926"))

    def test_full_object_of_parts_is_that_of_the_bytes(self) -> None:
        parts = [b"a" * 1000, b"", b"b", b"c" * 70_000]
        for name in ("crc32", "crc32c", "crc64nvme"):
            whole = full_object(ALGORITHMS[name], [(digest(name, part), len(part)) for part in parts])
            self.assertEqual(whole, encoded(digest(name, b"".join(parts))), name)

    def test_digests_that_are_no_crc_cannot_be_combined(self) -> None:
        error: S3Error = self.assertRaises(S3Error, full_object, ALGORITHMS["sha256"], [])
        self.assertEqual(error.code, "InvalidRequest")

    def test_composite_says_how_many_parts(self) -> None:
        digests = [digest("sha256", b"a"), digest("sha256", b"b")]
        self.assertEqual(composite(ALGORITHMS["sha256"], digests), encoded(digest("sha256", b"".join(digests))) + "-2")
