# -*- test-case-name: tests.protocols.rest.compute.test_images -*-
"""Images by the Compute API, up to 2.35.  Source: Compute API, "Images (deprecated)"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cloudd.image import Condition, Image, ImageQuery, Images, NoSuchImage

from .._faults import bad_request
from .._query import meaning_of
from .._routes import Answer, route
from .._times import parse_time, whole_zulu
from ._call import ComputeCall
from ._pages import links_of, with_next
from ._proxies import as_proxy, image_words

_UNKNOWN: Final = "UNKNOWN"
#: Status of an image -> the word for it here.
_WORDS: Final[Mapping[str, str]] = {"active": "ACTIVE", "queued": "SAVING", "saving": "SAVING"}
_PROGRESS: Final[Mapping[str, int]] = {"queued": 25, "saving": 50, "active": 100}
#: What a list may be asked for -> statuses of images; what is deleted is not shown to anybody.
_STATUSES: Final[Mapping[str, tuple[str, ...]]] = {
    "ACTIVE": ("active",),
    "QUEUED": ("queued",),
    "SAVING": ("queued", "saving"),
    "DELETED": ("deleted",),
    "ERROR": ("killed",),
    _UNKNOWN: ("uploading", "importing", "deactivated"),
}
_PROPERTY: Final = "property-"
#: Parameter -> property, and column of numbers.
_PROPERTIES: Final[Mapping[str, str]] = {"server": "instance_uuid", "type": "image_type"}
_NUMBERS: Final[Mapping[str, str]] = {"minRam": "min_ram", "minDisk": "min_disk"}


class ImageRoutes:
    """``/v2.1/images``."""

    def __init__(self, images: Images, image_api: str) -> None:
        """
        :param image_api: URL of the Image API, for links
        """
        self._images = images
        self._image_api = image_api

    @route("GET", "/v2.1/images")
    @as_proxy
    async def list_images(self, call: ComputeCall) -> Answer:
        """Ids and names, up to 2.35; `changes-since`, `name`, `server`, `status`, `type`, `minRam`, `minDisk`."""
        return await self._page(call, "images")

    @route("GET", "/v2.1/images/detail")
    @as_proxy
    async def detail(self, call: ComputeCall) -> Answer:
        """The same with all members."""
        return await self._page(call, "images", "detail")

    @route("GET", "/v2.1/images/{image_id}")
    @as_proxy
    async def show(self, call: ComputeCall, image_id: str) -> Answer:
        """One image, up to 2.35."""
        with image_words():
            found = await self._images.get(call.access, image_id)
        return Answer(200, {"image": self._shown(call, found)})

    @route("DELETE", "/v2.1/images/{image_id}")
    @as_proxy
    async def delete(self, call: ComputeCall, image_id: str) -> Answer:
        """204: it is gone; up to 2.35."""
        with image_words():
            await self._images.delete(call.access, image_id)
        return Answer(204)

    async def _page(self, call: ComputeCall, *steps: str) -> Answer:
        limit = call.limit()
        query = _query(call, limit + 1)
        with image_words():
            try:
                found = await self._images.page(call.access, query)
            except NoSuchImage:
                raise bad_request(f"The marker {query.marker[:64]} is not in the list.") from None
        show = self._shown if "detail" in steps else self._named
        document: dict[str, Any] = {"images": [show(call, each) for each in found[:limit]]}
        if len(found) > limit:
            document |= with_next(call, "images", found[limit - 1].id, "v2.1", *steps)
        return Answer(200, document)

    def _named(self, call: ComputeCall, image: Image) -> dict[str, Any]:
        place = f"{self._image_api}/images/{image.id}"
        other = {"rel": "alternate", "type": "application/vnd.openstack.image", "href": place}
        return {"id": image.id, "name": image.name, "links": [*links_of(call, "images", image.id), other]}

    def _shown(self, call: ComputeCall, image: Image) -> dict[str, Any]:
        shown = self._named(call, image) | {
            "status": _WORDS.get(image.status, _UNKNOWN),
            "progress": _PROGRESS.get(image.status, 0),
            "minDisk": image.min_disk,
            "minRam": image.min_ram,
            "created": whole_zulu(image.created_us),
            "updated": whole_zulu(image.updated_us),
            "metadata": dict(image.properties),
            "OS-EXT-IMG-SIZE:size": image.size,
        }
        if server_id := image.properties.get("instance_uuid"):
            shown["server"] = {"id": server_id, "links": links_of(call, "servers", server_id)}
        if (config := image.properties.get("auto_disk_config")) is not None:
            shown["OS-DCF:diskConfig"] = "AUTO" if meaning_of(config) else "MANUAL"
        return shown


def _query(call: ComputeCall, limit: int) -> ImageQuery:
    """
    :raises Fault: 400 for what is no value of its parameter
    """
    found = list(_of_properties(call))
    if name := call.query.get("name"):
        found.append(Condition("name", "eq", (name,)))
    if status := call.query.get("status"):
        found.append(_of_status(status))
    if since := call.query.get("changes-since"):
        found.append(Condition("updated_us", "gte", (parse_time(since, "changes-since"),)))
    for parameter, column in _NUMBERS.items():
        if (number := call.count(parameter)) is not None:
            found.append(Condition(column, "eq", (number,)))
    return ImageQuery(conditions=tuple(found), marker=call.query.get("marker") or "", limit=limit)


def _of_properties(call: ComputeCall) -> list[Condition]:
    wanted = {}
    for name, value in call.query.pairs:
        if name in _PROPERTIES:
            wanted[_PROPERTIES[name]] = value
        elif name.startswith(_PROPERTY):
            wanted[name.removeprefix(_PROPERTY)] = value
    if "instance_uuid" in wanted:  # or a link of the server
        wanted["instance_uuid"] = wanted["instance_uuid"].rpartition("/")[2]
    return [Condition(name, "eq", (value,), is_property=True) for name, value in wanted.items()]


def _of_status(word: str) -> Condition:
    if word.upper() not in _STATUSES:
        raise bad_request(f"Query parameter status: {word[:40]!r} is none of {', '.join(_STATUSES)}.")
    return Condition("status", "in", _STATUSES[word.upper()])
