# -*- test-case-name: tests.protocols.rest.image.test_metadefs -*-
"""Tags that images may be given.  Source: Image API v2, "Metadata definition tags"."""

from __future__ import annotations

from cloudd import image as service
from cloudd.image import MAX_DEFINITION_NAME, BadImageValue, Definition, DefinitionKind
from cloudd.interfaces.application import Transactions

from .._face import Call
from .._query import meaning_of
from .._routes import Answer, route
from ._metadef_documents import TagBody, TagsBody, read_definition
from ._metadef_queries import definition_listing, name_in, namespace_in
from ._metadef_shown import show_names, show_tag


class TagRoutes:
    """``/v2/metadefs/namespaces/{namespace}/tags``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2/metadefs/namespaces/{namespace}/tags")
    async def list_tags(self, call: Call, namespace: str) -> Answer:
        """All of a namespace; by `sort_key`, `limit` and `marker`."""
        place, listing = namespace_in(call), definition_listing(call.query)
        found = await self._database.read(service.definitions_of, call.access, place, DefinitionKind.TAG, listing)
        return Answer(200, {"tags": show_names(found)})

    @route("POST", "/v2/metadefs/namespaces/{namespace}/tags")
    async def create_several(self, call: Call, namespace: str) -> Answer:
        """201: these in the place of all others, with `X-OpenStack-Append: true` besides them; for administrators."""
        wanted = [Definition(name=each.name) for each in (await read_definition(call, TagsBody)).tags]
        appended = meaning_of((call.request.header(b"x-openstack-append") or b"").decode("latin-1"))
        write = service.add_definitions if appended or not wanted else service.replace_definitions
        await self._database.write(write, call.access, namespace_in(call), DefinitionKind.TAG, wanted)
        return Answer(201, {"tags": show_names(wanted)})

    @route("DELETE", "/v2/metadefs/namespaces/{namespace}/tags")
    async def delete_all(self, call: Call, namespace: str) -> Answer:
        """204: all of a namespace; for administrators."""
        await self._database.write(service.drop_definitions, call.access, namespace_in(call), DefinitionKind.TAG)
        return Answer(204)

    @route("POST", "/v2/metadefs/namespaces/{namespace}/tags/{name}")
    async def create(self, call: Call, namespace: str, name: str) -> Answer:
        """201 with the new one; for administrators."""
        name = name_in(call)
        if len(name) > MAX_DEFINITION_NAME:
            raise BadImageValue(f"name: longer than {MAX_DEFINITION_NAME} characters.")
        place = namespace_in(call), DefinitionKind.TAG, [Definition(name=name)]
        (made,) = await self._database.write(service.add_definitions, call.access, *place)
        return Answer(201, show_tag(made))

    @route("GET", "/v2/metadefs/namespaces/{namespace}/tags/{name}")
    async def show(self, call: Call, namespace: str, name: str) -> Answer:
        """One tag."""
        place = namespace_in(call), DefinitionKind.TAG, name_in(call)
        return Answer(200, show_tag(await self._database.read(service.one_definition, call.access, *place)))

    @route("PUT", "/v2/metadefs/namespaces/{namespace}/tags/{name}")
    async def update(self, call: Call, namespace: str, name: str) -> Answer:
        """200: it has another name; for administrators."""
        wanted = Definition(name=(await read_definition(call, TagBody)).name)
        place = namespace_in(call), DefinitionKind.TAG, name_in(call)
        changed = await self._database.write(service.change_definition, call.access, *place, wanted)
        return Answer(200, show_tag(changed))

    @route("DELETE", "/v2/metadefs/namespaces/{namespace}/tags/{name}")
    async def delete(self, call: Call, namespace: str, name: str) -> Answer:
        """204; for administrators."""
        await self._database.write(
            service.drop_definition, call.access, namespace_in(call), DefinitionKind.TAG, name_in(call)
        )
        return Answer(204)
