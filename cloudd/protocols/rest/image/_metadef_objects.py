# -*- test-case-name: tests.protocols.rest.image.test_metadefs -*-
"""Objects: properties that belong together.  Source: Image API v2, "Metadata definition objects"."""

from __future__ import annotations

from cloudd import image as service
from cloudd.image import DefinitionKind
from cloudd.interfaces.application import Transactions

from .._face import Call
from .._routes import Answer, route
from ._metadef_documents import ObjectBody, read_definition, wanted_object
from ._metadef_queries import definition_listing, name_in, namespace_in
from ._metadef_shown import SCHEMA, show_object


class ObjectRoutes:
    """``/v2/metadefs/namespaces/{namespace}/objects``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2/metadefs/namespaces/{namespace}/objects")
    async def list_objects(self, call: Call, namespace: str) -> Answer:
        """All of a namespace; by `sort_key`, `limit` and `marker`."""
        place, listing = namespace_in(call), definition_listing(call.query)
        found = await self._database.read(service.definitions_of, call.access, place, DefinitionKind.OBJECT, listing)
        return Answer(200, {"objects": [show_object(place, each) for each in found], "schema": f"{SCHEMA}/objects"})

    @route("POST", "/v2/metadefs/namespaces/{namespace}/objects")
    async def create(self, call: Call, namespace: str) -> Answer:
        """201 with the new one; for administrators."""
        wanted = wanted_object(await read_definition(call, ObjectBody))
        place = namespace_in(call), DefinitionKind.OBJECT
        (made,) = await self._database.write(service.add_definitions, call.access, *place, [wanted])
        return Answer(201, show_object(place[0], made))

    @route("DELETE", "/v2/metadefs/namespaces/{namespace}/objects")
    async def delete_all(self, call: Call, namespace: str) -> Answer:
        """204: all of a namespace; for administrators."""
        await self._database.write(service.drop_definitions, call.access, namespace_in(call), DefinitionKind.OBJECT)
        return Answer(204)

    @route("GET", "/v2/metadefs/namespaces/{namespace}/objects/{name}")
    async def show(self, call: Call, namespace: str, name: str) -> Answer:
        """One object."""
        place = namespace_in(call), DefinitionKind.OBJECT, name_in(call)
        found = await self._database.read(service.one_definition, call.access, *place)
        return Answer(200, show_object(place[0], found))

    @route("PUT", "/v2/metadefs/namespaces/{namespace}/objects/{name}")
    async def update(self, call: Call, namespace: str, name: str) -> Answer:
        """200: another one in its place, maybe of another name; for administrators."""
        wanted = wanted_object(await read_definition(call, ObjectBody))
        place = namespace_in(call), DefinitionKind.OBJECT, name_in(call)
        changed = await self._database.write(service.change_definition, call.access, *place, wanted)
        return Answer(200, show_object(place[0], changed))

    @route("DELETE", "/v2/metadefs/namespaces/{namespace}/objects/{name}")
    async def delete(self, call: Call, namespace: str, name: str) -> Answer:
        """204; for administrators."""
        place = namespace_in(call), DefinitionKind.OBJECT, name_in(call)
        await self._database.write(service.drop_definition, call.access, *place)
        return Answer(204)
