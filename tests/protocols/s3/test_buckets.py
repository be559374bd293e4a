"""Buckets, listings, who may do what, and the answers of what is not offered."""

from __future__ import annotations

from xml.etree import ElementTree

from tests.protocols.s3.s3_client import ACCOUNT, NAMESPACE, S3Client, error_code, values
from tests.protocols.s3.test_objects import FaceTestCase


class Buckets(FaceTestCase):
    async def test_a_life(self) -> None:
        made = await self.s3.call("PUT", "/bucket")
        self.assertEqual((made.status, made.headers["location"]), (200, "/bucket"))
        self.refused(await self.s3.call("PUT", "/bucket"), 409, "BucketAlreadyOwnedByYou")
        self.assertEqual((await self.s3.call("HEAD", "/bucket")).status, 200)
        self.assertEqual(values(await self.s3.call("GET", "/"), "Buckets/Bucket/Name"), ["bucket"])
        await self.s3.call("PUT", "/bucket/k", body=b"1")
        self.refused(await self.s3.call("DELETE", "/bucket"), 409, "BucketNotEmpty")
        await self.s3.call("DELETE", "/bucket/k")
        self.assertEqual((await self.s3.call("DELETE", "/bucket")).status, 204)
        self.refused(await self.s3.call("DELETE", "/bucket"), 404, "NoSuchBucket")
        self.assertEqual((await self.s3.call("HEAD", "/bucket")).status, 404)

    async def test_names(self) -> None:
        for name in ("ab", "Upper", "a_b", "1.2.3.4"):
            self.refused(await self.s3.call("PUT", f"/{name}"), 400, "InvalidBucketName")

    async def test_containers_of_swift_are_buckets_under_any_name(self) -> None:
        await self.s3.store.create_container(ACCOUNT, "My Files", {})
        self.assertEqual((await self.s3.call("PUT", "/My%20Files/k", body=b"1")).status, 200)
        self.assertEqual((await self.s3.call("GET", "/My%20Files/k")).body, b"1")

    async def test_location(self) -> None:
        body = (
            b"<CreateBucketConfiguration><LocationConstraint>RegionOne</LocationConstraint></CreateBucketConfiguration>"
        )
        await self.s3.call("PUT", "/bucket", body=body)
        answer = await self.s3.call("GET", "/bucket?location")
        self.assertEqual(ElementTree.fromstring(answer.body).text, "RegionOne")
        self.assertEqual((await self.s3.call("HEAD", "/bucket")).headers["x-amz-bucket-region"], "RegionOne")
        await self.s3.call("PUT", "/other")
        answer = await self.s3.call("GET", "/other?location")
        self.assertEqual(ElementTree.fromstring(answer.body).text, None)
        self.refused(await self.s3.call("PUT", "/third", body=b"<a"), 400, "MalformedXML")

    async def test_virtual_host_style(self) -> None:
        self.s3 = S3Client(s3_host="s3.cloud")
        await self.s3.make("bucket")
        self.assertEqual((await self.s3.call("PUT", "/a/k", body=b"1", host="bucket.s3.cloud")).status, 200)
        self.assertEqual((await self.s3.call("GET", "/bucket/a/k")).body, b"1")
        listed = await self.s3.call("GET", "/?list-type=2", host="bucket.s3.cloud")
        self.assertEqual(values(listed, "Contents/Key"), ["a/k"])


