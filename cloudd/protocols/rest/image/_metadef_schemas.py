# -*- test-case-name: tests.protocols.rest.image.test_metadef_schemas -*-
"""
What metadata definitions look like, as JSON schemas.

Source: Image API v2, "Metadata definition schemas", and what Glance serves there.
"""

from __future__ import annotations

from typing import Any

from .._face import Call
from .._faults import Fault
from .._routes import Answer, route

Schema = dict[str, Any]

_TYPES = ["array", "boolean", "integer", "number", "object", "string", None]
_STRING: Schema = {"type": "string"}
_BOOLEAN: Schema = {"type": "boolean"}
_NUMBER: Schema = {"type": "number"}
_ANYTHING: Schema = {"type": "array"}
_STRINGS: Schema = {"$ref": "#/definitions/stringArray"}
_COUNT: Schema = {"$ref": "#/definitions/positiveInteger"}
_COUNT_OR_0: Schema = {"$ref": "#/definitions/positiveIntegerDefault0"}
_PROPERTIES: Schema = {"$ref": "#/definitions/property"}
_PATH: Schema = {"type": "string", "readOnly": True}


def _short(words: str = "", length: int = 80) -> Schema:
    return {"type": "string", **({"description": words} if words else {}), "maxLength": length}


def _time(words: str) -> Schema:
    return {"type": "string", "readOnly": True, "description": words, "format": "date-time"}


_PROPERTY: Schema = {
    "name": _short(),
    "title": _STRING,
    "description": _STRING,
    "operators": {"type": "array", "items": _STRING},
    "type": {"type": "string", "enum": _TYPES},
    "required": _STRINGS,
    "minimum": _NUMBER,
    "maximum": _NUMBER,
    "maxLength": _COUNT,
    "minLength": _COUNT_OR_0,
    "pattern": {"type": "string", "format": "regex"},
    "enum": _ANYTHING,
    "readonly": _BOOLEAN,
    "default": {},
    "items": {"type": "object", "properties": {"type": {"type": "string", "enum": _TYPES}, "enum": _ANYTHING}},
    "maxItems": _COUNT,
    "minItems": _COUNT_OR_0,
    "uniqueItems": {"type": "boolean", "default": False},
    "additionalItems": _BOOLEAN,
}
_COUNTS: Schema = {
    "positiveInteger": {"type": "integer", "minimum": 0},
    "positiveIntegerDefault0": {"allOf": [_COUNT, {"default": 0}]},
}
_DEFINITIONS: Schema = {
    **_COUNTS,
    "stringArray": {"type": "array", "items": _STRING, "uniqueItems": True},
    "property": {
        "type": "object",
        "additionalProperties": {"type": "object", "required": ["title", "type"], "properties": _PROPERTY},
    },
}
_PROPERTY_DEFINITIONS: Schema = {
    **_COUNTS,
    "stringArray": {"type": "array", "items": _STRING, "minItems": 1, "uniqueItems": True},
}
_HELD: Schema = {
    "resource_type_associations": {
        "type": "array",
        "items": {"type": "object", "properties": {"name": _STRING, "prefix": _STRING, "properties_target": _STRING}},
    },
    "properties": _PROPERTIES,
    "objects": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"name": _STRING, "description": _STRING, "required": _STRINGS, "properties": _PROPERTIES},
        },
    },
    "tags": {"type": "array", "items": {"type": "object", "properties": {"name": _STRING}}},
}
_NAMESPACE: Schema = {
    "namespace": _short("The unique namespace text."),
    "display_name": _short("The user friendly name for the namespace. Used by UI if available."),
    "description": _short("Provides a user friendly description of the namespace.", 500),
    "visibility": {
        "type": "string",
        "description": "Scope of namespace accessibility.",
        "enum": ["public", "private"],
    },
    "protected": {"type": "boolean", "description": "If true, namespace will not be deletable."},
    "owner": _short("Owner of the namespace.", 255),
    "created_at": _time("Date and time of namespace creation"),
    "updated_at": _time("Date and time of the last namespace modification"),
    "schema": _PATH,
    "self": _PATH,
    **_HELD,
}
_OBJECT: Schema = {
    "name": _short(),
    "description": _STRING,
    "required": _STRINGS,
    "properties": _PROPERTIES,
    "schema": _PATH,
    "self": _PATH,
    "created_at": _time("Date and time of object creation"),
    "updated_at": _time("Date and time of the last object modification"),
}
_TAG: Schema = {
    "name": _short(),
    "created_at": _time("Date and time of tag creation"),
    "updated_at": _time("Date and time of the last tag modification"),
}
_RESOURCE_TYPE: Schema = {
    "name": _short(
        "Resource type names should be aligned with Heat resource types whenever possible: "
        "https://docs.openstack.org/heat/latest/template_guide/openstack.html"
    ),
    "prefix": _short(
        "Specifies the prefix to use for the given resource type. Any properties in the namespace should be prefixed "
        "with this prefix when being applied to the specified resource type. Must include prefix separator (e.g. a "
        "colon :)."
    ),
    "properties_target": _short(
        "Some resource types allow more than one key / value pair per instance. For example, Cinder allows user and "
        "image metadata on volumes. Only the image properties metadata is evaluated by Nova (scheduling or drivers). "
        "This property allows a namespace target to remove the ambiguity."
    ),
    "created_at": _time("Date and time of resource type association"),
    "updated_at": _time("Date and time of the last resource type association modification"),
}


