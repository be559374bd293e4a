# -*- test-case-name: tests.protocols.rest.compute.test_images -*-
"""
Metadata of images by the Compute API, up to 2.38.  Source: Compute API, "Image metadata (deprecated)".

Metadata here is what the Image API calls properties.  What is there a member of the image itself, such as its name, is
changed by the Image API alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cloudd import compute as service
from cloudd.image import MEMBERS, Image, Images, Operation
from cloudd.interfaces.application import Transactions

from .._faults import Fault, bad_request
from .._routes import Answer, route
from ._call import ComputeCall, invalid
from ._proxies import as_image_metadata, image_words
from ._server_metadata import ItemBody, ItemsBody
from ._server_values import item, items

_ROOT = "/v2.1/images/{image_id}/metadata"
_ONE = "/v2.1/images/{image_id}/metadata/{key}"


class ImageMetadataRoutes:
    """``/v2.1/images/{image_id}/metadata``."""

    def __init__(self, database: Transactions, images: Images) -> None:
        self._database = database
        self._images = images

    @route("GET", _ROOT)
    @as_image_metadata
    async def list_items(self, call: ComputeCall, image_id: str) -> Answer:
        """All of them, up to 2.38."""
        return Answer(200, {"metadata": dict((await self._image(call, image_id)).properties)})

    @route("POST", _ROOT)
    @as_image_metadata
    async def add(self, call: ComputeCall, image_id: str) -> Answer:
        """200: these too, or with new values."""
        given = _items(await self._read(call))
        after = await self._change(call, image_id, given, ())
        return Answer(200, {"metadata": dict(after.properties)})

    @route("PUT", _ROOT)
    @as_image_metadata
    async def replace(self, call: ComputeCall, image_id: str) -> Answer:
        """200: these, and no others."""
        given = _items(await self._read(call))
        before = await self._image(call, image_id)
        after = await self._change(call, image_id, given, sorted(set(before.properties) - set(given)))
        return Answer(200, {"metadata": dict(after.properties)})

    @route("GET", _ONE)
    @as_image_metadata
    async def show(self, call: ComputeCall, image_id: str, key: str) -> Answer:
        """One of them."""
        image = await self._image(call, image_id)
        if key not in image.properties:
            raise Fault(404, "Metadata item was not found")
        return Answer(200, {"meta": {key: image.properties[key]}})

    @route("PUT", _ONE)
    @as_image_metadata
    async def set_one(self, call: ComputeCall, image_id: str, key: str) -> Answer:
        """200: this one with a new value."""
        given = call.converted("", await call.read_object(), ItemBody).meta
        if len(given) != 1:
            raise invalid("exactly one item is meant", "meta")
        if key not in given:
            raise bad_request("Request body and URI mismatch")
        item("meta", key, given[key])
        _refuse_members("meta", given)
        await self._change(call, image_id, given, ())
        return Answer(200, {"meta": given})

    @route("DELETE", _ONE)
    @as_image_metadata
    async def delete(self, call: ComputeCall, image_id: str, key: str) -> Answer:
        """204: it is gone."""
        image = await self._image(call, image_id)
        if key not in image.properties:
            raise Fault(404, "Invalid metadata key")
        await self._change(call, image_id, {}, (key,))
        return Answer(204)

    async def _read(self, call: ComputeCall) -> ItemsBody:
        return call.converted("", await call.read_object(), ItemsBody)

    async def _image(self, call: ComputeCall, image_id: str) -> Image:
        with image_words():
            return await self._images.get(call.access, image_id)

    async def _change(self, call: ComputeCall, image_id: str, given: Mapping[str, str], gone: Sequence[str]) -> Image:
        """
        :param gone: names of those that go
        """
        before = await self._image(call, image_id)
        left = {name: value for name, value in before.properties.items() if name not in gone}
        await self._database.read(service.enforce_contents, call.access, {**left, **given})
        steps = [*(Operation("remove", name) for name in gone), *(Operation("add", *each) for each in given.items())]
        with image_words():
            return await self._images.update(call.access, image_id, steps)


def _items(body: ItemsBody) -> dict[str, str]:
    given = items("metadata", body.metadata)
    _refuse_members("metadata", given)
    return given


def _refuse_members(path: str, given: Mapping[str, str]) -> None:
    for name in given:
        if name in MEMBERS:
            raise invalid(f"'{name}' is a member of the image, not an item: use the Image API.", path)
