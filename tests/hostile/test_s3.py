"""The S3 port against a client that lies about who it is, what it sends and how much."""

from __future__ import annotations

import hashlib
import time
from base64 import b64encode
from secrets import token_hex
from urllib.parse import quote

from .siege import Identity, Siege, code, s3, secret, somebody
from .signer import Signer
from .wire import Answer, Wire, ask, head

TEN_GB = 10_000_000_000
CHUNKED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"


class S3Siege(Siege):
    def bare(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """A call with nothing added."""
        if "Signature=" in target:
            secret(target.rpartition("Signature=")[2].partition("&")[0])
        return ask(self.cloud.ports["s3"], method, target, headers or {}, body)

    def nothing_at(self, target: str) -> None:
        self.check_s3(self.demo.s3("GET", target), 404, "NoSuchKey")


class ForgedSignatures(S3Siege):
    def test_wrong_signatures(self) -> None:
        """Whatever differs from what was signed is refused with S3's code."""
        with self.container(self.demo, o=b"secret data") as box:
            mine = self.demo.signer
            wrong = Signer(mine.access, secret(token_hex(16)), mine.host)
            self.check_s3(s3(self.cloud, wrong, "GET", f"/{box}/o"), 403, "SignatureDoesNotMatch")
            unknown = Signer("f" * 32, mine.secret, mine.host)
            self.check_s3(s3(self.cloud, unknown, "GET", f"/{box}/o"), 403, "InvalidAccessKeyId")
            fields = mine.headers("GET", f"/{box}/o")
            self.assertEqual(self.bare("GET", f"/{box}/o", fields).status, 200)
            for method, target in (("DELETE", f"/{box}/o"), ("GET", f"/{box}/p"), ("GET", f"/{box}/o?acl")):
                self.check_s3(self.bare(method, target, fields), 403, "SignatureDoesNotMatch")
            added = {**fields, "x-amz-copy-source": f"/{box}/o"}
            self.check_s3(self.bare("GET", f"/{box}/o", added), 403, "AccessDenied")
            self.check_s3(self.bare("GET", f"/{box}/o"), 403, "AccessDenied")

    def test_malformed_authorization(self) -> None:
        """What is no authorization of version 4 is refused before anything is looked up."""
        good = self.demo.signer.headers("GET", "/")
        scope = self.demo.signer.scope(good["x-amz-date"])
        values = [
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA256 Credential=,SignedHeaders=,Signature=",
            good["authorization"] + ", Signature=00",
            good["authorization"].replace("SignedHeaders=host", "SignedHeaders="),
            good["authorization"].replace("us-east-1", ""),
            good["authorization"].replace("/s3/", "/ec2/"),
            good["authorization"].replace(scope, "x/" * 5000),
            "AWS4-HMAC-SHA256 " + "," * 10_000,
            "AWS a:b",
            "Bearer x",
            "\u00ff\u2603",
        ]
        for value in values:
            answer = self.bare("GET", "/", {**good, "authorization": value})
            self.assertIn(answer.status, (400, 403), f"{value[:60]}: {answer.text}")
            self.assertTrue(code(answer))

    def test_clock_skew(self) -> None:
        """A signature of another hour is refused, in both directions, and no date at all as well."""
        for offset in (-3600, 3600, -901, 10**10):
            answer = self.demo.s3("GET", "/", at=min(time.time() + offset, 253_402_300_799))
            self.check_s3(answer, 403, "RequestTimeTooSkewed")
        fields = self.demo.signer.headers("GET", "/")
        for date in ("20261399T999999Z", "yesterday", "", "00000000T000000Z"):
            answer = self.bare("GET", "/", {**fields, "x-amz-date": date})
            self.assertIn(answer.status, (400, 403), answer.text)

    def test_presigned_urls(self) -> None:
        """An expired, changed, too long or foreign URL opens nothing."""
        with self.container(self.demo, o=b"secret data", p=b"other") as box:
            mine = self.demo.signer
            self.assertEqual(self.bare("GET", mine.presigned("GET", f"/{box}/o")).body, b"secret data")
            expired = mine.presigned("GET", f"/{box}/o", expires=5, at=time.time() - 60)
            self.check_s3(self.bare("GET", expired), 403, "AccessDenied")
            future = mine.presigned("GET", f"/{box}/o", at=time.time() + 7200)
            self.check_s3(self.bare("GET", future), 403, "AccessDenied")
            good = mine.presigned("GET", f"/{box}/o")
            for changed in (
                good.replace(f"/{box}/o", f"/{box}/p"),
                good.replace("X-Amz-Expires=300", "X-Amz-Expires=604800"),
                good + "&response-content-type=text/html",
                good.replace("?", "?versionId=null&", 1),
            ):
                self.check_s3(self.bare("GET", changed), 403, "SignatureDoesNotMatch")
            for method in ("PUT", "DELETE", "HEAD"):
                self.assertEqual(self.bare(method, good).status, 403)
            for expires in ("0", "604801", "-1", "1e3", "9" * 50):
                answer = self.bare("GET", good.replace("X-Amz-Expires=300", f"X-Amz-Expires={expires}"))
                self.check_s3(answer, 400, "AuthorizationQueryParametersError")
            self.check_s3(self.bare("GET", good, mine.headers("GET", f"/{box}/o")), 400, "InvalidArgument")
            foreign = self.other.signer.presigned("GET", f"/{box}/o")
            self.check_s3(self.bare("GET", foreign), 404, "NoSuchBucket")

    def test_presigned_version_2(self) -> None:
        """What a URL of version 2 does not sign cannot be slipped in."""
        with self.container(self.demo, o=b"secret data", p=b"other") as box:
            mine, later = self.demo.signer, int(time.time()) + 300
            good = mine.presigned_v2("GET", f"/{box}/o", later)
            self.assertEqual(self.bare("GET", good).body, b"secret data")
            gone = mine.presigned_v2("GET", f"/{box}/o", later - 600)
            self.check_s3(self.bare("GET", gone), 403, "AccessDenied")
            self.check_s3(self.bare("GET", good.replace(str(later), str(later + 9))), 403, "SignatureDoesNotMatch")
            self.check_s3(self.bare("GET", good, {"x-amz-copy-source": "/a/b"}), 403, "SignatureDoesNotMatch")
            signed = mine.presigned_v2("GET", f"/{box}/o", later, "response-content-type=text/plain")
            self.assertEqual(self.bare("GET", signed).headers["content-type"], "text/plain")
            for place in ("?{}&", "&{}&"):
                twice = signed.replace(place[0], place.format("response-content-type=text/html"), 1)
                self.check_s3(self.bare("GET", twice), 400, "InvalidArgument")


class FalsePayloads(S3Siege):
    def test_wrong_digests(self) -> None:
        """A body that is not what its digests promise leaves no object, and the earlier one stays."""
        with self.container(self.demo, o=b"first") as box:
            empty = hashlib.sha256(b"").hexdigest()
            wrong_md5 = b64encode(bytes(16)).decode()
            self.check_s3(self.demo.s3("PUT", f"/{box}/o", b"x", payload=empty), 400, "XAmzContentSHA256Mismatch")
            for headers, name in (
                ({"content-md5": wrong_md5}, "BadDigest"),
                ({"content-md5": "no base64"}, "InvalidDigest"),
                ({"content-md5": "YQ=="}, "InvalidDigest"),
                ({"x-amz-checksum-crc32": "AAAAAA=="}, "BadDigest"),
                ({"x-amz-checksum-crc64nvme": "AAAAAAAAAAA="}, "BadDigest"),
                ({"x-amz-checksum-sha256": b64encode(bytes(32)).decode()}, "BadDigest"),
            ):
                self.check_s3(self.demo.s3("PUT", f"/{box}/o", b"x" * 100_000, headers), 400, name)
            for headers in (
                {"x-amz-checksum-crc32": "AAAA"},
                {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-sha1": "AAAA"},
                {"x-amz-checksum-md4": "AAAA"},
                {"x-amz-trailer": "x-amz-checksum-crc32"},
            ):
                answer = self.demo.s3("PUT", f"/{box}/n", b"x", headers)
                self.assertEqual(answer.status, 400, f"{headers}: {answer.text}")
            self.assertEqual(self.demo.s3("GET", f"/{box}/o").body, b"first")
            self.nothing_at(f"/{box}/n")

    def test_ten_gigabytes_declared(self) -> None:
        """Above the limit it is refused at once; below it the missing bytes leave nothing."""
        with self.container(self.demo) as box:
            target, port = f"/{box}/big", self.cloud.ports["s3"]
            for declared, status, name in ((TEN_GB, 400, "EntityTooLarge"), (5_000_000, 400, "IncompleteBody")):
                fields = self.demo.signer.headers("PUT", target, payload="UNSIGNED-PAYLOAD")
                with Wire(port) as wire:
                    wire.send(
                        head("PUT", target, {**fields, "content-length": str(declared)}, port=port) + b"ten bytes!"
                    )
                    wire.half_close()
                    self.check_s3(wire.answer(), status, name)
                with Wire(port) as wire:
                    wire.send(
                        head("PUT", target, {**fields, "content-length": str(declared)}, port=port) + b"ten bytes!"
                    )
            self.nothing_at(target)

    def test_lengths_that_disagree(self) -> None:
        """Neither a missing nor a wrong x-amz-decoded-content-length makes an object."""
        with self.container(self.demo) as box:
            target = f"/{box}/o"
            for decoded, name in (
                (None, "MissingContentLength"),
                ("5", "InvalidRequest"),
                ("99", "IncompleteBody"),
                ("-1", "InvalidArgument"),
                (str(TEN_GB), "EntityTooLarge"),
                ("9" * 40, "InvalidArgument"),
            ):
                headers = {"content-encoding": "aws-chunked"}
                if decoded is not None:
                    headers["x-amz-decoded-content-length"] = decoded
                fields = self.demo.signer.headers("PUT", target, b"", headers, payload=CHUNKED)
                body = self.demo.signer.chunked(fields, b"eight by", b"tes more")
                self.assertIn(code(self.bare("PUT", target, fields, body)), {name, "MissingContentLength"}, decoded)
            fields = self.demo.signer.headers("PUT", target, payload="UNSIGNED-PAYLOAD")
            fields["transfer-encoding"] = "chunked"
            self.check_s3(self.bare("PUT", target, fields, b"1\r\na\r\n0\r\n\r\n"), 411, "MissingContentLength")
            self.nothing_at(target)

    def test_forged_chunks(self) -> None:
        """Chunks with wrong signatures, in another order, cut, doubled or with wrong sizes leave nothing."""
        with self.container(self.demo) as box:
            target, pieces = f"/{box}/o", (b"a" * 9000, b"b" * 9000)
            headers = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": "18000"}
            fields = self.demo.signer.headers("PUT", target, b"", headers, payload=CHUNKED)
            good = self.demo.signer.chunked(fields, *pieces)
            half, last = len(good[: good.index(b"b" * 9000)]), good.rindex(b"0;chunk")
            first = good.index(b"\r\n", 9000) + 2
            spoilt = {
                "payload": good.replace(b"a", b"c", 1).replace(b"aaaa", b"aaac", 1),
                "order": good[first:last] + good[:first] + good[last:],
                "cut": good[:half],
                "no last chunk": good[:last],
                "doubled": good[:first] + good,
                "size": good.replace(b"2328;", b"2329;", 1),
                "huge size": good.replace(b"2328;", b"ffffffffffffffff;", 1),
                "no size": good.replace(b"2328;", b";", 1),
                "endless line": b"0" * 100_000,
                "no signature": b"4650\r\n" + b"a" * 18000 + b"\r\n0\r\n\r\n",
                "trailer": good[:-2] + b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n",
                "empty": b"",
            }
            for what, body in spoilt.items():
                answer = self.bare("PUT", target, fields, body)
                self.assertIn(answer.status, (400, 403), f"{what}: {answer.text[:300]}")
                self.assertNotEqual(code(answer), "", what)
            self.nothing_at(target)
            self.assertEqual(self.bare("PUT", target, fields, good).status, 200)

    def test_broken_trailers(self) -> None:
        """A trailer that is missing, wrong, doubled, endless or not the announced one leaves nothing."""
        with self.container(self.demo) as box:
            target = f"/{box}/o"
            headers = {"x-amz-decoded-content-length": "5", "x-amz-trailer": "x-amz-checksum-crc32"}
            line = b"x-amz-checksum-crc32:"
            for trailer in (
                b"",
                line + b"AAAAAA==\r\n",
                line + b"not base64\r\n",
                (line + b"NhCmhg==\r\n") * 2,
                b"x-amz-checksum-sha1:AAAA\r\n",
                b"x-amz-meta-a:b\r\n" + line + b"NhCmhg==\r\n",
                b"x:" + b"y" * 100_000,
                b"\xff\x00\r\n",
            ):
                fields = self.demo.signer.headers(
                    "PUT", target, b"", headers, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER"
                )
                answer = self.bare("PUT", target, fields, b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n")
                self.assertEqual(answer.status, 400, f"{trailer[:40]!r}: {answer.text[:300]}")
            self.nothing_at(target)

    def test_truncated_part(self) -> None:
        """A part that ends too early is no part, and the upload can be aborted."""
        with self.container(self.demo) as box:
            port = self.cloud.ports["s3"]
            made = self.demo.s3("POST", f"/{box}/big?uploads")
            upload = made.text.partition("<UploadId>")[2].partition("<")[0]
            target = f"/{box}/big?partNumber=1&uploadId={upload}"
            fields = self.demo.signer.headers("PUT", target, payload="UNSIGNED-PAYLOAD")
            with Wire(port) as wire:
                wire.send(head("PUT", target, {**fields, "content-length": "6000000"}, port=port) + b"x" * 300_000)
            answer = self.demo.s3("PUT", target, b"x" * 100_000, {"content-md5": b64encode(bytes(16)).decode()})
            self.check_s3(answer, 400, "BadDigest")
            listed = self.demo.s3("GET", f"/{box}/big?uploadId={upload}")
            self.assertNotIn("<Part>", listed.text)
            for number in ("0", "10001", "-1", "x", ""):
                answer = self.demo.s3("PUT", f"/{box}/big?partNumber={number}&uploadId={upload}", b"x")
                self.assertEqual(answer.status, 400, answer.text)
            part = b"<Part><PartNumber>1</PartNumber><ETag>00</ETag></Part>"
            body = b"<CompleteMultipartUpload>" + part + b"</CompleteMultipartUpload>"
            self.check_s3(self.demo.s3("POST", f"/{box}/big?uploadId={upload}", body), 400, "InvalidPart")
            self.assertEqual(self.demo.s3("DELETE", f"/{box}/big?uploadId={upload}").status, 204)
            self.check_s3(self.demo.s3("PUT", target, b"x"), 404, "NoSuchUpload")


class HostileDocuments(S3Siege):
    def test_xml_bombs(self) -> None:
        """Entities, DTDs, foreign encodings, depth, size and bad bytes are MalformedXML, within moments."""
        laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
        external = '<!DOCTYPE Delete [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        documents = [
            f'<?xml version="1.0"?><!DOCTYPE Delete [<!ENTITY l0 "ha">{laughs}]><Delete>&l9;</Delete>'.encode(),
            f"{external}<Delete><Object><Key>&x;</Key></Object></Delete>".encode(),
            b'<!DOCTYPE Delete SYSTEM "http://127.0.0.1:1/x.dtd"><Delete/>',
            b"<Delete>" + b"<a>" * 200_000,
            b"<Delete>" + b"<a>" * 20_000 + b"</a>" * 20_000 + b"</Delete>",
            b"<Delete " + b" ".join(b'a%d="x"' % n for n in range(50_000)) + b"/>",
            b"\xff\xfe<\x00D\x00",
            b'<?xml version="1.0" encoding="utf-7"?><Delete/>',
            b'<?xml version="1.0" encoding="x-nothing"?><Delete/>',
            b"<Delete><Object><Key>\xff\xff</Key></Object></Delete>",
            b"<Delete><Object><Key>&#0;</Key></Object></Delete>",
            b"<Other/>",
            b"{}",
            b"",
            b" " * 5_000_000,
        ]
        with self.container(self.demo, o=b"data") as box:
            for body in documents:
                began = time.monotonic()
                fields = {"content-md5": b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()}
                answer = self.demo.s3("POST", f"/{box}?delete", body, fields)
                self.assertLess(time.monotonic() - began, 10, body[:60])
                self.assertEqual(answer.status, 400, f"{body[:60]!r}: {answer.text[:200]}")
                self.assertIn(code(answer), ("MalformedXML", "MissingRequestBodyError", "InvalidRequest"), body[:60])
                self.assertNotIn("root:", answer.text)
            self.assertEqual(self.demo.s3("GET", f"/{box}/o").body, b"data")

    def test_names(self) -> None:
        """Over-long, non-UTF-8 and NUL names are refused; dots and double encodings are names like any other."""
        with self.container(self.demo) as box:
            self.check_s3(self.demo.s3("PUT", f"/{box}/{'k' * 1025}", b"x"), 400, "KeyTooLongError")
            for key in ("%ff%fe", "%00", "a%00b", "%ed%a0%80", "%c0%af"):
                answer = self.demo.s3("PUT", f"/{box}/{key}", b"x")
                self.assertEqual((answer.status, code(answer)), (400, "InvalidURI"), key)
            for bucket in ("UPPER", "a" * 300, "x", "..", "%2e%2e", "a%00b", "%ff", "a b", "192.168.0.1"):
                answer = self.demo.s3("PUT", f"/{bucket}")
                self.assertEqual(answer.status, 400, f"{bucket}: {answer.text}")
            odd = ("%2e%2e/%2e%2e/etc/passwd", "../../x", "//", "a%252fb", "%25", "./.", "%0a%0d", "%e2%80%ae", "x%3f")
            for key in odd:
                self.assertEqual(self.demo.s3("PUT", f"/{box}/{key}", key.encode()).status, 200, key)
            for key in odd:
                self.assertEqual(self.demo.s3("GET", f"/{box}/{key}").body, key.encode())
            self.assertEqual(len(list(self.demo.s3("GET", f"/{box}").text.split("<Contents>"))) - 1, len(odd))

    def test_queries(self) -> None:
        """Numbers that are none, markers of any bytes and endless lists of parameters are answered, never a 500."""
        with self.container(self.demo, o=b"data") as box:
            values = ("-1", "1e9", "9" * 30, "%ff", "%00", "\u0661", "x" * 4000, "", "0", "[]")
            for name in (
                "max-keys",
                "marker",
                "prefix",
                "delimiter",
                "start-after",
                "continuation-token",
                "encoding-type",
            ):
                for value in values:
                    for kind in ("", "list-type=2&"):
                        answer = self.demo.s3("GET", f"/{box}?{kind}{name}={quote(value, safe='%')}")
                        self.assertIn(answer.status, (200, 400), f"{name}={value[:20]}: {answer.text}")
            many = "&".join(f"a{n}=b" for n in range(1000))
            self.assertIn(self.demo.s3("GET", f"/{box}?{many}").status, (200, 400))

    def test_ranges(self) -> None:
        """Overlapping and senseless ranges never send more than the object, nor a 500."""
        with self.container(self.demo, o=b"0123456789") as box:
            for value in (
                "bytes=0-9,0-9,0-9",
                "bytes=" + "0-," * 500,
                "bytes=9-0",
                "bytes=--1",
                "lines=1-2",
                "bytes=a-b",
            ):
                answer = self.demo.s3("GET", f"/{box}/o", headers={"range": value})
                self.assertIn(answer.status, (200, 206, 400, 416), value)
                self.assertTrue(answer.status in (400, 416) or len(answer.body) < 1000, value)
            for value in ("bytes=10-", "bytes=-0", f"bytes={10**17}-{10**18}"):
                self.check_s3(self.demo.s3("GET", f"/{box}/o", headers={"range": value}), 416, "InvalidRange")

    def test_metadata(self) -> None:
        """Metadata of too many bytes, of bad bytes and of unknown kinds leaves no object."""
        with self.container(self.demo) as box:
            answer = self.demo.s3("PUT", f"/{box}/o", b"x", {"x-amz-meta-a": "x" * 3000})
            self.check_s3(answer, 400, "MetadataTooLarge")
            for name, value in (
                ("x-amz-storage-class", "GLACIER"),
                ("x-amz-acl", "public-read"),
                ("x-amz-tagging", "a=b"),
            ):
                answer = self.demo.s3("PUT", f"/{box}/o", b"x", {name: value})
                self.assertIn(answer.status, (400, 501), answer.text)
            self.nothing_at(f"/{box}/o")


class ForeignTenants(S3Siege):
    def test_buckets_of_others(self) -> None:
        """To another tenant the buckets of the first do not exist: reads, writes, copies, parts and deletes."""
        with self.container(self.demo, o=b"secret data") as box, self.container(self.other, mine=b"m") as own:
            other, source = self.other, {"x-amz-copy-source": f"/{box}/o"}
            for method, target in (
                ("GET", f"/{box}"),
                ("HEAD", f"/{box}"),
                ("GET", f"/{box}/o"),
                ("HEAD", f"/{box}/o"),
                ("GET", f"/{box}/o?acl"),
                ("GET", f"/{box}/o?attributes"),
                ("GET", f"/{box}?uploads"),
                ("GET", f"/{box}?versions"),
                ("PUT", f"/{box}/n"),
                ("DELETE", f"/{box}/o"),
                ("DELETE", f"/{box}"),
                ("POST", f"/{box}/n?uploads"),
            ):
                answer = other.s3(method, target, headers={"x-amz-object-attributes": "ETag"})
                self.assertEqual(answer.status, 404, f"{method} {target}: {answer.text}")
            self.check_s3(other.s3("PUT", f"/{own}/copy", headers=source), 404, "NoSuchBucket")
            made = other.s3("POST", f"/{own}/big?uploads")
            upload = made.text.partition("<UploadId>")[2].partition("<")[0]
            target = f"/{own}/big?partNumber=1&uploadId={upload}"
            self.check_s3(other.s3("PUT", target, headers=source), 404, "NoSuchBucket")
            for stolen in ("GET", "DELETE"):
                self.check_s3(self.demo.s3(stolen, f"/{box}/big?uploadId={upload}"), 404, "NoSuchUpload")
            self.check_s3(self.demo.s3("PUT", f"/{box}/o?partNumber=1&uploadId={upload}", b"x"), 404, "NoSuchUpload")
            self.assertEqual(other.s3("DELETE", f"/{own}/big?uploadId={upload}").status, 204)
            self.assertNotIn(box, other.s3("GET", "/").text)
            body = b"<Delete><Object><Key>o</Key></Object></Delete>"
            md5 = {"content-md5": b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()}
            self.check_s3(other.s3("POST", f"/{box}?delete", body, md5), 404, "NoSuchBucket")
            self.assertEqual(self.demo.s3("GET", f"/{box}/o").body, b"secret data")

    def test_same_name(self) -> None:
        """Two tenants may have a bucket of one name; each sees its own."""
        with self.container(self.demo, o=b"secret data") as box:
            self.assertEqual(self.other.s3("PUT", f"/{box}").status, 200)
            self.nothing_in(self.other, box)
            self.assertEqual(self.other.s3("DELETE", f"/{box}").status, 204)
            self.assertEqual(self.demo.s3("GET", f"/{box}/o").body, b"secret data")

    def nothing_in(self, somebody: Identity, box: str) -> None:
        self.check_s3(somebody.s3("GET", f"/{box}/o"), 404, "NoSuchKey")
        self.assertNotIn("<Contents>", somebody.s3("GET", f"/{box}").text)


class LesserKeys(S3Siege):
    def test_reader_key(self) -> None:
        """A reader's key reads and lists, and changes nothing in any way."""
        with (
            self.container(self.demo, o=b"data") as box,
            somebody(self.cloud, "reader", project_id=self.demo.project_id) as reader,
        ):
            reader.signer = reader.make_key()
            self.assertEqual(reader.s3("GET", f"/{box}/o").body, b"data")
            self.assertEqual(reader.s3("GET", f"/{box}").status, 200)
            changes = [
                ("PUT", f"/{box}-n", {}),
                ("PUT", f"/{box}/n", {}),
                ("PUT", f"/{box}/n", {"x-amz-copy-source": f"/{box}/o"}),
                ("DELETE", f"/{box}/o", {}),
                ("DELETE", f"/{box}", {}),
                ("POST", f"/{box}/n?uploads", {}),
                ("POST", f"/{box}?delete", {"content-md5": "1B2M2Y8AsgTpgAmY7PhCfg=="}),
                ("PUT", f"/{box}?acl", {"x-amz-acl": "private"}),
                ("DELETE", f"/{box}/o?tagging", {}),
                ("DELETE", f"/{box}?policy", {}),
            ]
            for method, target, headers in changes:
                self.check_s3(reader.s3(method, target, headers=headers), 403, "AccessDenied")

    def test_deleted_key(self) -> None:
        """A deleted key is refused by every worker within a second, also in URLs that were presigned before."""
        signer = self.demo.make_key()
        self.assertEqual(s3(self.cloud, signer, "GET", "/").status, 200)
        url = signer.presigned("GET", "/")
        self.demo.api("DELETE", f"/users/{self.demo.user_id}/credentials/OS-EC2/{signer.access}", status=204)
        time.sleep(1)
        for _ in range(20):
            self.check_s3(s3(self.cloud, signer, "GET", "/"), 403, "InvalidAccessKeyId")
            self.check_s3(self.bare("GET", url), 403, "InvalidAccessKeyId")
