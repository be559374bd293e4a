# -*- test-case-name: tests.protocols.rest.image.test_records -*-
"""Images, their tags and actions.  Source: Image API v2, "Images", "Image tags", "Image actions"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import urlencode

from attrs import evolve

from cloudd.image import (
    MEMBERS,
    BadImageValue,
    Image,
    Images,
    property_value,
    read_first_operations,
    read_operations,
    refuse_reserved,
    with_member,
)

from .._documents import decode_document, read_bytes
from .._face import Call
from .._faults import Fault
from .._routes import Answer, route
from ._queries import read_query
from ._shown import SCHEMA, show_image

#: Media type of a patch -> what reads its steps.
PATCHES = {
    "application/openstack-images-v2.1-json-patch": read_operations,
    "application/openstack-images-v2.0-json-patch": read_first_operations,
}
_MIB = 1 << 20
_UUID_LENGTHS = (8, 4, 4, 4, 12)


class ImageRoutes:
    """``/v2/images``."""

    def __init__(self, images: Images, import_methods: Sequence[str]) -> None:
        self._images = images
        self._methods = ",".join(import_methods).encode()

    @route("GET", "/v2/images")
    async def list_images(self, call: Call) -> Answer:
        """25 at a time unless ``limit`` says otherwise, at most 1,000; ``next`` leads on."""
        query = read_query(call.query)
        found = await self._images.page(call.access, query)
        document: dict[str, Any] = {
            "images": [show_image(image) for image in found],
            "first": _path(call, None),
            "schema": f"{SCHEMA}/images",
        }
        if found and len(found) == query.limit:
            document["next"] = _path(call, found[-1].id)
        return Answer(200, document)

    @route("POST", "/v2/images")
    async def create(self, call: Call) -> Answer:
        """201 with the new image, queued for its data; members that the API does not name are its properties."""
        given = await _read_members(call)
        image = await self._images.create(call.access, new_image(given))
        place = call.links.to("v2", "images", image.id).encode()
        return Answer(
            201, show_image(image), headers=((b"Location", place), (b"OpenStack-image-import-methods", self._methods))
        )

    @route("GET", "/v2/images/{image_id}")
    async def show(self, call: Call, image_id: str) -> Answer:
        """One image."""
        return Answer(200, show_image(await self._images.get(call.access, image_id)))

    @route("PATCH", "/v2/images/{image_id}")
    async def update(self, call: Call, image_id: str) -> Answer:
        """200; the body is a JSON patch of the API's own media type."""
        sent = (call.request.header(b"content-type") or b"").decode("latin-1").partition(";")[0].strip().lower()
        read = PATCHES.get(sent)
        if read is None:
            raise Fault(415, f"The Content-Type of an update is {' or '.join(PATCHES)}, not {sent[:80] or 'empty'}.")
        steps = decode_document(await read_bytes(call.request, call.max_json_bytes), cast(Any, list[dict[str, Any]]))
        image = await self._images.update(call.access, image_id, read(cast(Any, steps)))
        return Answer(200, show_image(image))

    @route("DELETE", "/v2/images/{image_id}")
    async def delete(self, call: Call, image_id: str) -> Answer:
        """204; its data goes with it."""
        await self._images.delete(call.access, image_id)
        return Answer(204)

    @route("GET", "/v2/info/usage")
    async def usage(self, call: Call) -> Answer:
        """How many images and MiB of data the project has, and may have; -1: there is no limit."""
        used, quota = await self._images.usage(call.access), self._images.quota
        most = quota.bytes if quota.bytes < 0 else quota.bytes // _MIB
        size = {"limit": most, "usage": -(-used.bytes // _MIB)}
        count = {"limit": quota.images, "usage": used.images}
        return Answer(200, {"usage": {"image_size_total": size, "image_count_total": count}})

    @route("PUT", "/v2/images/{image_id}/tags/{tag}")
    async def add_tag(self, call: Call, image_id: str, tag: str) -> Answer:
        """204, also where it has the tag already."""
        await self._images.set_tag(call.access, image_id, tag)
        return Answer(204)

    @route("DELETE", "/v2/images/{image_id}/tags/{tag}")
    async def remove_tag(self, call: Call, image_id: str, tag: str) -> Answer:
        """204; 404 where it has no such tag."""
        await self._images.remove_tag(call.access, image_id, tag)
        return Answer(204)

    @route("POST", "/v2/images/{image_id}/actions/deactivate")
    async def deactivate(self, call: Call, image_id: str) -> Answer:
        """204; its data cannot be downloaded any more."""
        await self._images.deactivate(call.access, image_id, active=False)
        return Answer(204)

    @route("POST", "/v2/images/{image_id}/actions/reactivate")
    async def reactivate(self, call: Call, image_id: str) -> Answer:
        """204."""
        await self._images.deactivate(call.access, image_id, active=True)
        return Answer(204)


def _path(call: Call, marker: str | None) -> str:
    """Of the list, with its filters; Glance tells paths, not URLs."""
    pairs = [(name, value) for name, value in call.query.pairs if name != "marker"]
    if marker is not None:
        pairs.append(("marker", marker))
    return f"/v2/images?{urlencode(pairs)}" if pairs else "/v2/images"


async def _read_members(call: Call) -> dict[str, Any]:
    data = await read_bytes(call.request, call.max_json_bytes)
    return cast(dict[str, Any], decode_document(data, cast(Any, dict[str, Any])))


def new_image(given: dict[str, Any]) -> Image:
    """
    From members of the API, which it takes out of ``given``.

    :raises ImageError: see ``refuse_reserved``, ``with_member`` and ``property_value``
    """
    image = Image(id=_id_in(given.pop("id", "")), project_id="")
    properties: dict[str, str] = {}
    for name, value in given.items():
        refuse_reserved(name)
        if name in MEMBERS:
            image = with_member(image, name, value)
        else:
            properties[name] = property_value(name, value)
    return evolve(image, properties=properties)


def _id_in(value: Any) -> str:
    """
    :raises BadImageValue: it is no UUID
    """
    if value == "":
        return ""
    pieces = value.split("-") if isinstance(value, str) else []
    good = tuple(map(len, pieces)) == _UUID_LENGTHS and all(each in "0123456789abcdef" for each in "".join(pieces))
    if not good:
        raise BadImageValue(f"id: expected a UUID in lower case, got {str(value)[:40]!r}.")
    return str(value)
