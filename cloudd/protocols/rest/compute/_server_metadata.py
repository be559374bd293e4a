# -*- test-case-name: tests.protocols.rest.compute.test_server_metadata -*-
"""Metadata of servers.  Source: Compute API, "Server metadata"."""

from __future__ import annotations

from cloudd import compute as service
from cloudd.compute import Server
from cloudd.interfaces.application import Transactions

from .._documents import Document
from .._faults import Fault, bad_request
from .._routes import Answer, route
from ._call import ComputeCall, invalid
from ._server_values import item, items

_ROOT = "/v2.1/servers/{server_id}/metadata"
_ONE = "/v2.1/servers/{server_id}/metadata/{key}"


class ItemsBody(Document):
    """``metadata``."""

    metadata: dict[str, str]


class ItemBody(Document):
    """``meta``: one of them."""

    meta: dict[str, str]


class MetadataRoutes:
    """``/v2.1/servers/{server_id}/metadata``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", _ROOT)
    async def list_items(self, call: ComputeCall, server_id: str) -> Answer:
        """All of them."""
        server = await self._server(call, server_id, "index")
        return Answer(200, {"metadata": dict(server.items)})

    @route("POST", _ROOT)
    async def add(self, call: ComputeCall, server_id: str) -> Answer:
        """200: these too, or with new values."""
        return await self._changed(call, server_id, replace=False)

    @route("PUT", _ROOT)
    async def replace(self, call: ComputeCall, server_id: str) -> Answer:
        """200: these, and no others."""
        return await self._changed(call, server_id, replace=True)

    @route("GET", _ONE)
    async def show(self, call: ComputeCall, server_id: str, key: str) -> Answer:
        """One of them."""
        server = await self._server(call, server_id, "show")
        if key not in server.items:
            raise Fault(404, "Metadata item was not found")
        return Answer(200, {"meta": {key: server.items[key]}})

    @route("PUT", _ONE)
    async def set_one(self, call: ComputeCall, server_id: str, key: str) -> Answer:
        """200: this one with a new value."""
        given = call.converted("", await call.read_object(), ItemBody).meta
        if len(given) != 1:
            raise invalid("exactly one item is meant", "meta")
        if key not in given:
            raise bad_request("Request body and URI mismatch")
        item("meta", key, given[key])
        await self._database.write(service.change_items, call.order(server_id), given)
        return Answer(200, {"meta": given})

    @route("DELETE", _ONE)
    async def delete(self, call: ComputeCall, server_id: str, key: str) -> Answer:
        """204: it is gone."""
        await self._database.write(service.drop_item, call.order(server_id), key)
        return Answer(204)

    async def _changed(self, call: ComputeCall, server_id: str, *, replace: bool) -> Answer:
        given = items("metadata", call.converted("", await call.read_object(), ItemsBody).metadata)
        after = await self._database.write(service.change_items, call.order(server_id), given, replace=replace)
        return Answer(200, {"metadata": after})

    async def _server(self, call: ComputeCall, server_id: str, verb: str) -> Server:
        rule = f"server-metadata:{verb}"
        found: Server = await self._database.read(service.server_to_read, call.access, server_id, rule)
        return found