def _one(name: str, properties: Schema, required: list[str]) -> Schema:
    return {"name": name, "properties": properties, "additionalProperties": False, "required": required}


def _several(name: str, items: Schema) -> Schema:
    links = [
        {"rel": "first", "href": "{first}"},
        {"rel": "next", "href": "{next}"},
        {"rel": "describedby", "href": "{schema}"},
    ]
    return {"name": name, "properties": {name: items, **dict.fromkeys(("first", "next", "schema"), _STRING)},
            "links": links}  # fmt: skip


_NAMESPACE_ONE = _one("namespace", _NAMESPACE, ["namespace"])
_OBJECT_ONE = _one("object", _OBJECT, ["name"])
_TAG_ONE = _one("tag", _TAG, ["name"])
_RESOURCE_TYPE_ONE = _one("resource_type_association", _RESOURCE_TYPE, ["name"])

#: By the last step of the path; Glance's names for them differ from it at times.
SCHEMAS: dict[str, Schema] = {
    "namespace": {**_NAMESPACE_ONE, "definitions": _DEFINITIONS},
    "namespaces": {
        **_several("namespaces", {"type": "array", "items": _NAMESPACE_ONE}),
        "definitions": _DEFINITIONS,
    },
    "object": {**_OBJECT_ONE, "definitions": _DEFINITIONS},
    "objects": {**_several("objects", {"type": "array", "items": _OBJECT_ONE}), "definitions": _DEFINITIONS},
    "property": {**_one("property", _PROPERTY, ["type", "title", "name"]), "definitions": _PROPERTY_DEFINITIONS},
    "properties": {
        **_several(
            "properties",
            {"type": "object", "additionalProperties": _one("property", _PROPERTY, ["type", "title"])},
        ),
        "definitions": _PROPERTY_DEFINITIONS,
    },
    "tag": _TAG_ONE,
    "tags": _several("tags", {"type": "array", "items": _TAG_ONE}),
    "resource_type": _RESOURCE_TYPE_ONE,
    "resource_types": _several("resource_type_associations", {"type": "array", "items": _RESOURCE_TYPE_ONE}),
}


class SchemaRoutes:
    """``/v2/schemas/metadefs``."""

    @route("GET", "/v2/schemas/metadefs/{name}")
    async def schema(self, call: Call, name: str) -> Answer:
        """What a metadata definition looks like, as JSON schema."""
        if name not in SCHEMAS:
            raise Fault(404, f"There is no schema metadefs/{name[:40]}: there are {', '.join(SCHEMAS)}.")
        return Answer(200, SCHEMAS[name])
