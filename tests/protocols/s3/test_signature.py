"""
Signature version 4 against the examples that Amazon publishes, and what a claim may not be.

Examples: "Examples: Signature Calculations" and "Authenticating Requests: Using Query Parameters", Amazon S3 API
reference; all use this access key, bucket ``examplebucket`` and 24 May 2013.
"""

from __future__ import annotations

from calendar import timegm

from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.s3._canonical import canonical_query, canonical_request, query_pairs
from cloudd.protocols.s3._errors import S3Error
from cloudd.protocols.s3._signature import Claim, SigningKeys, read_claim, verify

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
EMPTY = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
NOW = float(timegm((2013, 5, 24, 0, 0, 0)))
HOST = (b"host", b"examplebucket.s3.amazonaws.com")
DATE = (b"x-amz-date", b"20130524T000000Z")


def authorization(signed: bytes, signature: bytes, credential: bytes = b"") -> tuple[bytes, bytes]:
    credential = credential or ACCESS_KEY.encode() + b"/20130524/us-east-1/s3/aws4_request"
    return (
        b"authorization",
        b"AWS4-HMAC-SHA256 Credential=%s,SignedHeaders=%s,Signature=%s" % (credential, signed, signature),
    )


def check(
    method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], now: float = NOW, secret: str = SECRET
) -> Claim:
    path, _, query = target.partition(b"?")
    pairs = query_pairs(query)
    claim = read_claim(headers, pairs)
    verify(claim, secret, method, path, pairs, headers, now=now, skew_s=900, keys=SigningKeys())
    return claim


GET_SIGNED = b"host;range;x-amz-content-sha256;x-amz-date"
GET_SIGNATURE = b"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
GET_HEADERS = [
    HOST,
    authorization(GET_SIGNED, GET_SIGNATURE),
    (b"range", b"bytes=0-9"),
    (b"x-amz-content-sha256", EMPTY),
    DATE,
]
PRESIGNED = (
    b"/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3"
    b"%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    b"&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)


class PublishedExamples(SynchronousTestCase):
    def test_get_object_with_a_range(self) -> None:
        claim = check(b"GET", b"/test.txt", GET_HEADERS)
        self.assertEqual(claim.access_key, ACCESS_KEY)
        self.assertFalse(claim.presigned)

    def test_put_object_with_a_dollar_in_its_name(self) -> None:
        check(
            b"PUT",
            b"/test$file.text",
            [
                HOST,
                authorization(
                    b"date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                    b"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
                ),
                (b"date", b"Fri, 24 May 2013 00:00:00 GMT"),
                DATE,
                (b"x-amz-storage-class", b"REDUCED_REDUNDANCY"),
                (b"x-amz-content-sha256", b"44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"),
            ],
        )

    def test_an_http_date_in_place_of_the_amazon_one(self) -> None:
        headers = [(b"date", b"Fri, 24 May 2013 00:00:00 GMT"), *GET_HEADERS[:4]]
        self.assertEqual(read_claim(headers, []).date, b"20130524T000000Z")

    def test_a_sub_resource_without_a_value(self) -> None:
        check(
            b"GET",
            b"/?lifecycle",
            [
                HOST,
                authorization(
                    b"host;x-amz-content-sha256;x-amz-date",
                    b"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
                ),
                DATE,
                (b"x-amz-content-sha256", EMPTY),
            ],
        )

    def test_a_listing_with_its_query_in_any_order(self) -> None:
        for target in (b"/?max-keys=2&prefix=J", b"/?prefix=J&max-keys=2", b"?prefix=%4A&max-keys=2"):
            check(
                b"GET",
                target,
                [
                    HOST,
                    authorization(
                        b"host;x-amz-content-sha256;x-amz-date",
                        b"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
                    ),
                    DATE,
                    (b"x-amz-content-sha256", EMPTY),
                ],
            )

    def test_a_presigned_url_until_it_expires(self) -> None:
        self.assertTrue(check(b"GET", PRESIGNED, [HOST], now=NOW + 86_400).presigned)
        error = self.assertRaises(S3Error, check, b"GET", PRESIGNED, [HOST], now=NOW + 86_401)
        self.assertEqual((error.code, error.message), ("AccessDenied", "Request has expired"))
        error = self.assertRaises(S3Error, check, b"GET", PRESIGNED, [HOST], now=NOW - 1000)
        self.assertEqual((error.code, error.message), ("AccessDenied", "Request is not valid yet"))


