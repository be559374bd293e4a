"""Staging and imports over the API."""

from __future__ import annotations

import json
import os

from sqlalchemy import update

from cloudd.database.tables import task
from tests.http_client import request_bytes
from tests.protocols.test_moving import say_with_moves, talk_with

from .cloud import ALICE, BOB, FORMATS, READER, ImageCase

URL = "https://images.example.org/disk"


class ImportTests(ImageCase):
    sources = ("images.example.org",)

    async def staged(self, data: bytes = b"x") -> str:
        image = await self.made(**FORMATS)
        await self.stage(204, image["id"], data)
        return str(image["id"])

    async def stage(self, status: int, image_id: str, data: bytes, who: str = ALICE) -> str:
        answer = await self.call(
            who, "PUT", f"/images/{image_id}/stage", body=data, Content_Type="application/octet-stream"
        )
        self.assertEqual(answer.status, status, answer.text)
        return str(answer.json()["message"]) if answer.body else ""

    async def begin(self, status: int, image_id: str, method: str, who: str = ALICE, **more: object) -> str:
        path, document = f"/images/{image_id}/import", {"method": {"name": method, **more}}
        if status != 202:
            return await self.refused(status, who, "POST", path, document)
        await self.good(202, who, "POST", path, document)
        return ""

    async def status(self, image_id: str) -> str:
        return str((await self.good(200, ALICE, "GET", f"/images/{image_id}"))["status"])

    async def test_methods(self) -> None:
        """Told by name, and to whoever makes an image."""
        shown = await self.good(200, ALICE, "GET", "/info/import")
        self.assertEqual(shown["import-methods"]["value"], ["glance-direct", "web-download"])
        answer = await self.call(ALICE, "POST", "/images", FORMATS)
        self.assertEqual(answer.headers["openstack-image-import-methods"], "glance-direct,web-download")

    async def test_staged(self) -> None:
        """Staged data is nobody's to download, is imported once, and its task is told."""
        image_id = await self.staged()
        self.assertEqual(await self.status(image_id), "uploading")
        self.assertEqual((await self.call(ALICE, "GET", f"/images/{image_id}/file")).status, 204)
        await self.refused(405, ALICE, "GET", f"/images/{image_id}/stage")
        self.assertIn("uploading", await self.stage(409, image_id, b"y"))
        await self.begin(202, image_id, "glance-direct")
        shown = await self.good(200, ALICE, "GET", f"/images/{image_id}")
        (told,) = (await self.good(200, ALICE, "GET", f"/images/{image_id}/tasks"))["tasks"]
        self.assertEqual((shown["status"], shown["os_glance_import_task"]), ("importing", told["id"]))
        self.assertEqual((told["type"], told["status"], told["message"]), ("api_image_import", "pending", ""))
        self.assertEqual(told["input"]["import_req"], {"method": {"name": "glance-direct"}})
        self.assertIn("importing", await self.begin(409, image_id, "glance-direct"))

    async def test_download(self) -> None:
        """It begins where the host is allowed; why it has failed is told."""
        image_id = (await self.made(**FORMATS))["id"]
        self.assertIn("web_download_hosts", await self.begin(400, image_id, "web-download", uri="http://10.0.0.1/"))
        self.assertIn("user or password", await self.begin(400, image_id, "web-download", uri="http://a:b@x/"))
        await self.begin(202, image_id, "web-download", uri=URL)
        cause = "uri: it is answered with status 404."
        failed = update(task).values(state="failed", cause=cause, step_state=json.dumps({"told": cause}))
        await self.database.write(lambda connection: connection.execute(failed))
        (told,) = (await self.good(200, ALICE, "GET", f"/images/{image_id}/tasks"))["tasks"]
        self.assertEqual((told["status"], told["message"]), ("failure", "uri: it is answered with status 404."))
        self.assertEqual(told["input"]["import_req"]["method"]["uri"], URL)

    async def test_bad_requests(self) -> None:
        """Said by member."""
        image_id = (await self.made(**FORMATS))["id"]
        self.assertIn("uri", await self.begin(400, image_id, "web-download"))
        self.assertIn("uri", await self.begin(400, image_id, "glance-direct", uri=URL))
        self.assertIn("copy-image", await self.begin(400, image_id, "copy-image"))
        self.assertIn("stage its data", await self.begin(409, image_id, "glance-direct"))
        path = f"/images/{image_id}/import"
        self.assertIn(
            "stores", await self.refused(400, ALICE, "POST", path, {"method": {"name": "x"}, "stores": ["a"]})
        )
        self.assertIn("method is missing", await self.refused(400, ALICE, "POST", path, {}))

    async def test_others(self) -> None:
        """Who may not change an image imports nothing into it, and reads nothing of its imports."""
        image_id = await self.staged()
        await self.begin(404, image_id, "glance-direct", BOB)
        await self.begin(403, image_id, "glance-direct", READER)
        await self.stage(404, image_id, b"x", BOB)
        await self.refused(403, READER, "GET", f"/images/{image_id}/tasks")
        await self.refused(404, BOB, "GET", f"/images/{image_id}/tasks")

    async def test_goes_on_elsewhere(self) -> None:
        """Staging is one upload, in whichever process it ends; an origin that breaks off leaves nothing."""
        image_id, data = (await self.made(**FORMATS))["id"], os.urandom(200_000)
        headers = [("X-Auth-Token", ALICE), ("Content-Type", "application/octet-stream")]
        message = request_bytes("PUT", f"/image/v2/images/{image_id}/stage", headers=headers, body=data)
        broken = talk_with(self.client.site.handler, "api")
        broken.say(message[:100_000])
        self.assertIn("uploading", await self.begin(409, image_id, "glance-direct"))
        broken.half_close()
        self.assertEqual(await self.status(image_id), "queued")
        heard = say_with_moves(talk_with(self.client.site.handler, "api"), message, 70_000, lambda: None)
        self.assertEqual(heard[:12], b"HTTP/1.1 204", heard)
        self.assertEqual(await self.status(image_id), "uploading")
        self.assertEqual((await self.store.account(".images")).bytes_used, len(data))

    async def test_deleted(self) -> None:
        """Staged data goes with its image."""
        image_id = await self.staged()
        await self.good(204, ALICE, "DELETE", f"/images/{image_id}")
        self.assertEqual((await self.store.account(".images")).object_count, 0)
