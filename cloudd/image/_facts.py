"""Images as values: what is kept of one, and the words of the API for its states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

QUEUED: Final = "queued"
SAVING: Final = "saving"
UPLOADING: Final = "uploading"  # its data is staged, or comes there now
IMPORTING: Final = "importing"
ACTIVE: Final = "active"
DEACTIVATED: Final = "deactivated"

PUBLIC: Final = "public"
PRIVATE: Final = "private"
SHARED: Final = "shared"
COMMUNITY: Final = "community"
VISIBILITIES: Final = (COMMUNITY, PUBLIC, PRIVATE, SHARED)

PENDING: Final = "pending"
ACCEPTED: Final = "accepted"
REJECTED: Final = "rejected"
MEMBER_STATUSES: Final = (PENDING, ACCEPTED, REJECTED)

CONTAINER_FORMATS: Final = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
DISK_FORMATS: Final = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop")
AMAZON: Final = ("ami", "ari", "aki")

GLANCE_DIRECT: Final = "glance-direct"
WEB_DOWNLOAD: Final = "web-download"

HASH_ALGORITHM: Final = "sha512"

MAX_PROPERTIES: Final = 128
MAX_TAGS: Final = 128
MAX_MEMBERS: Final = 128
MAX_NAME: Final = 255


@frozen(kw_only=True)
class Image:
    """
    One image.

    :ivar size: of its data in bytes; None: it has none yet
    :ivar virtual_size: of the disk that its data is of, in bytes
    :ivar min_disk: GiB, ``min_ram`` in MiB
    :ivar checksum: MD5 in hex, ``hash_value`` in hex by ``hash_algorithm``
    :ivar data_id: under which its data is in the store, or comes there now
    :ivar saving_until_us: so long an upload that says nothing is believed to go on
    :ivar import_task_id: of the import that goes on
    :ivar staged_size: bytes of data that was staged, until the image is active; it has come at ``staged_us``
    :ivar staged_on: id of the node that has it
    :ivar properties: all others that clients have given it
    """

    id: str
    project_id: str
    name: str | None = None
    status: str = QUEUED
    visibility: str = SHARED
    disk_format: str | None = None
    container_format: str | None = None
    size: int | None = None
    virtual_size: int | None = None
    min_disk: int = 0
    min_ram: int = 0
    protected: bool = False
    hidden: bool = False
    checksum: str | None = None
    hash_algorithm: str | None = None
    hash_value: str | None = None
    data_id: str | None = None
    saving_until_us: int | None = None
    import_task_id: str | None = None
    staged_size: int | None = None
    staged_on: str | None = None
    staged_us: int | None = None
    created_us: int = 0
    updated_us: int = 0
    properties: Mapping[str, str] = field(factory=dict)
    tags: tuple[str, ...] = ()


@frozen(kw_only=True)
class Member:
    """A project with which an image is shared, and what it says to that."""

    image_id: str
    project_id: str
    status: str = PENDING
    created_us: int = 0
    updated_us: int = 0
