"""
Images: what servers boot from, as in the Image API v2.

::

    images = Images(resources, store)
    image = await images.create(access, Image(id="", project_id="", name="debian"))
    image = await images.update(access, image.id, read_operations([{"op": "add", "path": "/a", "value": "b"}]))

    saving = await images.begin_upload(access, image.id)     # then feed an upload of the store with these digests:
    upload = await images.store.receive(DIGESTS)
    image = await images.keep(saving, upload)                # or images.give_up(image.id)

Metadata definitions are functions for ``Transactions.read`` and ``write``, rights included::

    wanted = Namespace(name="OS::Compute::Watchdog", project_id="", visibility="public")
    action = Definition(name="hw_watchdog_action", content={"title": "Action", "type": "string"})
    await database.write(create_filled, access, wanted, {DefinitionKind.PROPERTY: [action]})
    await database.read(definitions_of, access, "OS::Compute::Watchdog", DefinitionKind.PROPERTY)

Data is looked at while it passes by (``_inspection``) and refused where it is not what the image says, or names other
files on the host that would boot it.
"""

from ._data import DIGESTS, data_of
from ._errors import (
    BadImageValue,
    ImageConflict,
    ImageError,
    ImageForbidden,
    NoSuchDefinition,
    NoSuchImage,
    NoSuchImport,
    NoSuchMember,
    OverQuota,
    SourceBroken,
    SourceRefused,
    UnfitData,
)
from ._facts import CONTAINER_FORMATS, DISK_FORMATS, HASH_ALGORITHM, MEMBER_STATUSES, VISIBILITIES, Image, Member
from ._fetch import Fetcher
from ._for_servers import BACKUP, backups_beyond, queue_image
from ._import_rows import ImportListing, ImportTask
from ._imports import Imports, import_kinds
from ._inspection import Findings, Inspector, unfit
from ._metadef_facts import (
    MAX_DEFINITION_NAME,
    NAMESPACE_VISIBILITIES,
    RESOURCE_TYPES,
    Definition,
    DefinitionKind,
    DefinitionListing,
    Namespace,
    NamespaceListing,
)
from ._metadef_namespaces import change_namespace, delete_namespace, enforce_definer, listed_namespaces
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
from ._patch import (
    MEMBERS,
    Operation,
    property_value,
    read_first_operations,
    read_operations,
    refuse_reserved,
    with_member,
)
from ._query import COLUMNS, SORTABLE, Condition, ImageQuery, Order
from ._quota import Quota
from ._records import image_record
from ._rows import by_id as image_by_id
from ._rows import named as named_image
from ._service import Images
from ._source import Sources, read_sources

__all__ = [
    "BACKUP",
    "COLUMNS",
    "CONTAINER_FORMATS",
    "DIGESTS",
    "DISK_FORMATS",
    "HASH_ALGORITHM",
    "MAX_DEFINITION_NAME",
    "MEMBERS",
    "MEMBER_STATUSES",
    "NAMESPACE_VISIBILITIES",
    "RESOURCE_TYPES",
    "SORTABLE",
    "VISIBILITIES",
    "BadImageValue",
    "Condition",
    "Definition",
    "DefinitionKind",
    "DefinitionListing",
    "Definitions",
    "Fetcher",
    "Findings",
    "Image",
    "ImageConflict",
    "ImageError",
    "ImageForbidden",
    "ImageQuery",
    "Images",
    "ImportListing",
    "ImportTask",
    "Imports",
    "Inspector",
    "Member",
    "Namespace",
    "NamespaceListing",
    "NoSuchDefinition",
    "NoSuchImage",
    "NoSuchImport",
    "NoSuchMember",
    "Operation",
    "Order",
    "OverQuota",
    "Quota",
    "SourceBroken",
    "SourceRefused",
    "Sources",
    "UnfitData",
    "add_definitions",
    "all_definitions",
    "backups_beyond",
    "change_definition",
    "change_namespace",
    "create_filled",
    "data_of",
    "definitions_of",
    "delete_namespace",
    "drop_definition",
    "drop_definitions",
    "enforce_definer",
    "image_by_id",
    "image_record",
    "import_kinds",
    "known_resource_types",
    "listed_namespaces",
    "named_image",
    "one_definition",
    "property_value",
    "queue_image",
    "read_first_operations",
    "read_operations",
    "read_sources",
    "refuse_reserved",
    "replace_definitions",
    "resource_types_of",
    "unfit",
    "with_member",
]
