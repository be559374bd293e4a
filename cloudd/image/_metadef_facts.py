"""Metadata definitions as values: namespaces, what stands in them, and what a list of either is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from attrs import field, frozen

MAX_DEFINITION_NAME: Final = 80
MAX_NAMESPACES: Final = 1_000
MAX_DEFINITIONS: Final = 1_000
MAX_CONTENT: Final = 4 << 20

NAMESPACE_VISIBILITIES: Final = ("public", "private")

#: Those that Glance's own definitions name: a cloud has them before anybody has defined anything.
RESOURCE_TYPES: Final = (
    "OS::Cinder::Volume",
    "OS::Glance::Image",
    "OS::Nova::Aggregate",
    "OS::Nova::Flavor",
    "OS::Nova::Server",
    "OS::Trove::Instance",
)


class DefinitionKind(StrEnum):
    """What stands in a namespace; the words of the API's paths, in the singular."""

    OBJECT = "object"
    PROPERTY = "property"
    TAG = "tag"
    RESOURCE_TYPE = "resource_type"  # that the namespace is for: an association


@frozen(kw_only=True)
class Namespace:
    """
    A set of definitions.

    :ivar id: ours; clients name it by ``name``, which no other one has
    :ivar project_id: its owner
    """

    name: str
    project_id: str
    visibility: str = "private"
    protected: bool = False
    display_name: str | None = None
    description: str | None = None
    id: str = ""
    created_us: int = 0
    updated_us: int = 0


@frozen(kw_only=True)
class Definition:
    """
    One definition in a namespace.

    :ivar content: its members in the API besides its name; JSON
    """

    name: str
    content: Mapping[str, Any] = field(factory=dict)
    created_us: int = 0
    updated_us: int = 0


@frozen(kw_only=True)
class NamespaceListing:
    """
    Which namespaces, in which order.

    :ivar visibility: empty: any
    :ivar resource_types: only those that are for one of these; None: all
    :ivar sort_key: of ``NAMESPACE_SORT_KEYS``
    :ivar marker: name of the one before the page; empty: it is the first
    """

    visibility: str = ""
    resource_types: tuple[str, ...] | None = None
    sort_key: str = "created_at"
    descending: bool = True
    marker: str = ""
    limit: int = 25


@frozen(kw_only=True)
class DefinitionListing:
    """
    The same for definitions.

    :ivar sort_key: of ``DEFINITION_SORT_KEYS``
    """

    sort_key: str = "name"
    descending: bool = False
    marker: str = ""
    limit: int | None = None


#: Of the API's names -> our column.
NAMESPACE_SORT_KEYS: Final[Mapping[str, str]] = {
    "created_at": "created_us",
    "display_name": "display_name",
    "namespace": "name",
    "owner": "project_id",
    "updated_at": "updated_us",
    "visibility": "visibility",
}
DEFINITION_SORT_KEYS: Final[Mapping[str, str]] = {
    "created_at": "created_us",
    "name": "name",
    "updated_at": "updated_us",
}
