# -*- test-case-name: tests.protocols.rest.compute.test_server_tags -*-
"""Tags of servers, from 2.26 on.  Source: Compute API, "Server tags"."""

from __future__ import annotations

from cloudd import compute as service
from cloudd.interfaces.application import Transactions

from .._documents import Document
from .._faults import Fault
from .._routes import Answer, route
from ._call import ComputeCall
from ._server_values import tag as checked_tag
from ._server_values import tags as checked_tags
from ._versions import Version, during

_SINCE: Version = (2, 26)
_ROOT = "/v2.1/servers/{server_id}/tags"
_ONE = "/v2.1/servers/{server_id}/tags/{tag}"


class TagsBody(Document):
    """``tags``."""

    tags: list[str]


class ServerTagRoutes:
    """``/v2.1/servers/{server_id}/tags``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", _ROOT)
    @during(_SINCE)
    async def list_tags(self, call: ComputeCall, server_id: str) -> Answer:
        """All of them; from 2.26 on."""
        server = await self._database.read(service.server_to_read, call.access, server_id, "os-server-tags:index")
        return Answer(200, {"tags": list(server.tags)})

    @route("PUT", _ROOT)
    @during(_SINCE)
    async def replace(self, call: ComputeCall, server_id: str) -> Answer:
        """200: these, and no others."""
        given = checked_tags("tags", call.converted("", await call.read_object(), TagsBody).tags)
        after = await self._database.write(service.set_server_tags, call.order(server_id), given)
        return Answer(200, {"tags": list(after)})

    @route("DELETE", _ROOT)
    @during(_SINCE)
    async def clear(self, call: ComputeCall, server_id: str) -> Answer:
        """204: it has none any more."""
        await self._database.write(service.set_server_tags, call.order(server_id), ())
        return Answer(204)

    @route("GET", _ONE)
    @during(_SINCE)
    async def check(self, call: ComputeCall, server_id: str, tag: str) -> Answer:
        """204 where it has it, else 404."""
        server = await self._database.read(service.server_to_read, call.access, server_id, "os-server-tags:show")
        if tag not in server.tags:
            raise Fault(404, f"Server {server_id} has no tag '{tag[:60]}'")
        return Answer(204)

    @route("PUT", _ONE)
    @during(_SINCE)
    async def add(self, call: ComputeCall, server_id: str, tag: str) -> Answer:
        """201: this one too; 204 where it has it already."""
        is_new = await self._database.write(service.add_server_tag, call.order(server_id), checked_tag("tag", tag))
        if not is_new:
            return Answer(204)
        href = call.links.to("v2.1", "servers", server_id, "tags", tag)
        return Answer(201, None, ((b"Location", href.encode("ascii")),))

    @route("DELETE", _ONE)
    @during(_SINCE)
    async def delete(self, call: ComputeCall, server_id: str, tag: str) -> Answer:
        """204: it is gone."""
        await self._database.write(service.drop_server_tag, call.order(server_id), tag)
        return Answer(204)
