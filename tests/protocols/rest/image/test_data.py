"""The data of images: uploads, downloads, and what becomes of those that break off."""

from __future__ import annotations

import hashlib
import os

from tests.http_client import request_bytes
from tests.image.formats import qcow2
from tests.protocols.http.conversation import Conversation
from tests.protocols.test_moving import hear_with_moves, say_with_moves, talk_with

from .cloud import ALICE, BOB, FORMATS, MAX_BYTES, READER, ImageCase


class DataTests(ImageCase):
    async def test_there_and_back(self) -> None:
        """With checksums and sizes; a second upload is refused."""
        data = qcow2() + b"x" * 70_000
        image = await self.filled(data, disk_format="qcow2")
        self.assertEqual((image["status"], image["size"], image["virtual_size"]), ("active", len(data), 1 << 30))
        md5, sha = hashlib.md5(data, usedforsecurity=False).hexdigest(), hashlib.sha512(data).hexdigest()
        self.assertEqual((image["checksum"], image["os_hash_algo"], image["os_hash_value"]), (md5, "sha512", sha))
        answer = await self.call(READER, "GET", f"/images/{image['id']}/file")
        self.assertEqual((answer.status, answer.body), (200, data))
        self.assertEqual(answer.headers["content-type"], "application/octet-stream")
        self.assertEqual(answer.headers["content-md5"], md5)
        self.assertIn("from active to saving", await self.upload(409, image["id"], b"other"))

    async def test_parts(self) -> None:
        image = await self.filled(b"0123456789")
        path = f"/images/{image['id']}/file"
        answer = await self.call(ALICE, "GET", path, Range="bytes=2-4")
        self.assertEqual((answer.status, answer.body), (206, b"234"))
        self.assertEqual(answer.headers["content-range"], "bytes 2-4/10")
        self.assertNotIn("content-md5", answer.headers)
        await self.refused(416, ALICE, "GET", path, Range="bytes=10-")
        await self.refused(400, ALICE, "GET", path, Range="bytes=0-1,3-4")

    async def test_before_there_is_data(self) -> None:
        """Nothing to download, and nothing can come until the formats are known."""
        image = await self.made(disk_format="raw")
        self.assertEqual((await self.call(ALICE, "GET", f"/images/{image['id']}/file")).status, 204)
        self.assertIn("container_format must be set", await self.upload(400, image["id"], b"x"))
        answer = await self.call(ALICE, "PUT", f"/images/{image['id']}/file", body=b"x", Content_Type="text/plain")
        self.assertEqual(answer.status, 415)
        await self.refused(405, ALICE, "POST", f"/images/{image['id']}/file", {})

    async def test_unfit(self) -> None:
        """What is harmful, or something else than the image says, is not kept; another try is welcome."""
        image = await self.made(**{**FORMATS, "disk_format": "qcow2"})
        self.assertIn("backing file", await self.upload(400, image["id"], qcow2(backing=64)))
        self.assertIn("its data is raw", await self.upload(400, image["id"], b"no disk"))
        self.assertEqual((await self.good(200, ALICE, "GET", f"/images/{image['id']}"))["status"], "queued")
        await self.upload(204, image["id"], qcow2())

    async def test_too_long(self) -> None:
        image = await self.made(**FORMATS)
        await self.upload(413, image["id"], b"x" * (MAX_BYTES + 1))
        await self.upload(204, image["id"], b"x" * MAX_BYTES)

    async def test_deleted(self) -> None:
        """Its data goes with it."""
        image = await self.filled(b"data")
        self.assertEqual((await self.store.account(".images")).object_count, 1)
        await self.good(204, ALICE, "DELETE", f"/images/{image['id']}")
        self.assertEqual((await self.store.account(".images")).object_count, 0)

    async def test_others(self) -> None:
        """Who may not see an image may neither read nor write its data."""
        image = await self.filled(b"data")
        await self.refused(404, BOB, "GET", f"/images/{image['id']}/file")
        await self.upload(404, image["id"], b"x", BOB)
        queued = await self.made(**FORMATS)
        await self.upload(403, queued["id"], b"x", READER)


class MovingTests(ImageCase):
    """Requests for data that go on in another process, in the middle."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.data = os.urandom(300_000)
        self.image = await self.made(**FORMATS)
        self.path = f"/image/v2/images/{self.image['id']}/file"

    def talk(self) -> Conversation:
        return talk_with(self.client.site.handler, "api")

    def put(self) -> bytes:
        headers = [("X-Auth-Token", ALICE), ("Content-Type", "application/octet-stream")]
        return request_bytes("PUT", self.path, headers=headers, body=self.data)

    async def status(self) -> str:
        return str((await self.good(200, ALICE, "GET", f"/images/{self.image['id']}"))["status"])

    async def test_upload(self) -> None:
        """It is one upload, with the checksums of all of it."""
        heard = say_with_moves(self.talk(), self.put(), 70_000, lambda: None)
        self.assertEqual(heard[:12], b"HTTP/1.1 204", heard)
        shown = await self.good(200, ALICE, "GET", f"/images/{self.image['id']}")
        self.assertEqual((shown["status"], shown["size"]), ("active", len(self.data)))
        self.assertEqual(shown["os_hash_value"], hashlib.sha512(self.data).hexdigest())

    async def test_upload_of_a_deleted_image(self) -> None:
        """Found out where it ends; nothing is left."""
        conversation, message = self.talk(), self.put()
        conversation.say(message[:200_000])
        conversation.move()
        await self.good(204, ALICE, "DELETE", f"/images/{self.image['id']}")
        conversation.say(message[200_000:])
        self.assertEqual(conversation.heard[:12], b"HTTP/1.1 404", conversation.heard)
        self.assertEqual((await self.store.account(".images")).object_count, 0)

    async def test_download(self) -> None:
        """No byte twice, none left out."""
        await self.upload(204, self.image["id"], self.data)
        conversation = self.talk()
        conversation.say(request_bytes("GET", self.path, headers=[("X-Auth-Token", ALICE)]))
        answer, moves = hear_with_moves(conversation, lambda: None)
        self.assertGreater(moves, 1)
        self.assertEqual(answer[answer.index(b"\r\n\r\n") + 4 :], self.data)

    async def test_client_gone(self) -> None:
        """The image waits for data again."""
        conversation, message = self.talk(), self.put()
        conversation.say(message[:100_000])
        self.assertEqual(await self.status(), "saving")
        conversation.half_close()
        self.assertEqual(await self.status(), "queued")
