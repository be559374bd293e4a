# -*- test-case-name: tests.protocols.rest.image.test_metadefs -*-
"""Metadata definitions as the API shows them; links are paths, as Glance tells them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from cloudd.image import Definition, DefinitionKind, Definitions, Namespace

from .._times import whole_zulu

SCHEMA = "/v2/schemas/metadefs"
NAMESPACES = "/v2/metadefs/namespaces"

Shown = dict[str, Any]


def path_to(*steps: str) -> str:
    """Of a namespace, or of what it holds."""
    return "/".join([NAMESPACES, *(quote(step, safe=":") for step in steps)])


def show_namespace(namespace: Namespace, content: Definitions, prefix: str = "") -> Shown:
    """
    With what it holds; kinds of which it has none are left out.

    :param prefix: before each name of a property
    """
    objects = [show_object(namespace.name, each, prefix) for each in content.get(DefinitionKind.OBJECT, ())]
    held = {
        "objects": objects,
        "resource_type_associations": show_resource_types(content.get(DefinitionKind.RESOURCE_TYPE, ())),
        "properties": show_properties(content.get(DefinitionKind.PROPERTY, ()), prefix),
        "tags": show_names(content.get(DefinitionKind.TAG, ())),
    }
    return {
        **_without_nothing({"display_name": namespace.display_name, "description": namespace.description}),
        "namespace": namespace.name,
        "visibility": namespace.visibility,
        "protected": namespace.protected,
        "owner": namespace.project_id,
        **_times(namespace),
        "self": path_to(namespace.name),
        "schema": f"{SCHEMA}/namespace",
        **{name: shown for name, shown in held.items() if shown},
    }


def show_object(namespace: str, definition: Definition, prefix: str = "") -> Shown:
    """One object."""
    content = definition.content
    return {
        **content,
        "name": definition.name,
        "required": [prefix + name for name in content["required"]],
        "properties": _prefixed(content["properties"], prefix),
        **_times(definition),
        "self": path_to(namespace, "objects", definition.name),
        "schema": f"{SCHEMA}/object",
    }


def show_property(definition: Definition) -> Shown:
    """One property, with its name."""
    return {"name": definition.name, **definition.content}


def show_properties(definitions: Iterable[Definition], prefix: str = "") -> Shown:
    """By name."""
    return _prefixed({each.name: each.content for each in definitions}, prefix)


def show_tag(definition: Definition) -> Shown:
    """One tag."""
    return {"name": definition.name, **_times(definition)}


def show_names(definitions: Iterable[Definition]) -> list[Shown]:
    """Tags in a list are their names."""
    return [{"name": each.name} for each in definitions]


def show_resource_types(definitions: Sequence[Definition]) -> list[Shown]:
    """Those that a namespace is for."""
    return [{"name": each.name, **each.content, **_times(each)} for each in definitions]


def _times(record: Namespace | Definition) -> Shown:
    return {"created_at": whole_zulu(record.created_us), "updated_at": whole_zulu(record.updated_us)}


def _prefixed(members: Mapping[str, Any], prefix: str) -> Shown:
    return {prefix + name: value for name, value in members.items()}


def _without_nothing(members: Shown) -> Shown:
    return {name: value for name, value in members.items() if value is not None}