class CanonicalForm(SynchronousTestCase):
    def path(self, raw: bytes) -> bytes:
        return canonical_request(b"GET", raw, [], [], [], EMPTY).split(b"\n")[1]

    def test_dots_and_double_slashes_stay(self) -> None:
        self.assertEqual(self.path(b"/b//a/../b/./c//"), b"/b//a/../b/./c//")

    def test_paths_are_encoded_once(self) -> None:
        self.assertEqual(self.path("/b/ü +%2B%2f~".encode()), b"/b/%C3%BC%20%2B%2B/~")
        self.assertEqual(self.path(b"/b/%2525"), b"/b/%2525")
        self.assertEqual(self.path(b"/b/a%2fb%3d%7e"), b"/b/a/b%3D~")
        self.assertEqual(self.path(b""), b"/")

    def test_a_query_is_sorted_by_its_encoded_bytes(self) -> None:
        pairs = query_pairs(b"b=2&a=%2F&a=+&A=1&acl&X-Amz-Signature=x&a-b=&")
        self.assertEqual(canonical_query(pairs), b"A=1&a=%20&a=%2F&a-b=&acl=&b=2")

    def test_repeated_headers_and_spaces(self) -> None:
        headers = [(b"x-b", b"  two   words "), (b"x-a", b"1"), (b"x-b", b"\tx")]
        lines = canonical_request(b"GET", b"/", [], headers, [b"x-a", b"x-b"], EMPTY).split(b"\n")
        self.assertEqual(lines[3:7], [b"x-a:1", b"x-b:two words,x", b"", b"x-a;x-b"])


