# -*- test-case-name: tests.protocols.rest.image.test_metadefs -*-
"""
What definitions are for: flavors, images, servers and others.

Source: Image API v2, "Metadata definition resource types".
"""

from __future__ import annotations

from typing import Any

from cloudd import image as service
from cloudd.image import DefinitionKind
from cloudd.interfaces.application import Transactions

from .._face import Call
from .._routes import Answer, route
from .._times import whole_zulu
from ._metadef_documents import ResourceTypeBody, read_definition, wanted_resource_type
from ._metadef_queries import name_in, namespace_in
from ._metadef_shown import show_resource_types


class ResourceTypeRoutes:
    """``/v2/metadefs/resource_types`` and ``…/namespaces/{namespace}/resource_types``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2/metadefs/resource_types")
    async def list_types(self, call: Call) -> Answer:
        """Those that a cloud has from the beginning, and those of the namespaces that one sees."""
        found = await self._database.read(service.known_resource_types, call.access)
        return Answer(200, {"resource_types": [_shown(name, since_us) for name, since_us in found.items()]})

    @route("GET", "/v2/metadefs/namespaces/{namespace}/resource_types")
    async def list_associations(self, call: Call, namespace: str) -> Answer:
        """What a namespace is for."""
        place = namespace_in(call)
        found = await self._database.read(service.definitions_of, call.access, place, DefinitionKind.RESOURCE_TYPE)
        return Answer(200, {"resource_type_associations": show_resource_types(found)})

    @route("POST", "/v2/metadefs/namespaces/{namespace}/resource_types")
    async def associate(self, call: Call, namespace: str) -> Answer:
        """201: it is for that one, too, which may be a new one; for administrators."""
        wanted = wanted_resource_type(await read_definition(call, ResourceTypeBody))
        place = namespace_in(call), DefinitionKind.RESOURCE_TYPE
        made = await self._database.write(service.add_definitions, call.access, *place, [wanted])
        return Answer(201, show_resource_types(made)[0])

    @route("DELETE", "/v2/metadefs/namespaces/{namespace}/resource_types/{name}")
    async def dissociate(self, call: Call, namespace: str, name: str) -> Answer:
        """204; for administrators."""
        place = namespace_in(call), DefinitionKind.RESOURCE_TYPE, name_in(call)
        await self._database.write(service.drop_definition, call.access, *place)
        return Answer(204)


def _shown(name: str, since_us: int | None) -> dict[str, Any]:
    return {"name": name} if since_us is None else {"name": name, "created_at": whole_zulu(since_us)}
