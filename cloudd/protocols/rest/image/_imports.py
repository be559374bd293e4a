# -*- test-case-name: tests.protocols.rest.image.test_imports -*-
"""Imports of data.  Source: Image API v2, "Interoperable image import" and "Import methods and values discovery"."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from cloudd.image import Imports

from .._documents import Document, Name
from .._face import Call
from .._faults import bad_request
from .._routes import Answer, route
from ._shown import show_import


class Method(Document):
    name: Name
    uri: Annotated[str, Meta(max_length=2048)] = ""


class NewImport(Document):
    """``all_stores`` are one here; ``stores`` have no names to be chosen by."""

    method: Method
    all_stores: bool | None = None
    all_stores_must_succeed: bool | None = None


class ImportRoutes:
    """``/v2/images/{image_id}/import``."""

    def __init__(self, imports: Imports) -> None:
        self._imports = imports

    @route("POST", "/v2/images/{image_id}/import")
    async def begin(self, call: Call, image_id: str) -> Answer:
        """202; the image is ``importing``, then ``active``, or ``queued`` again."""
        wanted = (await call.read(NewImport)).method
        if bool(wanted.uri) != (wanted.name == "web-download"):
            raise bad_request("method.uri: is needed for web-download, and means nothing for other methods.")
        await self._imports.begin(call.access, image_id, wanted.name, wanted.uri, call.request.id)
        return Answer(202)

    @route("GET", "/v2/images/{image_id}/tasks")
    async def list_imports(self, call: Call, image_id: str) -> Answer:
        """Imports of an image, the latest first, with why one has failed; for a week, those that failed for 30 days."""
        found = await self._imports.of_image(call.access, image_id)
        return Answer(200, {"tasks": [show_import(each) for each in found]})

    @route("GET", "/v2/info/import")
    async def methods(self, call: Call) -> Answer:
        """By which ways data can be imported."""
        value = list(self._imports.methods)
        return Answer(
            200, {"import-methods": {"description": "Import methods available.", "type": "array", "value": value}}
        )
