"""
Metadata definitions, as in the Image API v2: what properties of images, flavors and servers are called, what values
they may have, and for which resource types that holds.  They are told to clients; nothing here is enforced on images.

::

    wanted = Namespace(name="OS::Compute::Watchdog", project_id="", visibility="public")
    action = Definition(name="hw_watchdog_action", content={"title": "Action", "type": "string"})
    await database.write(create_filled, access, wanted, {Kind.PROPERTY: [action]})
    await database.read(definitions_of, access, "OS::Compute::Watchdog", Kind.PROPERTY)

All are functions for ``Transactions.read`` and ``write`` with a ``sqlalchemy.Connection``, rights included; they raise
``cloudd.image.ImageError``.
"""

from ._metadef_facts import (
    DEFINITION_SORT_KEYS,
    MAX_DEFINITION_NAME,
    MAX_DEFINITIONS,
    NAMESPACE_SORT_KEYS,
    NAMESPACE_VISIBILITIES,
    RESOURCE_TYPES,
    Definition,
    DefinitionListing,
    Kind,
    Namespace,
    NamespaceListing,
)
from ._metadef_namespaces import (
    change_namespace,
    delete_namespace,
    enforce_definer,
    listed_namespaces,
    one_namespace,
)
from ._metadefs import (
    Definitions,
    add_definitions,
    all_definitions,
    change_definition,
    create_filled,
    definitions_of,
    drop_definition,
    drop_definitions,
    known_resource_types,
    one_definition,
    replace_definitions,
    resource_types_of,
)

__all__ = [
    "DEFINITION_SORT_KEYS",
    "MAX_DEFINITIONS",
    "MAX_DEFINITION_NAME",
    "NAMESPACE_SORT_KEYS",
    "NAMESPACE_VISIBILITIES",
    "RESOURCE_TYPES",
    "Definition",
    "DefinitionListing",
    "Definitions",
    "Kind",
    "Namespace",
    "NamespaceListing",
    "add_definitions",
    "all_definitions",
    "change_definition",
    "change_namespace",
    "create_filled",
    "definitions_of",
    "delete_namespace",
    "drop_definition",
    "drop_definitions",
    "enforce_definer",
    "known_resource_types",
    "listed_namespaces",
    "one_definition",
    "one_namespace",
    "replace_definitions",
    "resource_types_of",
]
