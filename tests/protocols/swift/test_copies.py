"""COPY, and PUT with X-Copy-From."""

from __future__ import annotations

from storage import NoSuchObject

from .face import ADMIN, BOB, FaceCase


class CopyTests(FaceCase):
    async def prepare(self) -> None:
        headers = {"content-type": "text/x-a", "x-object-meta-a": "1", "content-encoding": "x"}
        await self.put_object("c", "o %", b"data", headers)
        await self.put_container("d")
        self.path = f"{self.account}/c/{self.quoted('o %')}"

    async def test_both_ways(self) -> None:
        """Both calls copy data, type and metadata, merge what is sent, and say where it came from."""
        one = await self.ask("COPY", self.path, {"destination": "/d/c%20%2520", "x-object-meta-b": "2"})
        headers = {"x-copy-from": "c/o%20%25", "x-object-meta-b": "2", "content-length": "0"}
        two = await self.ask("PUT", f"{self.account}/d/two", headers)
        for answer, name in ((one, "c %20"), (two, "two")):
            self.assertEqual(answer.status, 201)
            self.assertEqual(answer.header("x-copied-from"), "c/o%20%25")
            self.assertEqual(answer.header("x-copied-from-account"), "AUTH_p1")
            self.assertTrue(answer.header("x-copied-from-last-modified"))
            copy = await self.ask("GET", f"{self.account}/d/{self.quoted(name)}")
            self.assertEqual((copy.body, copy.header("etag")), (b"data", answer.header("etag")))
            self.assertEqual(copy.header("content-type"), "text/x-a")
            self.assertEqual(copy.header("content-encoding"), "x")
            self.assertEqual((copy.header("x-object-meta-a"), copy.header("x-object-meta-b")), ("1", "2"))

    async def test_fresh_metadata(self) -> None:
        """With fresh metadata only what is sent counts; a sent content type wins always."""
        headers = {"destination": "d/o", "x-fresh-metadata": "true", "content-type": "text/x-b"}
        await self.ask("COPY", self.path, headers)
        copy = await self.ask("HEAD", f"{self.account}/d/o")
        self.assertEqual(copy.header("content-type"), "text/x-b")
        self.assertNotIn("x-object-meta-a", copy.headers)

    async def test_removed_metadata(self) -> None:
        """A key can be left out of the copy."""
        await self.ask("COPY", self.path, {"destination": "d/o", "x-remove-object-meta-a": "x"})
        self.assertNotIn("x-object-meta-a", (await self.ask("HEAD", f"{self.account}/d/o")).headers)

    async def test_onto_itself(self) -> None:
        """A copy onto itself changes its metadata."""
        await self.ask("COPY", self.path, {"destination": "c/o%20%25", "x-object-meta-a": "9"})
        answer = await self.ask("GET", self.path)
        self.assertEqual((answer.body, answer.header("x-object-meta-a")), (b"data", "9"))

    async def test_refused(self) -> None:
        """Missing things and malformed headers, each with its status; nothing is written."""
        for method, path, headers, status in (
            ("COPY", self.path, {}, 412),
            ("COPY", self.path, {"destination": "d"}, 412),
            ("COPY", self.path, {"destination": "none/o"}, 404),
            ("COPY", f"{self.account}/c/none", {"destination": "d/o"}, 404),
            ("COPY", self.path, {"destination": "d/" + "x" * 1025}, 400),
            ("COPY", self.path, {"destination": "d/o", "if-match": '"other"'}, 412),
            ("COPY", self.path, {"destination": "d/o", "destination-account": "a/b"}, 400),
            ("PUT", f"{self.account}/d/o", {"x-copy-from": "c", "content-length": "0"}, 412),
            ("PUT", f"{self.account}/d/o", {"x-copy-from": "c/o%20%25", "content-length": "5"}, 400),
            ("PUT", f"{self.account}/d/o", {"x-copy-from": "c/none", "content-length": "0"}, 404),
        ):
            answer = await self.ask(method, path, headers)
            self.assertEqual(answer.status, status, (method, path, headers))
        self.assertEqual(await self.names("d"), [])

    async def test_destination_taken(self) -> None:
        """``If-None-Match: *`` guards the destination."""
        headers = {"destination": "d/o", "if-none-match": "*"}
        self.assertEqual((await self.ask("COPY", self.path, headers)).status, 201)
        self.assertEqual((await self.ask("COPY", self.path, headers)).status, 412)

    async def test_between_accounts(self) -> None:
        """Another account's container is copied to and from by those who may."""
        await self.store.create_container("AUTH_p2", "e", {})
        headers = {"destination": "e/o", "destination-account": "AUTH_p2"}
        self.assertEqual((await self.ask("COPY", self.path, headers)).status, 403)
        self.assertEqual((await self.ask("COPY", self.path, headers, token=BOB)).status, 403)
        self.assertEqual((await self.ask("COPY", self.path, headers, token=ADMIN)).status, 201)
        headers = {"x-copy-from": "e/o", "x-copy-from-account": "AUTH_p2", "content-length": "0"}
        self.assertEqual((await self.ask("PUT", f"{self.account}/d/back", headers)).status, 403)
        self.assertEqual((await self.ask("PUT", f"{self.account}/d/back", headers, token=ADMIN)).status, 201)

    async def test_source_replaced_meanwhile(self) -> None:
        """When the source's version goes, the new one is copied; when that never ends, it is a 404."""

        async def meanwhile() -> None:
            await self.put_object("c", "o %", b"newer", {"content-type": "text/x-new"})

        self.before("copy_object", meanwhile)
        await self.ask("COPY", self.path, {"destination": "d/o"})
        copy = await self.ask("GET", f"{self.account}/d/o")
        self.assertEqual((copy.body, copy.header("content-type")), (b"newer", "text/x-new"))
        with self.failing("copy_object", NoSuchObject()):
            self.assertEqual((await self.ask("COPY", self.path, {"destination": "d/o"})).status, 404)