class Refusals(SynchronousTestCase):
    def refused(self, code: str, target: bytes, headers: list[tuple[bytes, bytes]], now: float = NOW) -> S3Error:
        error: S3Error = self.assertRaises(S3Error, check, b"GET", target, headers, now)
        self.assertEqual(error.code, code, error.message)
        return error

    def test_every_change_breaks_the_signature(self) -> None:
        changed = [
            (b"/test.tx", GET_HEADERS),
            (b"/test.txt?acl", GET_HEADERS),
            (b"//test.txt", GET_HEADERS),
            (b"/test.txt", [*GET_HEADERS, (b"range", b"bytes=0-9")]),
            (b"/test.txt", [(b"host", b"other"), *GET_HEADERS[1:]]),
        ]
        for target, headers in changed:
            error = self.refused("SignatureDoesNotMatch", target, headers)
            self.assertIn("20130524/us-east-1/s3/aws4_request", error.facts["StringToSign"])
            self.assertNotIn(SECRET, str(error.facts))

    def test_another_secret(self) -> None:
        error = self.assertRaises(S3Error, check, b"GET", b"/test.txt", GET_HEADERS, NOW, "other")
        self.assertEqual(error.code, "SignatureDoesNotMatch")

    def test_clock_skew(self) -> None:
        check(b"GET", b"/test.txt", GET_HEADERS, now=NOW + 900)
        self.refused("RequestTimeTooSkewed", b"/test.txt", GET_HEADERS, now=NOW + 901)
        self.refused("RequestTimeTooSkewed", b"/test.txt", GET_HEADERS, now=NOW - 901)

    def test_older_and_foreign_schemes(self) -> None:
        error = self.refused("InvalidRequest", b"/", [HOST, (b"authorization", b"AWS AKID:c2ln")])
        self.assertIn("version 2", error.message)
        self.refused("InvalidRequest", b"/", [HOST, (b"authorization", b"Bearer token")])
        self.refused("InvalidRequest", b"/", [HOST, (b"authorization", b"AWS4-ECDSA-P256-SHA256 Credential=a")])

    def test_unsigned_requests(self) -> None:
        self.refused("AccessDenied", b"/", [HOST])

    def test_malformed_headers(self) -> None:
        for value in (
            b"AWS4-HMAC-SHA256",
            b"AWS4-HMAC-SHA256 Credential=a/b",
            b"AWS4-HMAC-SHA256 Credential=a/b, Credential=a/b, Signature=c",
        ):
            self.refused("AuthorizationHeaderMalformed", b"/", [HOST, (b"authorization", value)])
        for credential in (
            b"AKID/20130524/us-east-1/s3",
            b"/20130524/us-east-1/s3/aws4_request",
            b"AKID/20130524/us-east-1/iam/aws4_request",
            b"AKID/20130523/us-east-1/s3/aws4_request",
        ):
            headers = [HOST, authorization(GET_SIGNED, GET_SIGNATURE, credential), *GET_HEADERS[2:]]
            self.refused("AuthorizationHeaderMalformed", b"/test.txt", headers)

    def test_the_host_must_be_signed_and_names_sorted(self) -> None:
        for signed in (b"range;x-amz-content-sha256;x-amz-date", b"range;host", b"Host;range", b"host;host"):
            headers = [HOST, authorization(signed, GET_SIGNATURE), *GET_HEADERS[2:]]
            self.refused("AuthorizationHeaderMalformed", b"/test.txt", headers)

    def test_dates_that_are_none(self) -> None:
        for date in (b"", b"yesterday", b"20131324T000000Z", b"2013-05-24"):
            headers = [*GET_HEADERS[:4], (b"x-amz-date", date)]
            error = self.assertRaises(S3Error, check, b"GET", b"/test.txt", headers)
            self.assertIn(error.code, ("AccessDenied", "AuthorizationHeaderMalformed"))

    def test_a_header_added_to_a_signed_request(self) -> None:
        error = self.refused("AccessDenied", b"/test.txt", [*GET_HEADERS, (b"x-amz-acl", b"public-read")])
        self.assertEqual(error.facts["HeadersNotSigned"], "x-amz-acl")

    def test_a_signed_header_that_did_not_arrive(self) -> None:
        self.refused("AccessDenied", b"/test.txt", [each for each in GET_HEADERS if each[0] != b"range"])

    def test_the_payload_hash_is_required_by_header(self) -> None:
        headers = [each for each in GET_HEADERS if each[0] != b"x-amz-content-sha256"]
        self.refused("InvalidRequest", b"/test.txt", headers)

    def test_presigned_parameters(self) -> None:
        code = "AuthorizationQueryParametersError"
        self.refused(code, PRESIGNED.replace(b"=86400", b"=604801"), [HOST])
        self.refused(code, PRESIGNED.replace(b"=86400", b"=0"), [HOST])
        self.refused(code, PRESIGNED.replace(b"=86400", b"=-1"), [HOST])
        self.refused(code, PRESIGNED.replace(b"X-Amz-Date", b"X-Amz-Day"), [HOST])
        self.refused(code, PRESIGNED.replace(b"HMAC-SHA256", b"HMAC-SHA1"), [HOST])
        self.refused("SignatureDoesNotMatch", PRESIGNED.replace(b"=86400", b"=86401"), [HOST])
        self.refused("InvalidArgument", PRESIGNED, GET_HEADERS)

    def test_derived_keys_are_kept_by_secret_and_bounded(self) -> None:
        keys = SigningKeys(limit=2)
        first = keys.get("a", b"20130524", b"r")
        self.assertNotEqual(first, keys.get("b", b"20130524", b"r"))
        self.assertIs(keys.get("a", b"20130524", b"r"), first)
        keys.get("c", b"20130524", b"r")
        self.assertEqual(len(keys._kept), 2)
        self.assertNotIn("secret", repr(keys))
