"""GET and HEAD of objects."""

from __future__ import annotations

from email import message_from_bytes
from hashlib import md5

from .face import FaceCase

DATA = bytes(range(256)) * 8


class ReadTests(FaceCase):
    async def prepare(self) -> None:
        await self.put_object("c", "o", DATA, {"content-type": "text/plain", "x-object-meta-a": "1"})
        self.path = f"{self.account}/c/o"
        self.etag = md5(DATA).hexdigest()

    async def test_whole(self) -> None:
        """Headers as Swift sends them, the entity tag without quotes; HEAD gives the same without data."""
        answer = await self.ask("GET", self.path)
        self.assertEqual((answer.status, answer.body), (200, DATA))
        for name, value in (
            ("etag", self.etag),
            ("accept-ranges", "bytes"),
            ("content-type", "text/plain"),
            ("content-length", str(len(DATA))),
            ("x-object-meta-a", "1"),
        ):
            self.assertEqual(answer.header(name), value, name)
        self.assertRegex(answer.header("x-timestamp"), r"^\d{10}\.\d{5}$")
        head = await self.ask("HEAD", self.path)
        self.assertEqual((head.status, head.body), (200, b""))
        varying = {"date", "x-trans-id", "x-openstack-request-id"}
        self.assertEqual(
            {name: value for name, value in head.headers.items() if name not in varying},
            {name: value for name, value in answer.headers.items() if name not in varying},
        )

    async def test_empty(self) -> None:
        """An empty object has an empty body, whatever range is asked for."""
        await self.put_object("c", "empty", b"")
        for headers in ({}, {"range": "bytes=-5"}):
            answer = await self.ask("GET", f"{self.account}/c/empty", headers)
            self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual((await self.ask("GET", f"{self.account}/c/empty", {"range": "bytes=0-"})).status, 416)

    async def test_absent(self) -> None:
        """404 with Swift's page; no body for HEAD."""
        for path in (f"{self.account}/c/none", f"{self.account}/none/o"):
            answer = await self.ask("GET", path)
            self.assertEqual(answer.status, 404)
            self.assertIn(b"<html><h1>Not Found</h1><p>The resource could not be found.</p>", answer.body)
            self.assertEqual((await self.ask("HEAD", path)).body, b"")

    async def test_one_range(self) -> None:
        """First bytes, middle, last bytes, beyond the end."""
        for value, start, stop in (
            ("bytes=0-0", 0, 1),
            ("bytes=10-19", 10, 20),
            ("bytes=2000-", 2000, 2048),
            ("bytes=-8", 2040, 2048),
            ("bytes=2040-9999999", 2040, 2048),
            ("bytes=-99999", 0, 2048),
        ):
            answer = await self.ask("GET", self.path, {"range": value})
            self.assertEqual((answer.status, answer.body), (206, DATA[start:stop]), value)
            self.assertEqual(answer.header("content-range"), f"bytes {start}-{stop - 1}/2048")
            self.assertEqual(answer.header("content-length"), str(stop - start))

    async def test_several_ranges(self) -> None:
        """A multipart answer whose declared length is right and whose parts are the bytes asked for."""
        answer = await self.ask("GET", self.path, {"range": "bytes=0-4,10-19,-3"})
        self.assertEqual(answer.status, 206)
        self.assertEqual(int(answer.header("content-length")), len(answer.body))
        head = f"Content-Type: {answer.header('content-type')}\r\n\r\n".encode()
        parts = list(message_from_bytes(head + answer.body).walk())[1:]
        self.assertEqual(
            [part["Content-Range"] for part in parts],
            ["bytes 0-4/2048", "bytes 10-19/2048", "bytes 2045-2047/2048"],
        )
        for piece in (DATA[0:5], DATA[10:20], DATA[-3:]):
            self.assertIn(b"\r\n\r\n" + piece + b"\r\n--", answer.body)

    async def test_bad_ranges(self) -> None:
        """None satisfiable or made to hurt: 416 with the size; no range at all: the whole object."""
        hostile = "bytes=" + ",".join("0-" for _ in range(30))
        for value in ("bytes=2048-", "bytes=-0", "bytes=9999-10000", hostile):
            answer = await self.ask("GET", self.path, {"range": value})
            self.assertEqual(answer.status, 416, value)
            self.assertEqual(answer.header("content-range"), "bytes */2048")
        for value in ("bytes=", "bytes=a-b", "lines=1-2", "bytes=5-1", "0-4"):
            self.assertEqual((await self.ask("GET", self.path, {"range": value})).status, 200, value)

    async def test_conditions(self) -> None:
        """304 and 412 by tag and by date."""
        modified = (await self.ask("HEAD", self.path)).header("last-modified")
        old = "Thu, 01 Jan 1998 00:00:00 GMT"
        for headers, status in (
            ({"if-none-match": f'"{self.etag}"'}, 304),
            ({"if-none-match": self.etag}, 304),
            ({"if-none-match": "*"}, 304),
            ({"if-none-match": '"other"'}, 200),
            ({"if-match": self.etag}, 200),
            ({"if-match": '"other"'}, 412),
            ({"if-modified-since": modified}, 304),
            ({"if-modified-since": old}, 200),
            ({"if-unmodified-since": modified}, 200),
            ({"if-unmodified-since": old}, 412),
            ({"if-modified-since": "nonsense"}, 200),
        ):
            for method in ("GET", "HEAD"):
                answer = await self.ask(method, self.path, headers)
                self.assertEqual(answer.status, status, (method, headers))
                if status == 304:
                    self.assertEqual((answer.body, answer.header("etag")), (b"", self.etag))

    async def test_if_range(self) -> None:
        """A range of another version gives the whole of this one."""
        right = {"range": "bytes=0-1", "if-range": f'"{self.etag}"'}
        self.assertEqual((await self.ask("GET", self.path, right)).status, 206)
        wrong = {"range": "bytes=0-1", "if-range": '"other"'}
        self.assertEqual((await self.ask("GET", self.path, wrong)).status, 200)

    async def test_closed_in_every_path(self) -> None:
        """No descriptor stays open after an answer, a 304, a 416, or a client that left."""
        for headers in ({}, {"if-none-match": "*"}, {"range": "bytes=9999-"}, {"if-match": '"x"'}):
            await self.ask("GET", self.path, headers)
        await self.put_object("c", "large", b"x" * 3_000_000)
        await self.leave("GET", f"{self.account}/c/large")
        self.assert_nothing_left()
        self.assertEqual(self.open_readings(), 0)

    async def test_client_left_while_opening(self) -> None:
        """A reading that opens after its client has left is closed."""
        gate = self.delay("open")
        await self.leave("GET", self.path)
        gate.callback(None)
        self.assertEqual(self.open_readings(), 0)