class Listings(FaceTestCase):
    async def fill(self) -> None:
        await self.s3.make("bucket")
        for name in ("a", "b%2B%20%C3%BC", "dir/1", "dir/2", "dir/sub/3", "e"):
            await self.s3.call("PUT", f"/bucket/{name}", body=b"12")

    async def test_version_1(self) -> None:
        await self.fill()
        answer = await self.s3.call("GET", "/bucket?delimiter=/&max-keys=1000&prefix=")
        self.assertEqual(values(answer, "Contents/Key"), ["a", "b+ ü", "e"])
        self.assertEqual(values(answer, "CommonPrefixes/Prefix"), ["dir/"])
        self.assertEqual(values(answer, "Contents/Size"), ["2", "2", "2"])
        self.assertEqual(values(answer, "Contents/ETag")[0], '"c20ad4d76fe97759aa27a0c99bff6710"')
        self.assertEqual(values(answer, "IsTruncated"), ["false"])
        self.assertEqual(values(answer, "Contents/Owner/DisplayName")[0], "demo")

    async def test_version_1_pages(self) -> None:
        await self.fill()
        marker, found = "", []
        for _ in range(10):
            answer = await self.s3.call("GET", f"/bucket?delimiter=%2F&max-keys=1&marker={marker}&encoding-type=url")
            found += values(answer, "Contents/Key") + values(answer, "CommonPrefixes/Prefix")
            if values(answer, "IsTruncated") == ["false"]:
                break
            [marker] = values(answer, "NextMarker")
        self.assertEqual(found, ["a", "b%2B%20%C3%BC", "dir/", "e"])

    async def test_version_2_pages(self) -> None:
        await self.fill()
        token, found = "", []
        for _ in range(10):
            more = f"&continuation-token={token}" if token else ""
            answer = await self.s3.call("GET", f"/bucket?list-type=2&max-keys=2&delimiter=%2F{more}")
            rows = values(answer, "Contents/Key") + values(answer, "CommonPrefixes/Prefix")
            self.assertEqual(values(answer, "KeyCount"), [str(len(rows))])
            found += rows
            if values(answer, "IsTruncated") == ["false"]:
                break
            [token] = values(answer, "NextContinuationToken")
            self.assertNotIn(token, found)
            token = token.replace("=", "%3D")
        self.assertEqual(found, ["a", "b+ ü", "e", "dir/"])

    async def test_version_2_parameters(self) -> None:
        await self.fill()
        answer = await self.s3.call("GET", "/bucket?list-type=2&start-after=b&prefix=dir/&fetch-owner=true")
        self.assertEqual(values(answer, "Contents/Key"), ["dir/1", "dir/2", "dir/sub/3"])
        self.assertEqual((values(answer, "StartAfter"), values(answer, "Prefix")), (["b"], ["dir/"]))
        self.assertEqual(len(values(answer, "Contents/Owner/ID")), 3)
        answer = await self.s3.call("GET", "/bucket?list-type=2&max-keys=0")
        self.assertEqual((values(answer, "KeyCount"), values(answer, "IsTruncated")), (["0"], ["false"]))

    async def test_refused_parameters(self) -> None:
        await self.s3.make("bucket")
        for query in (
            "max-keys=-1",
            "max-keys=x",
            "encoding-type=xml",
            "list-type=3",
            "list-type=2&continuation-token=",
            "list-type=2&continuation-token=%2A",
            "prefix=%00",
        ):
            self.refused(await self.s3.call("GET", f"/bucket?{query}"), 400, "InvalidArgument")
        self.refused(await self.s3.call("GET", "/nowhere?list-type=2"), 404, "NoSuchBucket")
        self.refused(await self.s3.call("GET", "/bucket?prefix=%ff"), 400, "InvalidURI")

    async def test_versions(self) -> None:
        await self.fill()
        answer = await self.s3.call("GET", "/bucket?versions&prefix=dir/")
        self.assertEqual(values(answer, "Version/Key"), ["dir/1", "dir/2", "dir/sub/3"])
        self.assertEqual(set(values(answer, "Version/VersionId")), {"null"})

    async def test_control_characters(self) -> None:
        await self.s3.make("bucket")
        await self.s3.call("PUT", "/bucket/a%01b", body=b"")
        plain = await self.s3.call("GET", "/bucket")
        self.assertIn(b"<Key>a&#x1;b</Key>", plain.body)
        coded = await self.s3.call("GET", "/bucket?encoding-type=url")
        self.assertEqual(values(coded, "Contents/Key"), ["a%01b"])


