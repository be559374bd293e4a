# -*- test-case-name: tests.protocols.rest.image.test_metadefs -*-
"""
Bodies of metadata definitions.

Members that only the service sets are refused with 403, as Glance does it; inside of a namespace they are let pass,
since clients send back what they were told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from cloudd.image import Definition, DefinitionKind, Definitions, ImageForbidden, Namespace

from .._documents import Document, decode_document, read_bytes
from .._face import Call
from .._faults import bad_request

_MOST = (1 << 63) - 1

DefinitionName = Annotated[str, Meta(min_length=1, max_length=80)]
Short = Annotated[str, Meta(max_length=80)]
Long = Annotated[str, Meta(max_length=65_535)]
Whole = Annotated[int, Meta(ge=-_MOST, le=_MOST)]
Count = Annotated[int, Meta(ge=0, le=_MOST)]
Scalar = str | Whole | float | bool
TypeName = Literal["array", "boolean", "integer", "number", "object", "string"]

READ_ONLY = ("self", "schema", "created_at", "updated_at")


class _Told(Document, kw_only=True):
    """Members that clients were told, and may not set."""

    schema: Any = UNSET
    created_at: Any = UNSET
    updated_at: Any = UNSET
    self_path: Any = msgspec.field(name="self", default=UNSET)


class ItemsBody(Document):
    """What the items of an array may be."""

    type: TypeName
    enum: list[Scalar] | UnsetType = UNSET


class PropertyBody(Document, rename="camel"):
    """What a property means, and what values it may have; ``name`` stands here or is the key under which it stands."""

    title: Long
    type: TypeName
    name: DefinitionName | UnsetType = UNSET
    description: Long | UnsetType = UNSET
    operators: list[Long] | UnsetType = UNSET
    required: list[Long] | UnsetType = UNSET
    default: Scalar | list[Scalar] | UnsetType = UNSET
    readonly: bool | UnsetType = UNSET
    confidential: bool | UnsetType = UNSET
    minimum: Whole | float | UnsetType = UNSET
    maximum: Whole | float | UnsetType = UNSET
    enum: list[Scalar] | UnsetType = UNSET
    pattern: Long | UnsetType = UNSET
    min_length: Count | UnsetType = UNSET
    max_length: Count | UnsetType = UNSET
    items: ItemsBody | UnsetType = UNSET
    unique_items: bool | UnsetType = UNSET
    min_items: Count | UnsetType = UNSET
    max_items: Count | UnsetType = UNSET
    additional_items: bool | UnsetType = UNSET


class ObjectBody(_Told):
    """Properties that belong together."""

    name: DefinitionName
    description: Long | UnsetType = UNSET
    required: list[DefinitionName] | UnsetType = UNSET
    properties: dict[DefinitionName, PropertyBody] | UnsetType = UNSET


class TagBody(_Told):
    """A word."""

    name: DefinitionName


class TagsBody(Document):
    """Several."""

    tags: list[TagBody]


class ResourceTypeBody(_Told):
    """A resource type that a namespace is for, and how names of properties begin there."""

    name: DefinitionName
    prefix: Short | UnsetType = UNSET
    properties_target: Short | UnsetType = UNSET


class NamespaceBody(_Told):
    """A namespace, and what it holds at first."""

    namespace: DefinitionName
    display_name: Short | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=500)] | UnsetType = UNSET
    visibility: Literal["public", "private"] = "private"
    protected: bool = False
    owner: Annotated[str, Meta(min_length=1, max_length=255)] | UnsetType = UNSET
    resource_type_associations: list[ResourceTypeBody] = []
    properties: dict[DefinitionName, PropertyBody] = {}
    objects: list[ObjectBody] = []
    tags: list[TagBody] = []


Body = TypeVar("Body", bound=Document)


async def read_definition(call: Call, schema: type[Body]) -> Body:
    """
    :raises ImageForbidden: it has a member that only the service sets
    :raises Fault: 400 with the place and the cause
    """
    data = await read_bytes(call.request, call.max_json_bytes)
    given = cast(Mapping[str, Any], decode_document(data, cast(Any, dict[str, Any])))
    told = [member for member in READ_ONLY if member in given]
    if told:
        raise ImageForbidden(f"Attribute '{told[0]}' is read-only.")
    return decode_document(data, schema)


def wanted_namespace(body: NamespaceBody) -> Namespace:
    """Without what it holds."""
    return Namespace(
        name=body.namespace,
        project_id=body.owner or "",
        visibility=body.visibility,
        protected=body.protected,
        display_name=None if body.display_name is UNSET else body.display_name,
        description=None if body.description is UNSET else body.description,
    )


def wanted_content(body: NamespaceBody) -> Definitions:
    """What a namespace holds at first."""
    return {
        DefinitionKind.OBJECT: [wanted_object(each, f"objects[{at}].") for at, each in enumerate(body.objects)],
        DefinitionKind.PROPERTY: [wanted_property(name, each) for name, each in body.properties.items()],
        DefinitionKind.TAG: [Definition(name=each.name) for each in body.tags],
        DefinitionKind.RESOURCE_TYPE: [wanted_resource_type(each) for each in body.resource_type_associations],
    }


def wanted_object(body: ObjectBody, place: str = "") -> Definition:
    """
    :param place: of it in the whole body
    :raises Fault: 400: a required property is named twice
    """
    required = body.required or []
    if len(set(required)) != len(required):
        raise bad_request(f"{place}required: names a property twice.")
    properties = body.properties or {}
    content = {
        "description": body.description,
        "required": required,
        "properties": {name: _content(each) for name, each in properties.items()},
    }
    return Definition(name=body.name, content=_given(content))


def wanted_property(name: str, body: PropertyBody) -> Definition:
    """
    :param name: the key under which it stands; a name inside of it is left out, as in Glance
    """
    return Definition(name=name, content=_content(body))


def wanted_resource_type(body: ResourceTypeBody) -> Definition:
    """A resource type that a namespace is for."""
    content = {"prefix": body.prefix, "properties_target": body.properties_target}
    return Definition(name=body.name, content=_given(content))


def _content(body: PropertyBody) -> dict[str, Any]:
    return {name: value for name, value in msgspec.to_builtins(body).items() if name != "name"}


def _given(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not UNSET}