class LargeObjectTests(FaceCase):
    """Dynamic large objects: a manifest stands for all objects below a prefix."""

    async def prepare(self) -> None:
        for number, piece in enumerate((b"first-", b"second-", b"", b"third")):
            await self.put_object("parts", f"big/{number}", piece)
        await self.put_container("c")
        self.path = f"{self.account}/c/big"
        self.whole = b"first-second-third"
        headers = {"x-object-manifest": "parts/big%2F", "content-type": "text/plain"}
        self.made = await self.ask("PUT", self.path, headers, body=b"", chunked=True)

    async def test_joined(self) -> None:
        """GET and HEAD show the joined object; its tag is that of the segments' tags, in quotes."""
        self.assertEqual(self.made.status, 201)
        answer = await self.ask("GET", self.path)
        self.assertEqual((answer.status, answer.body), (200, self.whole))
        tags = "".join(md5(piece).hexdigest() for piece in (b"first-", b"second-", b"", b"third"))
        self.assertEqual(answer.header("etag"), f'"{md5(tags.encode()).hexdigest()}"')
        self.assertEqual(answer.header("x-object-manifest"), "parts/big%2F")
        head = await self.ask("HEAD", self.path)
        self.assertEqual(head.header("content-length"), str(len(self.whole)))
        self.assertEqual(head.header("etag"), answer.header("etag"))

    async def test_ranges(self) -> None:
        """Every range of it is right, across the segments' ends."""
        for start in range(len(self.whole)):
            for stop in range(start, len(self.whole)):
                answer = await self.ask("GET", self.path, {"range": f"bytes={start}-{stop}"})
                self.assertEqual((answer.status, answer.body), (206, self.whole[start : stop + 1]))

    async def test_conditions(self) -> None:
        """Conditions judge the joined tag."""
        etag = (await self.ask("HEAD", self.path)).header("etag")
        self.assertEqual((await self.ask("GET", self.path, {"if-none-match": etag})).status, 304)
        self.assertEqual((await self.ask("GET", self.path, {"if-match": md5(b"").hexdigest()})).status, 412)

    async def test_grows(self) -> None:
        """It is what the prefix holds now."""
        await self.put_object("parts", "big/9", b"!")
        self.assertEqual((await self.ask("GET", self.path)).body, self.whole + b"!")

    async def test_manifest_itself(self) -> None:
        """The manifest can be asked for, and a POST without the header makes it a plain object."""
        answer = await self.ask("GET", f"{self.path}?multipart-manifest=get")
        self.assertEqual((answer.body, answer.header("x-object-manifest")), (b"", "parts/big%2F"))
        await self.ask("POST", self.path, {"x-object-manifest": "parts/big/"})
        self.assertEqual((await self.ask("GET", self.path)).body, self.whole)
        await self.ask("POST", self.path)
        self.assertEqual((await self.ask("GET", self.path)).body, b"")

    async def test_bad_manifests(self) -> None:
        """Anything but ``container/prefix`` is 400."""
        for value in ("parts", "parts/", "/", "", "parts/a?b", "parts//x", "parts/%ff"):
            headers = {"x-object-manifest": value}
            answer = await self.ask("PUT", f"{self.account}/c/bad", headers, body=b"")
            self.assertIn(answer.status, (400, 412) if value else (201,), value)

    async def test_rights(self) -> None:
        """Who may read the manifest but not the segments gets nothing of them."""
        await self.ask("POST", f"{self.account}/c", {"x-container-read": ".r:*"})
        self.assertEqual((await self.ask("GET", self.path, token=None)).status, 401)
        await self.ask("POST", f"{self.account}/parts", {"x-container-read": ".r:*"})
        self.assertEqual((await self.ask("GET", self.path, token=None)).body, self.whole)

    async def test_no_segments(self) -> None:
        """A manifest of a container that is gone is 404, of an empty prefix an empty object."""
        for value, status in (("none/x", 404), ("parts/none", 200)):
            await self.ask("PUT", f"{self.account}/c/m", {"x-object-manifest": value}, body=b"")
            self.assertEqual((await self.ask("GET", f"{self.account}/c/m")).status, status)

    async def test_changed_meanwhile(self) -> None:
        """A segment replaced during the answer breaks it off; nothing wrong is sent as right."""

        async def meanwhile() -> None:
            await self.put_object("parts", "big/1", b"SECOND-")

        self.before("open", meanwhile, skip=2)
        answer = await self.ask("GET", self.path)
        self.assertTrue(answer.broken)
        self.assertEqual(answer.body, b"first-")
        self.flushLoggedErrors()
        self.assertEqual(self.open_readings(), 0)

    async def test_copied(self) -> None:
        """A copy is one plain object; with ``multipart-manifest=get`` it is the manifest."""
        answer = await self.ask("COPY", self.path, {"destination": "c/plain"})
        self.assertEqual(answer.status, 201)
        self.assertEqual(answer.header("etag"), md5(self.whole).hexdigest())
        plain = await self.ask("GET", f"{self.account}/c/plain")
        self.assertEqual(plain.body, self.whole)
        self.assertNotIn("x-object-manifest", plain.headers)
        self.assertEqual(plain.header("content-type"), "text/plain")
        await self.ask("COPY", f"{self.path}?multipart-manifest=get", {"destination": "c/manifest"})
        self.assertEqual((await self.ask("GET", f"{self.account}/c/manifest")).body, self.whole)
        facts = await self.store.object(self.account_name, "c", "manifest")
        self.assertEqual(facts.size, 0)
        self.assert_nothing_left()
