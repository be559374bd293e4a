# -*- test-case-name: tests.protocols.rest.image.test_metadef_namespaces -*-
"""Namespaces of metadata definitions.  Source: Image API v2, "Metadata definition namespaces"."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from cloudd import image as service
from cloudd.image import DefinitionKind, Definitions
from cloudd.interfaces.application import Transactions

from .._face import Call
from .._routes import Answer, route
from ._metadef_documents import NamespaceBody, read_definition, wanted_content, wanted_namespace
from ._metadef_queries import namespace_in, namespace_listing
from ._metadef_shown import NAMESPACES, SCHEMA, show_namespace


class NamespaceRoutes:
    """``/v2/metadefs/namespaces``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2/metadefs/namespaces")
    async def list_namespaces(self, call: Call) -> Answer:
        """Public ones and the project's; by `visibility` and `resource_types`, 25 at a time; `next` leads on."""
        listing = namespace_listing(call.query)
        found = await self._database.read(service.listed_namespaces, call.access, listing)
        types = await self._database.read(service.resource_types_of, found)
        document: dict[str, Any] = {
            "namespaces": [show_namespace(each, {DefinitionKind.RESOURCE_TYPE: types[each.id]}) for each in found],
            "first": _path(call, None),
            "schema": f"{SCHEMA}/namespaces",
        }
        if found and len(found) == listing.limit:
            document["next"] = _path(call, found[-1].name)
        return Answer(200, document)

    @route("POST", "/v2/metadefs/namespaces")
    async def create(self, call: Call) -> Answer:
        """201 with the new one, and what it holds from the beginning; for administrators."""
        service.enforce_definer(call.access)
        body = await read_definition(call, NamespaceBody)
        wanted, content = wanted_namespace(body), wanted_content(body)
        made = await self._database.write(service.create_filled, call.access, wanted, content)
        place = call.links.to("v2", "metadefs", "namespaces", wanted.name).encode()
        return Answer(201, show_namespace(*made), headers=((b"Location", place),))

    @route("GET", "/v2/metadefs/namespaces/{namespace}")
    async def show(self, call: Call, namespace: str) -> Answer:
        """With all that it holds; with `resource_type` names of properties begin as they do there."""
        found, content = await self._database.read(service.all_definitions, call.access, namespace_in(call))
        return Answer(200, show_namespace(found, content, _prefix(content, call.query.get("resource_type"))))

    @route("PUT", "/v2/metadefs/namespaces/{namespace}")
    async def update(self, call: Call, namespace: str) -> Answer:
        """200; what the body leaves out is as in a new one, and what the namespace holds stays; for administrators."""
        wanted = wanted_namespace(await read_definition(call, NamespaceBody))
        changed = await self._database.write(service.change_namespace, call.access, namespace_in(call), wanted)
        return Answer(200, show_namespace(changed, {}))

    @route("DELETE", "/v2/metadefs/namespaces/{namespace}")
    async def delete(self, call: Call, namespace: str) -> Answer:
        """204, with all that it holds; 403 where it is protected; for administrators."""
        await self._database.write(service.delete_namespace, call.access, namespace_in(call))
        return Answer(204)


def _prefix(content: Definitions, resource_type: str | None) -> str:
    found = [each for each in content[DefinitionKind.RESOURCE_TYPE] if each.name == resource_type]
    return str(found[0].content.get("prefix", "")) if found else ""


def _path(call: Call, marker: str | None) -> str:
    pairs = [(name, value) for name, value in call.query.pairs if name != "marker"]
    if marker is not None:
        pairs.append(("marker", marker))
    return f"{NAMESPACES}?{urlencode(pairs)}" if pairs else NAMESPACES
