"""PUT, POST and DELETE of objects."""

from __future__ import annotations

from hashlib import md5

from storage import StoreFull
from tests.http_client import request_bytes

from .face import ALICE, FaceCase


class PutTests(FaceCase):
    async def prepare(self) -> None:
        await self.put_container("c")
        self.path = f"{self.account}/c/o"

    async def test_stored(self) -> None:
        """The answer names the MD5, unquoted, and the date that a HEAD gives too."""
        answer = await self.ask("PUT", self.path, {"x-object-meta-mtime": "1.5"}, body=b"data")
        self.assertEqual((answer.status, answer.body), (201, b""))
        self.assertEqual(answer.header("etag"), md5(b"data").hexdigest())
        head = await self.ask("HEAD", self.path)
        self.assertEqual(head.header("last-modified"), answer.header("last-modified"))
        self.assertEqual(head.header("x-object-meta-mtime"), "1.5")
        self.assertEqual((await self.ask("GET", self.path)).body, b"data")

    async def test_chunked(self) -> None:
        """A body of no declared length is stored alike, an empty one too."""
        for body in (b"x" * 100_000, b""):
            answer = await self.ask("PUT", self.path, body=body, chunked=True)
            self.assertEqual(answer.status, 201)
            self.assertEqual((await self.ask("GET", self.path)).body, body)

    async def test_content_type(self) -> None:
        """Sent, guessed from the name, or by default; detection can be asked for."""
        for name, headers, expected in (
            ("a.html", {}, "text/html"),
            ("a.html", {"content-type": "text/x-own; charset=utf-8"}, "text/x-own; charset=utf-8"),
            ("a.html", {"content-type": "text/x-own", "x-detect-content-type": "true"}, "text/html"),
            ("noidea", {}, "application/octet-stream"),
            ("data:text/html,x", {}, "application/octet-stream"),
        ):
            path = f"{self.account}/c/{self.quoted(name)}"
            self.assertEqual((await self.ask("PUT", path, headers, body=b"")).status, 201)
            self.assertEqual((await self.ask("HEAD", path)).header("content-type"), expected, name)
        bad = {"content-type": "text/plain; swift_bytes=5"}
        self.assertEqual((await self.ask("PUT", self.path, bad, body=b"")).status, 400)

    async def test_headers_kept(self) -> None:
        """The headers that Swift keeps come back."""
        headers = {"content-encoding": "gzip", "content-disposition": "attachment", "cache-control": "no-store"}
        await self.ask("PUT", self.path, headers, body=b"x")
        answer = await self.ask("GET", self.path)
        for name, value in headers.items():
            self.assertEqual(answer.header(name), value)

    async def test_checked_digest(self) -> None:
        """A right MD5 is taken, quoted or not; a wrong one is 422 and the earlier data stays."""
        right = md5(b"data").hexdigest()
        for value in (right, f'"{right}"', right.upper()):
            self.assertEqual((await self.ask("PUT", self.path, {"etag": value}, body=b"data")).status, 201)
        answer = await self.ask("PUT", self.path, {"etag": "0" * 32}, body=b"other")
        self.assertEqual(answer.status, 422)
        self.assertIn(b"Unable to process the contained instructions", answer.body)
        self.assertEqual((await self.ask("GET", self.path)).body, b"data")
        self.assert_nothing_left()

    async def test_refused_before_the_body(self) -> None:
        """Rights, container, names and headers are checked before a byte of the body is asked for."""
        for path, headers, token, status in (
            (f"{self.account}/none/o", {}, "alice", 404),
            (self.path, {}, None, 401),
            (self.path, {}, "bob", 403),
            (f"{self.account}/c/{'x' * 1025}", {}, "alice", 400),
            (self.path, {"x-object-meta-a": "v" * 257}, "alice", 400),
            (self.path, {"if-none-match": '"abc"'}, "alice", 400),
        ):
            large = {**headers, "content-length": "1000000", "expect": "100-continue"}
            answer = await self.ask("PUT", path, large, token=token)
            self.assertEqual(answer.status, status, path)
            self.assertFalse(answer.continued)

    async def test_length(self) -> None:
        """No length is 411; beyond the greatest object is 413, declared or found out."""
        self.assertEqual((await self.ask("PUT", self.path)).status, 411)
        headers = {"content-length": str(self.max_object_bytes + 1)}
        self.assertEqual((await self.ask("PUT", self.path, headers)).status, 413)
        headers = {"content-length": "10000000000000"}
        self.assertEqual((await self.ask("PUT", self.path, headers)).status, 413)
        answer = await self.ask("PUT", self.path, body=b"x" * (self.max_object_bytes + 1), chunked=True)
        self.assertEqual(answer.status, 413)
        self.assertEqual(await self.names("c"), [])
        self.assert_nothing_left()

    async def test_truncated(self) -> None:
        """A client that leaves in the middle of the body leaves nothing behind."""
        await self.leave("PUT", self.path, {"content-length": "1000"}, body=b"ten bytes.")
        self.assertEqual(await self.names("c"), [])
        self.assert_nothing_left()
        await self.ask("PUT", self.path, body=b"whole")
        await self.leave("PUT", self.path, {"content-length": "1000"}, body=b"ten bytes.")
        self.assertEqual((await self.ask("GET", self.path)).body, b"whole")
        self.assert_nothing_left()

    async def test_half_closed(self) -> None:
        """A client that ends its side too early and still listens is told."""
        answer = await self.ask("PUT", self.path, {"content-length": "1000"}, body=b"ten bytes.", half_close=True)
        self.assertIn(answer.status, (499, 408))

    async def test_silent(self) -> None:
        """A client that falls silent within its body is told 408."""
        connection = self.http.connect()
        head = request_bytes("PUT", self.path, headers={"x-auth-token": ALICE, "content-length": "1000"})
        connection.send(head + b"ten bytes.")
        for _ in range(200):
            self.http.clock.advance(1)
        answer = await connection.answer()
        self.assertEqual(answer.status, 408)
        self.assertIn(b"nothing of the body came for 120 s", answer.body)
        self.assertEqual(await self.names("c"), [])
        self.assert_nothing_left()

    async def test_full(self) -> None:
        """A full disk is 507 at each stage, and the earlier data stays."""
        await self.ask("PUT", self.path, body=b"before")
        for method in ("receive", "put_object"):
            with self.failing(method, StoreFull("full")):
                answer = await self.ask("PUT", self.path, body=b"after")
            self.assertEqual(answer.status, 507, method)
            self.assertIn(b"not enough space", answer.body)
        self.uploads.clear()  # the store discards what put_object refuses; the stand-in for it does not
        self.patch(self.store, "_capacity", 20)
        for chunked in (False, True):
            answer = await self.ask("PUT", self.path, body=b"x" * 100, chunked=chunked)
            self.assertEqual(answer.status, 507, chunked)
        self.assertEqual((await self.ask("GET", self.path)).body, b"before")
        self.assert_nothing_left()

    async def test_only_if_new(self) -> None:
        """``If-None-Match: *`` and ``If-Match`` hold inside the write, too."""
        self.assertEqual((await self.ask("PUT", self.path, {"if-none-match": "*"}, body=b"1")).status, 201)
        self.assertEqual((await self.ask("PUT", self.path, {"if-none-match": "*"}, body=b"2")).status, 412)
        etag = md5(b"1").hexdigest()
        self.assertEqual((await self.ask("PUT", self.path, {"if-match": f'"{etag}"'}, body=b"3")).status, 201)
        self.assertEqual((await self.ask("PUT", self.path, {"if-match": f'"{etag}"'}, body=b"4")).status, 412)
        self.assertEqual((await self.ask("GET", self.path)).body, b"3")

        async def meanwhile() -> None:
            await self.put_object("c", "new", b"other's")

        self.before("put_object", meanwhile)
        answer = await self.ask("PUT", f"{self.account}/c/new", {"if-none-match": "*"}, body=b"mine")
        self.assertEqual(answer.status, 412)
        self.assertEqual((await self.ask("GET", f"{self.account}/c/new")).body, b"other's")
        self.assert_nothing_left()

    async def test_awkward_names(self) -> None:
        """Names come back as they were sent, decoded exactly once."""
        names = ["a b", "a+b", "100%", "%25", "ä/ö", "../../etc/passwd", "a//b", "dir/", "?q#f", "\x01\n"]
        for name in names:
            path = f"{self.account}/c/{self.quoted(name)}"
            self.assertEqual((await self.ask("PUT", path, body=name.encode())).status, 201, name)
        for name in names:
            self.assertEqual((await self.ask("GET", f"{self.account}/c/{self.quoted(name)}")).body, name.encode())
        self.assertEqual(sorted(await self.names("c")), sorted(names))