class Leave(FaceTestCase):
    async def test_a_reader_reads_and_does_not_write(self) -> None:
        await self.s3.make("bucket", k=b"1")
        self.assertEqual((await self.s3.call("GET", "/bucket/k", key="reader-key")).body, b"1")
        self.assertEqual((await self.s3.call("GET", "/bucket", key="reader-key")).status, 200)
        self.assertEqual((await self.s3.call("GET", "/", key="reader-key")).status, 200)
        for method, target in (
            ("PUT", "/bucket/k"),
            ("DELETE", "/bucket/k"),
            ("PUT", "/other"),
            ("DELETE", "/bucket"),
            ("POST", "/bucket/k?uploads"),
        ):
            self.refused(await self.s3.call(method, target, key="reader-key", body=b""), 403, "AccessDenied")
        self.assertEqual(await self.names(), ["k"])

    async def test_keys_that_are_none(self) -> None:
        self.refused(await self.s3.call("GET", "/", key="unknown"), 403, "InvalidAccessKeyId")
        self.refused(await self.s3.call("GET", "/", key="lost-key"), 403, "AccessDenied")
        self.refused(await self.s3.http.request("GET", "/bucket/k"), 403, "AccessDenied")

    async def test_a_wrong_signature_learns_nothing(self) -> None:
        await self.s3.make("bucket", k=b"1")
        fields = self.s3.signed("GET", "/bucket/other")
        for target in ("/bucket/k", "/nowhere/k"):
            answer = await self.s3.http.request("GET", target, headers=fields, host="s3.cloud")
            self.refused(answer, 403, "SignatureDoesNotMatch")

    async def test_clocks(self) -> None:
        fields = self.s3.signed("GET", "/")
        self.s3.clock.advance(901)
        answer = await self.s3.http.request("GET", "/", headers=fields, host="s3.cloud")
        self.refused(answer, 403, "RequestTimeTooSkewed")

    async def test_presigned(self) -> None:
        await self.s3.make("bucket", k=b"1")
        target = self.s3.presigned("GET", "/bucket/k?response-content-type=text%2Fplain")
        answer = await self.s3.http.request("GET", target, host="s3.cloud")
        self.assertEqual((answer.body, answer.headers["content-type"]), (b"1", "text/plain"))
        put = self.s3.presigned("PUT", "/bucket/%C3%BC%20%2B")
        answer = await self.s3.http.request("PUT", put, body=b"new", host="s3.cloud")
        self.assertEqual(answer.status, 200, answer.text)
        self.assertEqual(await self.names(), ["k", "ü +"])
        for method, changed in (("PUT", target), ("GET", target.replace("/k?", "/l?"))):
            answer = await self.s3.http.request(method, changed, body=b"", host="s3.cloud")
            self.refused(answer, 403, "SignatureDoesNotMatch")
        self.s3.clock.advance(61)
        answer = await self.s3.http.request("GET", target, host="s3.cloud")
        self.refused(answer, 403, "AccessDenied")
        self.assertIn(b"expired", answer.body)

    async def test_fields_that_a_presigned_url_carries_count(self) -> None:
        await self.s3.make("bucket")
        target = self.s3.presigned("PUT", "/bucket/k?x-amz-acl=public-read")
        self.refused(await self.s3.http.request("PUT", target, body=b"", host="s3.cloud"), 501, "NotImplemented")

    async def test_the_expected_owner(self) -> None:
        await self.s3.make("bucket")
        answer = await self.s3.call("GET", "/bucket", {"x-amz-expected-bucket-owner": "somebody"})
        self.refused(answer, 403, "AccessDenied")


