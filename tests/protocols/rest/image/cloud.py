"""The image face over the real service, on a database and a store in memory: what the tests here speak to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, cast

from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from cloudd.image import Fetcher, Images, Imports, read_sources
from cloudd.interfaces.application import Resources
from cloudd.interfaces.settings import ImageSettings, Settings
from cloudd.protocols.rest.image import image_face
from storage import MemoryStore
from tests.database.inline import empty_database
from tests.http_client import Answer, HTTPClient
from tests.protocols.rest.identity.cloud import URLS, InlineThreads
from tests.protocols.swift.face import ADMIN, ALICE, BOB, READER, FourTokens

PATCH = "application/openstack-images-v2.1-json-patch"
MAX_BYTES = 1_000_000
FORMATS = {"disk_format": "raw", "container_format": "bare"}

__all__ = ["ADMIN", "ALICE", "BOB", "FORMATS", "MAX_BYTES", "PATCH", "READER", "ImageCase"]


class ImageCase(TestCase):
    """
    Base of the tests.  ``ALICE`` and ``READER`` are of project ``p1``, ``BOB`` of ``p2``, ``ADMIN`` of ``p0``.

    :cvar sources: from where images may be downloaded
    :ivar media_type: of patches
    """

    sources: ClassVar[tuple[str, ...]] = ()
    media_type = PATCH

    async def setUp(self) -> None:  # type: ignore[override]
        self.database = empty_database(self)
        self.store: Any = MemoryStore()
        self.resources = Resources(
            reactor=Clock(),
            settings=Settings(state=Path("state"), images=ImageSettings(max_bytes=MAX_BYTES)),
            threads=InlineThreads(),
            database=self.database,
            object_index=cast(Any, None),
            metrics=cast(Any, None),
            host=cast(Any, None),
            role="front",
            generation=1,
            urls=URLS,
            secrets=Path("secrets"),
        )
        self.images = Images(self.resources, self.store)
        await self.images.self_check()
        self.fetcher = Fetcher(self.resources.reactor, read_sources(self.sources), MAX_BYTES)
        self.imports = Imports(self.resources, self.images, self.fetcher, lambda: succeed("n1"), lambda: None)
        self.client = HTTPClient(image_face(cast(Any, FourTokens()), self.images, self.imports, self.resources))

    async def call(
        self, who: str, method: str, path: str, document: Any = None, *, body: bytes | None = None, **headers: str
    ) -> Answer:
        """A call below ``/image/v2``; further headers have ``_`` for ``-``."""
        fields = {"X-Auth-Token": who} | {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            return await self.client.request(method, f"/image/v2{path}", headers=fields, body=body)
        return await self.client.json(method, f"/image/v2{path}", document, headers=fields)

    async def good(self, status: int, who: str, method: str, path: str, document: Any = None, **more: Any) -> Any:
        """A call that must have this status; gives its JSON, or None for an empty body."""
        answer = await self.call(who, method, path, document, **more)
        self.assertEqual(answer.status, status, f"{method} {path}: {answer.text}")
        return answer.json() if answer.body else None

    async def refused(self, status: int, who: str, method: str, path: str, document: Any = None, **more: Any) -> str:
        """A call that must be refused; gives the message."""
        answer = await self.call(who, method, path, document, **more)
        self.assertEqual(answer.status, status, f"{method} {path}: {answer.text}")
        error = answer.json()
        self.assertEqual(set(error), {"message", "code", "title"})
        self.assertTrue(error["code"].startswith(str(status)))
        return str(error["message"])

    async def made(self, who: str = ALICE, **members: Any) -> dict[str, Any]:
        """A new image."""
        image: dict[str, Any] = await self.good(201, who, "POST", "/images", members)
        return image

    async def filled(self, data: bytes, who: str = ALICE, **members: Any) -> dict[str, Any]:
        """An image with data, active."""
        image = await self.made(who, **{**FORMATS, **members})
        await self.upload(204, image["id"], data, who)
        shown: dict[str, Any] = await self.good(200, who, "GET", f"/images/{image['id']}")
        return shown

    async def upload(self, status: int, image_id: str, data: bytes, who: str = ALICE) -> str:
        """Send data; gives the message of a refusal."""
        answer = await self.call(
            who, "PUT", f"/images/{image_id}/file", body=data, Content_Type="application/octet-stream"
        )
        self.assertEqual(answer.status, status, answer.text)
        return str(answer.json()["message"]) if answer.body else ""

    async def patch_image(self, status: int, image_id: str, *steps: dict[str, Any], who: str = ALICE) -> Any:
        """A JSON patch; gives the image, or the message of a refusal."""
        body = json.dumps(steps).encode()
        answer = await self.call(who, "PATCH", f"/images/{image_id}", body=body, Content_Type=self.media_type)
        self.assertEqual(answer.status, status, answer.text)
        return answer.json() if status == 200 else answer.json()["message"]

    async def names(self, who: str, query: str = "") -> list[str]:
        """Of the images that a list shows, in order."""
        found = await self.good(200, who, "GET", f"/images{query}")
        return [image["name"] for image in found["images"]]
