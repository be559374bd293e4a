# -*- test-case-name: tests.protocols.rest.network.test_discovery -*-
"""Tags of networks, subnets, ports and groups.  Source: Network API v2.0, "Standard attributes tag extension"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import Connection

from cloudd import network as service
from cloudd.identity import Access
from cloudd.interfaces.application import Transactions

from .._documents import Document
from .._face import Call
from .._faults import Fault
from .._routes import Answer, route

MAX_TAGS = 50
Tag = Annotated[str, Meta(min_length=1, max_length=255)]


class TagsBody(Document):
    """All tags of something."""

    tags: Annotated[list[Tag], Meta(max_length=MAX_TAGS)]


def _update_port(connection: Connection, access: Access, port_id: str, values: dict[str, Any]) -> Any:
    return service.update_port(connection, access, port_id, values, None)


Kind = tuple[Callable[..., Any], Callable[..., Any]]
KINDS: dict[str, Kind] = {
    "networks": (service.one_network, service.update_network),
    "subnets": (service.one_subnet, service.update_subnet),
    "ports": (service.one_port, _update_port),
    "security-groups": (service.one_group, service.update_group),
}


class TagRoutes:
    """``/v2.0/{kind}/{id}/tags``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2.0/{kind}/{record_id}/tags")
    async def list_tags(self, call: Call, kind: str, record_id: str) -> Answer:
        """All of them."""
        one, _ = _kind(kind)
        found = await self._database.read(one, call.access, record_id)
        return Answer(200, {"tags": list(found.tags)})

    @route("PUT", "/v2.0/{kind}/{record_id}/tags")
    async def replace(self, call: Call, kind: str, record_id: str) -> Answer:
        """200: these, and no others."""
        wanted = (await call.read(TagsBody)).tags
        changed = await self._change(call, kind, record_id, lambda _: wanted)
        return Answer(200, {"tags": list(changed.tags)})

    @route("DELETE", "/v2.0/{kind}/{record_id}/tags")
    async def clear(self, call: Call, kind: str, record_id: str) -> Answer:
        """204: none."""
        await self._change(call, kind, record_id, lambda _: ())
        return Answer(204)

    @route("GET", "/v2.0/{kind}/{record_id}/tags/{tag}")
    async def check(self, call: Call, kind: str, record_id: str, tag: str) -> Answer:
        """204 where it has the tag, else 404."""
        one, _ = _kind(kind)
        found = await self._database.read(one, call.access, record_id)
        if tag not in found.tags:
            raise _no_tag(tag)
        return Answer(204)

    @route("PUT", "/v2.0/{kind}/{record_id}/tags/{tag}")
    async def add(self, call: Call, kind: str, record_id: str, tag: str) -> Answer:
        """201, also where it has the tag already."""
        await self._change(call, kind, record_id, lambda tags: (*tags, tag))
        return Answer(201)

    @route("DELETE", "/v2.0/{kind}/{record_id}/tags/{tag}")
    async def remove(self, call: Call, kind: str, record_id: str, tag: str) -> Answer:
        """204; 404 where it has no such tag."""

        def without(tags: tuple[str, ...]) -> tuple[str, ...]:
            if tag not in tags:
                raise _no_tag(tag)
            return tuple(each for each in tags if each != tag)

        await self._change(call, kind, record_id, without)
        return Answer(204)

    async def _change(self, call: Call, kind: str, record_id: str, edit: Callable[[tuple[str, ...]], Any]) -> Any:
        one, update = _kind(kind)

        def change(connection: Connection, access: Access) -> Any:
            tags = tuple(sorted(set(edit(one(connection, access, record_id).tags))))
            if len(tags) > MAX_TAGS or any(not 1 <= len(tag) <= 255 for tag in tags):
                raise service.BadNetworkValue(f"At most {MAX_TAGS} tags of 1 to 255 characters are meant.")
            return update(connection, access, record_id, {"tags": tags})

        return await self._database.write(change, call.access)


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise Fault(404, f"Resource {name[:40]} could not be found.")
    return KINDS[name]


def _no_tag(tag: str) -> Fault:
    return Fault(404, f"Tag {tag[:80]} could not be found.")
