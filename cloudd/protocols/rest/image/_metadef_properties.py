# -*- test-case-name: tests.protocols.rest.image.test_metadefs -*-
"""Properties that stand in a namespace by themselves.  Source: Image API v2, "Metadata definition properties"."""

from __future__ import annotations

from cloudd import image as service
from cloudd.image import Definition, DefinitionKind, NoSuchDefinition
from cloudd.interfaces.application import Transactions

from .._face import Call
from .._faults import bad_request
from .._routes import Answer, route
from ._metadef_documents import PropertyBody, read_definition, wanted_property
from ._metadef_queries import name_in, namespace_in
from ._metadef_shown import show_properties, show_property


class PropertyRoutes:
    """``/v2/metadefs/namespaces/{namespace}/properties``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2/metadefs/namespaces/{namespace}/properties")
    async def list_properties(self, call: Call, namespace: str) -> Answer:
        """All of a namespace, by name."""
        place = namespace_in(call)
        found = await self._database.read(service.definitions_of, call.access, place, DefinitionKind.PROPERTY)
        return Answer(200, {"properties": show_properties(found)})

    @route("POST", "/v2/metadefs/namespaces/{namespace}/properties")
    async def create(self, call: Call, namespace: str) -> Answer:
        """201 with the new one; for administrators."""
        wanted = await _wanted(call)
        place = namespace_in(call), DefinitionKind.PROPERTY
        (made,) = await self._database.write(service.add_definitions, call.access, *place, [wanted])
        return Answer(201, show_property(made))

    @route("DELETE", "/v2/metadefs/namespaces/{namespace}/properties")
    async def delete_all(self, call: Call, namespace: str) -> Answer:
        """204: all of a namespace; for administrators."""
        await self._database.write(service.drop_definitions, call.access, namespace_in(call), DefinitionKind.PROPERTY)
        return Answer(204)

    @route("GET", "/v2/metadefs/namespaces/{namespace}/properties/{name}")
    async def show(self, call: Call, namespace: str, name: str) -> Answer:
        """One property; with `resource_type` the path has the prefix that names have there."""
        name = name_in(call)
        resource_type = call.query.get("resource_type")
        name = await self._bare(call, name, resource_type) if resource_type else name
        place = namespace_in(call), DefinitionKind.PROPERTY, name
        return Answer(200, show_property(await self._database.read(service.one_definition, call.access, *place)))

    @route("PUT", "/v2/metadefs/namespaces/{namespace}/properties/{name}")
    async def update(self, call: Call, namespace: str, name: str) -> Answer:
        """200: another one in its place, maybe of another name; for administrators."""
        wanted = await _wanted(call)
        place = namespace_in(call), DefinitionKind.PROPERTY, name_in(call)
        changed = await self._database.write(service.change_definition, call.access, *place, wanted)
        return Answer(200, show_property(changed))

    @route("DELETE", "/v2/metadefs/namespaces/{namespace}/properties/{name}")
    async def delete(self, call: Call, namespace: str, name: str) -> Answer:
        """204; for administrators."""
        place = namespace_in(call), DefinitionKind.PROPERTY, name_in(call)
        await self._database.write(service.drop_definition, call.access, *place)
        return Answer(204)

    async def _bare(self, call: Call, name: str, resource_type: str) -> str:
        """Its name without the prefix."""
        place = namespace_in(call), DefinitionKind.RESOURCE_TYPE, resource_type
        found = await self._database.read(service.one_definition, call.access, *place)
        prefix: str = found.content.get("prefix", "")
        if not prefix or not name.startswith(prefix):
            raise NoSuchDefinition(
                f"Property {name[:80]} does not start with the expected resource type association prefix of '{prefix}'."
            )
        return name.removeprefix(prefix)


async def _wanted(call: Call) -> Definition:
    """
    :raises Fault: 400
    """
    body = await read_definition(call, PropertyBody)
    if not isinstance(body.name, str):
        raise bad_request("name is missing.")
    return wanted_property(body.name, body)
