"""
Images: what servers boot from, as in the Image API v2.

::

    images = Images(resources, store)
    image = await images.create(access, Image(id="", project_id="", name="debian"))
    image = await images.update(access, image.id, read_operations([{"op": "add", "path": "/a", "value": "b"}]))

    saving = await images.begin_upload(access, image.id)     # then feed an upload of the store with these digests:
    upload = await images.store.receive(DIGESTS)
    image = await images.keep(saving, upload)                # or images.give_up(image.id)

Data is looked at while it passes by (``_inspection``) and refused where it is not what the image says, or names other
files on the host that would boot it.
"""

from ._data import DIGESTS, data_of
from ._errors import (
    BadImageValue,
    ImageConflict,
    ImageError,
    ImageForbidden,
    NoSuchImage,
    NoSuchMember,
    OverQuota,
    SourceBroken,
    SourceRefused,
    UnfitData,
)
from ._facts import (
    CONTAINER_FORMATS,
    DISK_FORMATS,
    HASH_ALGORITHM,
    MEMBER_STATUSES,
    VISIBILITIES,
    Image,
    Member,
)
from ._fetch import Fetcher
from ._import_rows import ImportTask
from ._imports import Imports, import_kinds
from ._inspection import Findings, Inspector, unfit
from ._patch import MEMBERS, Operation, property_value, read_operations, refuse_reserved, with_member
from ._query import COLUMNS, SORTABLE, Condition, ImageQuery, Order
from ._rows import by_id as image_by_id
from ._rows import named as named_image
from ._service import Images
from ._source import Sources, read_sources

__all__ = [
    "COLUMNS",
    "CONTAINER_FORMATS",
    "DIGESTS",
    "DISK_FORMATS",
    "HASH_ALGORITHM",
    "MEMBERS",
    "MEMBER_STATUSES",
    "SORTABLE",
    "VISIBILITIES",
    "BadImageValue",
    "Condition",
    "Fetcher",
    "Findings",
    "Image",
    "ImageConflict",
    "ImageError",
    "ImageForbidden",
    "ImageQuery",
    "Images",
    "ImportTask",
    "Imports",
    "Inspector",
    "Member",
    "NoSuchImage",
    "NoSuchMember",
    "Operation",
    "Order",
    "OverQuota",
    "SourceBroken",
    "SourceRefused",
    "Sources",
    "UnfitData",
    "data_of",
    "image_by_id",
    "import_kinds",
    "named_image",
    "property_value",
    "read_operations",
    "read_sources",
    "refuse_reserved",
    "unfit",
    "with_member",
]
