# -*- test-case-name: tests.protocols.rest.image.test_discovery -*-
"""Versions, schemas, and what imports there are.  Source: Image API v2, "API versions", "Image schemas"."""

from __future__ import annotations

from typing import Any

from cloudd.image import CONTAINER_FORMATS, DISK_FORMATS, MEMBER_STATUSES, VISIBILITIES

from .._api_versions import Served
from .._face import Call
from .._faults import Fault
from .._routes import Answer, route
from ._shown import STATUSES

API = "image"
MINORS = (0, 1, 2, 3, 4, 5, 6, 7, 9)
"""Of version 2; 2.8 is several stores, and 2.10 and later are caches and imports."""

_STATUSES = ("queued", "saving", "active", "killed", "deleted", "uploading", "importing", "pending_delete",
             "deactivated")  # fmt: skip
_UUID = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"


def _text(words: str, *, read_only: bool = False, empty: bool = True, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"type": ["null", "string"] if empty else "string", "description": words, **more}
    return {**found, "readOnly": True} if read_only else found


def _number(words: str, *, read_only: bool = False) -> dict[str, Any]:
    if read_only:
        return {"type": ["null", "integer"], "readOnly": True, "description": words}
    return {"type": "integer", "description": words}


_IMAGE: dict[str, Any] = {
    "id": _text("An identifier for the image", empty=False, pattern=_UUID),
    "name": _text("Descriptive name for the image", maxLength=255),
    "status": _text("Status of the image", read_only=True, empty=False, enum=list(_STATUSES)),
    "visibility": _text("Scope of image accessibility", empty=False, enum=list(VISIBILITIES)),
    "protected": {"type": "boolean", "description": "If true, image will not be deletable."},
    "os_hidden": {"type": "boolean", "description": "If true, image will not appear in default image list response."},
    "checksum": _text("md5 hash of image contents.", read_only=True, maxLength=32),
    "os_hash_algo": _text("Algorithm to calculate the os_hash_value", read_only=True, maxLength=64),
    "os_hash_value": _text("Hexdigest of the image contents", read_only=True, maxLength=128),
    "owner": _text("Owner of the image", maxLength=255),
    "size": _number("Size of image file in bytes", read_only=True),
    "virtual_size": _number("Virtual size of image in bytes", read_only=True),
    "container_format": _text("Format of the container", enum=[None, *CONTAINER_FORMATS]),
    "disk_format": _text("Format of the disk", enum=[None, *DISK_FORMATS]),
    "created_at": _text("Date and time of image registration", read_only=True, empty=False),
    "updated_at": _text("Date and time of the last image modification", read_only=True, empty=False),
    "tags": {
        "type": "array",
        "description": "List of strings related to the image",
        "items": {"type": "string", "maxLength": 255},
    },
    "min_ram": _number("Amount of ram (in MB) required to boot image."),
    "min_disk": _number("Amount of disk space (in GB) required to boot image."),
    "self": _text("An image self url", read_only=True, empty=False),
    "file": _text("An image file url", read_only=True, empty=False),
    "schema": _text("An image schema url", read_only=True, empty=False),
}
_MEMBER: dict[str, Any] = {
    "member_id": _text("An identifier for the image member (tenantId)", empty=False),
    "image_id": _text("An identifier for the image", empty=False, pattern=_UUID),
    "created_at": _text("Date and time of image member creation", empty=False),
    "updated_at": _text("Date and time of last modification of image member", empty=False),
    "status": _text("The status of this image member", empty=False, enum=list(MEMBER_STATUSES)),
    "schema": _text("", read_only=True, empty=False),
}


def _list_schema(name: str, item: dict[str, Any]) -> dict[str, Any]:
    links = [{"href": "{first}", "rel": "first"}, {"href": "{next}", "rel": "next"},
             {"href": "{schema}", "rel": "describedby"}]  # fmt: skip
    properties = {
        name: {"type": "array", "items": item},
        "first": {"type": "string"},
        "next": {"type": "string"},
        "schema": {"type": "string"},
    }
    return {"name": name, "properties": properties, "links": links}


