# -*- test-case-name: tests.protocols.rest.compute.test_server_create -*-
"""Schemas of bodies about servers.  Source: Compute API, "Servers", and Nova's own schemas of requests."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from .._documents import Document, Name
from ._versions import Members

MAX_USER_DATA = 65_535
Short = Annotated[str, Meta(max_length=255)]
Number = int | str
Truth = bool | str

CREATE = Members(
    since={
        "description": (2, 19), "tags": (2, 52), "trusted_image_certificates": (2, 63), "host": (2, 74),
        "hypervisor_hostname": (2, 74),
    },
    until={"personality": (2, 56)},
)  # fmt: skip
UPDATE = Members(since={"description": (2, 19)})
DEVICE = Members(since={"volume_type": (2, 67)})


class GroupNameBody(Document):
    """A security group by name or id."""

    name: Name


class FileBody(Document):
    """A file for the guest, in base64; up to 2.56."""

    path: Annotated[str, Meta(min_length=1, max_length=255)]
    contents: Annotated[str, Meta(max_length=262_144)]


class NetworkBody(Document):
    """An interface: on a network, or a port."""

    uuid: Short | None = None
    port: Short | None = None
    fixed_ip: Short | UnsetType = UNSET
    tag: Annotated[str, Meta(min_length=1, max_length=60)] | UnsetType = UNSET


class DeviceBody(Document):
    """A disk."""

    source_type: Short
    uuid: Short | None = None
    image_id: Short | None = None
    destination_type: Short | None = None
    boot_index: Number | None = None
    volume_size: Number | None = None
    delete_on_termination: Truth = False
    device_name: Short | None = None
    device_type: Short | None = None
    disk_bus: Short | None = None
    guest_format: Short | None = None
    no_device: Any = None
    volume_type: Short | None = None
    tag: Annotated[str, Meta(min_length=1, max_length=60)] | UnsetType = UNSET


class ServerBody(Document):
    """A new server."""

    name: Name
    flavor_ref: Short | int = msgspec.field(name="flavorRef")
    image_ref: Short | UnsetType = msgspec.field(name="imageRef", default=UNSET)
    admin_pass: Short | UnsetType = msgspec.field(name="adminPass", default=UNSET)
    metadata: dict[str, str] = {}
    networks: list[NetworkBody] | str | UnsetType = UNSET
    disk_config: str | UnsetType = msgspec.field(name="OS-DCF:diskConfig", default=UNSET)
    access_ip_v4: Short | UnsetType = msgspec.field(name="accessIPv4", default=UNSET)
    access_ip_v6: Short | UnsetType = msgspec.field(name="accessIPv6", default=UNSET)
    personality: Annotated[list[FileBody], Meta(max_length=1_000)] = []
    availability_zone: Short | UnsetType = UNSET
    block_device_mapping: list[Any] | UnsetType = UNSET
    block_device_mapping_v2: list[DeviceBody] | UnsetType = UNSET
    config_drive: Truth | None = None
    key_name: Name | UnsetType = UNSET
    min_count: Number | UnsetType = UNSET
    max_count: Number | UnsetType = UNSET
    return_reservation_id: Truth = False
    security_groups: Annotated[list[GroupNameBody], Meta(max_length=1_000)] | UnsetType = UNSET
    user_data: Annotated[str, Meta(max_length=MAX_USER_DATA)] | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=255)] | None = None
    tags: list[str] = []
    trusted_image_certificates: list[str] | None = None
    host: Name | UnsetType = UNSET
    hypervisor_hostname: Name | UnsetType = UNSET


class ServerUpdateBody(Document):
    """What of a server can be changed."""

    name: Name | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=255)] | UnsetType | None = UNSET
    access_ip_v4: Short | UnsetType = msgspec.field(name="accessIPv4", default=UNSET)
    access_ip_v6: Short | UnsetType = msgspec.field(name="accessIPv6", default=UNSET)
    disk_config: str | UnsetType = msgspec.field(name="OS-DCF:diskConfig", default=UNSET)
