"""Containers and their listings."""

from __future__ import annotations

import json
from xml.etree import ElementTree

from .face import FaceCase


class ContainerTests(FaceCase):
    async def test_life(self) -> None:
        """Created 201, again 202, deleted 204, then 404; one with objects stays (409)."""
        path = f"{self.account}/c"
        self.assertEqual((await self.ask("PUT", path)).status, 201)
        self.assertEqual((await self.ask("PUT", path)).status, 202)
        await self.put_object("c", "o", b"x")
        answer = await self.ask("DELETE", path)
        self.assertEqual(answer.status, 409)
        self.assertIn(b"There was a conflict", answer.body)
        await self.ask("DELETE", f"{path}/o")
        self.assertEqual((await self.ask("DELETE", path)).status, 204)
        for method in ("GET", "HEAD", "POST", "DELETE"):
            self.assertEqual((await self.ask(method, path)).status, 404, method)

    async def test_head(self) -> None:
        """Counts, policy and dates."""
        await self.put_object("c", "o", b"12345")
        answer = await self.ask("HEAD", f"{self.account}/c")
        self.assertEqual((answer.status, answer.body), (204, b""))
        for name, value in (
            ("x-container-object-count", "1"),
            ("x-container-bytes-used", "5"),
            ("x-storage-policy", "Policy-0"),
            ("accept-ranges", "bytes"),
            ("content-type", "text/plain; charset=utf-8"),
        ):
            self.assertEqual(answer.header(name), value, name)
        self.assertTrue(answer.header("last-modified").endswith(" GMT"))

    async def test_metadata(self) -> None:
        """PUT and POST add, the remove header and an empty value take away."""
        path = f"{self.account}/c"
        await self.ask("PUT", path, {"x-container-meta-a": "1", "x-container-meta-b": "2"})
        await self.ask("PUT", path, {"x-container-meta-c": "3"})
        self.assertEqual(
            (await self.ask("POST", path, {"x-remove-container-meta-a": "x", "x-container-meta-b": ""})).status, 204
        )
        answer = await self.ask("HEAD", path)
        self.assertEqual(answer.header("x-container-meta-c"), "3")
        self.assertNotIn("x-container-meta-a", answer.headers)
        self.assertNotIn("x-container-meta-b", answer.headers)

    async def test_bad_values(self) -> None:
        """Bad ACLs, policies, names and metadata are 400 and create nothing."""
        path = f"{self.account}/c"
        for headers in (
            {"x-container-read": ".unknown:x"},
            {"x-container-write": ".r:*"},
            {"x-storage-policy": "gold"},
            {"x-container-meta-" + "n" * 129: "1"},
            {"x-container-meta-a": b"\xff"},
        ):
            self.assertEqual((await self.ask("PUT", path, headers)).status, 400, headers)
        self.assertEqual((await self.ask("PUT", path + "x" * 256)).status, 400)
        self.assertEqual((await self.ask("PUT", f"{self.account}/%00")).status, 412)
        self.assertEqual((await self.ask("HEAD", self.account)).header("x-account-container-count"), "0")
        self.assertEqual((await self.ask("PUT", f"{self.account}/{'x' * 256}")).status, 201)

    async def test_dots(self) -> None:
        """Two dots are a name like any other."""
        self.assertEqual((await self.ask("PUT", f"{self.account}/%2e%2e")).status, 201)
        self.assertEqual((await self.ask("PUT", f"{self.account}/../..%2Fetc", body=b"x")).status, 201)
        self.assertEqual(await self.names(".."), ["../etc"])


class ListingTests(FaceCase):
    names_there = ("a b+c%25", "dir/1", "dir/2", "ä&<>\"'")

    async def fill(self) -> None:
        await self.put_container("c")
        for name in self.names_there:
            await self.put_object("c", name, b"x")

    async def test_formats(self) -> None:
        """Text, JSON and XML say the same; ``Accept`` chooses where ``format`` does not."""
        await self.fill()
        path = f"{self.account}/c"
        text = await self.ask("GET", path)
        self.assertEqual(text.body.decode().splitlines(), sorted(self.names_there, key=str.encode))
        self.assertEqual(text.header("content-type"), "text/plain; charset=utf-8")
        self.assertEqual(text.header("vary"), "Accept")
        answer = await self.ask("GET", f"{path}?format=json")
        self.assertNotIn("vary", answer.headers)
        rows = json.loads(answer.body)
        self.assertEqual([row["name"] for row in rows], text.body.decode().splitlines())
        self.assertRegex(rows[0]["last_modified"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$")
        answer = await self.ask("GET", path, {"accept": "application/xml"})
        self.assertEqual(answer.header("content-type"), "application/xml; charset=utf-8")
        names = [element.findtext("name") for element in ElementTree.fromstring(answer.body)]
        self.assertEqual(names, [row["name"] for row in rows])
        self.assertEqual((await self.ask("GET", path, {"accept": "image/png"})).status, 406)

    async def test_empty(self) -> None:
        """An empty text listing is 204, an empty JSON one is a document."""
        await self.put_container("c")
        self.assertEqual((await self.ask("GET", f"{self.account}/c")).status, 204)
        self.assertEqual((await self.ask("GET", f"{self.account}/c?format=json")).body, b"[]")

    async def test_delimiter(self) -> None:
        """Names below a delimiter are rolled up; a marker that is a prefix skips what is below it."""
        await self.fill()
        path = f"{self.account}/c?format=json&delimiter=%2F"
        rows = json.loads((await self.ask("GET", path)).body)
        self.assertIn({"subdir": "dir/"}, rows)
        self.assertEqual(len(rows), 3)
        rows = json.loads((await self.ask("GET", f"{path}&marker=dir/&prefix=dir")).body)
        self.assertEqual(rows, [])
        rows = json.loads((await self.ask("GET", f"{path}&prefix=dir/")).body)
        self.assertEqual([row["name"] for row in rows], ["dir/1", "dir/2"])

    async def test_paging(self) -> None:
        """Pages by marker give every name once, forwards and backwards."""
        await self.fill()
        expected = sorted(self.names_there, key=str.encode)
        for reverse in ("false", "true"):
            found: list[str] = []
            while True:
                query = f"limit=2&reverse={reverse}&marker={self.quoted(found[-1] if found else '')}"
                page = (await self.ask("GET", f"{self.account}/c?{query}")).body.decode().splitlines()
                if not page:
                    break
                found += page
            self.assertEqual(found, expected if reverse == "false" else expected[::-1])

    async def test_bad_values(self) -> None:
        """Limits and texts that Swift refuses."""
        await self.put_container("c")
        for query, status in (
            ("limit=10001", 412),
            ("limit=abc", 204),
            ("limit=-1", 204),
            ("marker=%ff", 400),
            ("prefix=%ff", 400),
            ("path=x", 501),
        ):
            self.assertEqual((await self.ask("GET", f"{self.account}/c?{query}")).status, status, query)

    async def test_long(self) -> None:
        """A long listing, which is written in a thread, is the same."""
        await self.put_container("c")
        upload = await self.store.receive({})
        await self.store.put_object(
            self.account_name, "c", "0000", upload, etag="e", content_type="text/plain", metadata={}
        )
        facts = await self.store.object(self.account_name, "c", "0000")
        for number in range(1, 600):
            await self.store.copy_object(
                facts, self.account_name, "c", f"{number:04}", content_type="text/plain", metadata={}
            )
        self.assertEqual(await self.names("c"), [f"{number:04}" for number in range(600)])