_TASK_IN_LIST: dict[str, Any] = {
    "id": _text("An identifier for the task", empty=False),
    "type": _text("The type of task represented by this content", empty=False, enum=["import", "api_image_import"]),
    "status": _text("The current status of this task", empty=False, enum=list(STATUSES.values())),
    "owner": _text("An identifier for the owner of this task"),
    "image_id": _text("Image associated with the task", empty=False),
    "request_id": _text("Human-readable informative request-id", empty=False),
    "user_id": _text("User associated with the task", empty=False),
    "expires_at": _text("Datetime when this resource would be subject to removal"),
    "created_at": _text("Datetime when this resource was created", empty=False),
    "updated_at": _text("Datetime when this resource was updated", empty=False),
    "self": _text("A task self url", read_only=True, empty=False),
    "schema": _text("A task schema url", read_only=True, empty=False),
}
_TASK: dict[str, Any] = {
    **_TASK_IN_LIST,
    "input": {"type": ["null", "object"], "description": "The parameters required by task, JSON blob"},
    "result": {"type": ["null", "object"], "description": "The result of current task, JSON blob"},
    "message": _text("Why it has failed", empty=False),
}


_IMAGE_SCHEMA = {
    "name": "image",
    "properties": _IMAGE,
    "additionalProperties": {"type": "string"},
    "links": [
        {"href": "{self}", "rel": "self"},
        {"href": "{file}", "rel": "enclosure"},
        {"href": "{schema}", "rel": "describedby"},
    ],
}
_MEMBER_SCHEMA = {"name": "member", "properties": _MEMBER}
SCHEMAS: dict[str, dict[str, Any]] = {
    "image": _IMAGE_SCHEMA,
    "images": _list_schema("images", _IMAGE_SCHEMA),
    "member": _MEMBER_SCHEMA,
    "task": {"name": "task", "properties": _TASK, "additionalProperties": False},
    "tasks": _list_schema("tasks", {"name": "task", "properties": _TASK_IN_LIST, "additionalProperties": False}),
    "members": {
        "name": "members",
        "properties": {"members": {"type": "array", "items": _MEMBER_SCHEMA}, "schema": {"type": "string"}},
        "links": [{"href": "{schema}", "rel": "describedby"}],
    },
}


class DiscoveryRoutes:
    """``/``, ``/versions``, ``/v2/schemas`` and ``/v2/info``."""

    def __init__(self, served: Served) -> None:
        self._served = served

    @route("GET", "", token=False)
    async def choices(self, call: Call) -> Answer:
        """300, as Glance has it."""
        return Answer(300, self._versions(call))

    @route("GET", "/versions", token=False)
    async def versions(self, call: Call) -> Answer:
        """200 with the same."""
        return Answer(200, self._versions(call))

    @route("GET", "/v2", token=False)
    async def version_two(self, call: Call) -> Answer:
        """300, too."""
        return Answer(300, self._versions(call))

    @route("GET", "/v2/schemas/{name}")
    async def schema(self, call: Call, name: str) -> Answer:
        """What an image, a member or a task looks like, as JSON schema."""
        if name not in SCHEMAS:
            raise Fault(404, f"There is no schema {name[:40]}.")
        return Answer(200, SCHEMAS[name])

    @route("GET", "/v2/info/stores")
    async def stores(self, call: Call) -> Answer:
        """404: there is one store."""
        raise Fault(404, "Multi backend is not supported at this site.")

    def _versions(self, call: Call) -> dict[str, Any]:
        oldest, newest = self._served(API, MINORS)
        links = [{"rel": "self", "href": call.links.to("v2") + "/"}]
        shown = [minor for minor in reversed(MINORS) if oldest <= minor <= newest]
        return {
            "versions": [
                {"id": f"v2.{minor}", "status": "CURRENT" if minor == newest else "SUPPORTED", "links": links}
                for minor in shown
            ]
        }