class PostAndDeleteTests(FaceCase):
    async def prepare(self) -> None:
        await self.put_object("c", "o.txt", b"data", {"x-object-meta-a": "1", "content-encoding": "x"})
        self.path = f"{self.account}/c/o.txt"

    async def test_post_replaces(self) -> None:
        """All metadata is replaced; data, entity tag and content type stay."""
        before = await self.ask("HEAD", self.path)
        answer = await self.ask("POST", self.path, {"x-object-meta-b": "2"})
        self.assertEqual(answer.status, 202)
        self.assertIn(b"The request is accepted for processing.", answer.body)
        after = await self.ask("GET", self.path)
        self.assertEqual((after.body, after.header("etag")), (b"data", before.header("etag")))
        self.assertEqual(after.header("content-type"), "text/plain")
        self.assertEqual(after.header("x-object-meta-b"), "2")
        self.assertNotIn("x-object-meta-a", after.headers)
        self.assertNotIn("content-encoding", after.headers)

    async def test_post_content_type(self) -> None:
        """A content type that is sent is taken over."""
        await self.ask("POST", self.path, {"content-type": "text/x-new"})
        self.assertEqual((await self.ask("HEAD", self.path)).header("content-type"), "text/x-new")

    async def test_post_keeps_what_s3_knows(self) -> None:
        """Checksums of the data are the other face's and outlive a POST."""
        await self.store.update_object(
            self.account_name, "c", "o.txt", content_type=None, metadata={"checksum:crc32": "AAAA", "meta:a": "1"}
        )
        await self.ask("POST", self.path, {"x-object-meta-b": "2"})
        facts = await self.store.object(self.account_name, "c", "o.txt")
        self.assertEqual(facts.metadata, {"checksum:crc32": "AAAA", "meta:b": "2"})

    async def test_absent(self) -> None:
        """What is not there is 404."""
        for method in ("POST", "DELETE"):
            for path in (f"{self.account}/c/none", f"{self.account}/none/o"):
                self.assertEqual((await self.ask(method, path)).status, 404)

    async def test_delete(self) -> None:
        """Deleted 204, then gone."""
        answer = await self.ask("DELETE", self.path)
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual((await self.ask("GET", self.path)).status, 404)
        self.assertEqual((await self.ask("DELETE", self.path)).status, 404)
        self.assertEqual(await self.names("c"), [])

    async def test_conditional_delete(self) -> None:
        """A delete for another version is refused."""
        self.assertEqual((await self.ask("DELETE", self.path, {"if-match": '"other"'})).status, 412)
        self.assertEqual((await self.ask("GET", self.path)).status, 200)