class NotOffered(FaceTestCase):
    async def test_configurations_that_are_not_set(self) -> None:
        await self.s3.make("bucket")
        for name, code in (
            ("policy", "NoSuchBucketPolicy"),
            ("cors", "NoSuchCORSConfiguration"),
            ("website", "NoSuchWebsiteConfiguration"),
            ("lifecycle", "NoSuchLifecycleConfiguration"),
            ("replication", "ReplicationConfigurationNotFoundError"),
            ("encryption", "ServerSideEncryptionConfigurationNotFoundError"),
            ("object-lock", "ObjectLockConfigurationNotFoundError"),
            ("tagging", "NoSuchTagSet"),
            ("ownershipControls", "OwnershipControlsNotFoundError"),
        ):
            self.refused(await self.s3.call("GET", f"/bucket?{name}"), 404, code)
            self.assertEqual((await self.s3.call("DELETE", f"/bucket?{name}")).status, 204)
        for name, root in (
            ("versioning", "VersioningConfiguration"),
            ("accelerate", "AccelerateConfiguration"),
            ("logging", "BucketLoggingStatus"),
            ("notification", "NotificationConfiguration"),
        ):
            answer = await self.s3.call("GET", f"/bucket?{name}")
            read = ElementTree.fromstring(answer.body)
            self.assertEqual((answer.status, read.tag, len(read)), (200, NAMESPACE + root, 0))
        payer = await self.s3.call("GET", "/bucket?requestPayment")
        self.assertEqual(values(payer, "Payer"), ["BucketOwner"])
        self.refused(await self.s3.call("GET", "/nowhere?policy"), 404, "NoSuchBucket")

    async def test_setting_them(self) -> None:
        await self.s3.make("bucket", k=b"1")
        for method, target in (
            ("PUT", "/bucket?policy"),
            ("PUT", "/bucket?versioning"),
            ("PUT", "/bucket/k?tagging"),
            ("GET", "/bucket/k?torrent"),
            ("POST", "/bucket/k?restore"),
            ("POST", "/bucket"),
        ):
            self.refused(await self.s3.call(method, target, body=b"x"), 501, "NotImplemented")
        self.refused(await self.s3.call("POST", "/bucket/k", body=b""), 405, "MethodNotAllowed")
        self.refused(await self.s3.http.request("OPTIONS", "/bucket/k"), 403, "AccessDenied")

    async def test_objects(self) -> None:
        await self.s3.make("bucket", k=b"1")
        answer = await self.s3.call("GET", "/bucket/k?tagging")
        self.assertEqual((answer.status, values(answer, "TagSet")), (200, [""]))
        self.refused(await self.s3.call("GET", "/bucket/k?legal-hold"), 400, "InvalidRequest")
        self.refused(await self.s3.call("GET", "/bucket/x?tagging"), 404, "NoSuchKey")

    async def test_encryption_and_classes(self) -> None:
        await self.s3.make("bucket")
        for headers, status, code in (
            ({"x-amz-server-side-encryption": "AES256"}, 501, "NotImplemented"),
            ({"x-amz-storage-class": "GLACIER"}, 400, "InvalidStorageClass"),
            ({"x-amz-acl": "public-read"}, 501, "NotImplemented"),
        ):
            self.refused(await self.s3.call("PUT", "/bucket/k", headers, b"1"), status, code)
        self.assertEqual((await self.s3.call("PUT", "/bucket/k", {"x-amz-acl": "private"}, b"1")).status, 200)

    async def test_access_control_lists(self) -> None:
        await self.s3.make("bucket", k=b"1")
        for target in ("/bucket?acl", "/bucket/k?acl"):
            shown = await self.s3.call("GET", target)
            self.assertEqual(values(shown, "AccessControlList/Grant/Permission"), ["FULL_CONTROL"])
            self.assertEqual((await self.s3.call("PUT", target, {"x-amz-acl": "private"})).status, 200)
            self.assertEqual((await self.s3.call("PUT", target, body=shown.body)).status, 200)
            other = shown.body.replace(b"FULL_CONTROL", b"READ")
            self.refused(await self.s3.call("PUT", target, body=other), 501, "NotImplemented")
            self.refused(await self.s3.call("PUT", target, {"x-amz-acl": "public-read"}), 501, "NotImplemented")
        self.assertEqual(error_code(await self.s3.call("GET", "/bucket/x?acl")), "NoSuchKey")
