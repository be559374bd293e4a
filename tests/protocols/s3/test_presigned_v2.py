"""
Presigned URLs of version 2, against the example that Amazon publishes and through the face.

Example: "Signing and authenticating REST requests", Amazon S3 user guide, "Query string request authentication".
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from urllib.parse import quote

from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.s3._canonical import query_pairs
from cloudd.protocols.s3._errors import S3Error
from cloudd.protocols.s3._presigned_v2 import read_presigned_v2, text_to_sign, verify_presigned_v2
from tests.protocols.s3.s3_client import NOW, SECRETS, S3Client
from tests.protocols.s3.test_objects import FaceTestCase

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
EXAMPLE = b"AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620"


class PublishedExample(SynchronousTestCase):
    def verify(self, query: bytes, path: bytes = b"/photos/puppy.jpg", now: float = 1_175_139_620.0) -> None:
        pairs = query_pairs(query)
        claim = read_presigned_v2(pairs)
        assert claim is not None
        verify_presigned_v2(claim, SECRET, b"GET", path, dict(pairs), [], bucket="johnsmith", now=now)

    def refused(self, code: str, query: bytes, **facts: float) -> None:
        error: S3Error = self.assertRaises(S3Error, self.verify, query, **facts)
        self.assertEqual(error.code, code)

    def test_until_it_expires(self) -> None:
        self.verify(EXAMPLE)
        self.refused("AccessDenied", EXAMPLE, now=1_175_139_621.0)

    def test_every_change_breaks_it(self) -> None:
        self.refused("SignatureDoesNotMatch", EXAMPLE + b"&acl")
        self.refused("SignatureDoesNotMatch", EXAMPLE + b"&response-content-type=a")
        self.refused("SignatureDoesNotMatch", EXAMPLE + b"&x-amz-acl=public-read")
        self.refused("SignatureDoesNotMatch", EXAMPLE.replace(b"9620", b"9621"))

    def test_what_is_missing(self) -> None:
        self.refused("AccessDenied", b"AWSAccessKeyId=a&Signature=b")
        self.refused("AccessDenied", b"AWSAccessKeyId=a&Expires=1")
        self.refused("AccessDenied", b"AWSAccessKeyId=a&Signature=b&Expires=soon")
        self.assertIsNone(read_presigned_v2([(b"Signature", b"b")]))

    def test_nothing_twice(self) -> None:
        """One value is signed; another one of the same name could be what is read."""
        self.refused("InvalidArgument", b"versionId=1&" + EXAMPLE + b"&versionId=2")
        self.refused("InvalidArgument", EXAMPLE + b"&Expires=1175139620")
        self.refused("InvalidArgument", EXAMPLE + b"&x-amz-acl=private&X-Amz-Acl=private")

    def test_all_that_is_signed(self) -> None:
        pairs = query_pairs(
            b"AWSAccessKeyId=a&Expires=7&Signature=s&uploads&x-amz-meta-b=2&versionId=null&x-amz-acl=public"
        )
        claim, query = read_presigned_v2(pairs), dict(pairs)
        assert claim is not None
        headers = [(b"content-type", b"text/x"), (b"x-amz-acl", b" private "), (b"range", b"bytes=0-1")]
        self.assertEqual(
            text_to_sign(claim, b"PUT", b"/b/a%20b", query, headers, "").decode().split("\n"),
            ["PUT", "", "text/x", "7", "x-amz-acl:public,private", "x-amz-meta-b:2", "/b/a%20b?uploads&versionId=null"],
        )


class ThroughTheFace(FaceTestCase):
    def presigned(self, method: str, path: str, key: str = "member-key") -> str:
        expires = int(NOW) + 60
        text = f"{method}\n\n\n{expires}\n{path}"
        signature = b64encode(hmac.digest(SECRETS[key].encode(), text.encode(), "sha1")).decode()
        return f"{path}?AWSAccessKeyId={key}&Signature={quote(signature, safe='')}&Expires={expires}"

    async def test_get_and_put(self) -> None:
        self.s3 = S3Client()
        await self.s3.make("bucket", k=b"1")
        answer = await self.s3.http.request("PUT", self.presigned("PUT", "/bucket/a%20b"), body=b"new")
        self.assertEqual(answer.status, 200, answer.text)
        answer = await self.s3.http.request("GET", self.presigned("GET", "/bucket/a%20b"))
        self.assertEqual(answer.body, b"new")
        target = self.presigned("GET", "/bucket/k")
        self.refused(await self.s3.http.request("DELETE", target), 403, "SignatureDoesNotMatch")
        self.refused(await self.s3.http.request("GET", target.replace("/k", "/l")), 403, "SignatureDoesNotMatch")
        put = self.presigned("PUT", "/bucket/k", "reader-key")
        self.refused(await self.s3.http.request("PUT", put, body=b"2"), 403, "AccessDenied")
        self.s3.clock.advance(61)
        self.refused(await self.s3.http.request("GET", target), 403, "AccessDenied")
