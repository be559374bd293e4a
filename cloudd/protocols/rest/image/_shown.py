# -*- test-case-name: tests.protocols.rest.image.test_records -*-
"""Images and members as the API shows them."""

from __future__ import annotations

from typing import Any

from cloudd.image import Image, ImportTask, Member

from .._times import whole_zulu

SCHEMA = "/v2/schemas"
#: State of a task -> Glance's word for it.
STATUSES = {"queued": "pending", "running": "processing", "done": "success", "failed": "failure"}


def show_image(image: Image) -> dict[str, Any]:
    """One image, its properties among its members."""
    return {
        **image.properties,
        "id": image.id,
        "name": image.name,
        "status": image.status,
        "visibility": image.visibility,
        "protected": image.protected,
        "os_hidden": image.hidden,
        "owner": image.project_id,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "size": image.size,
        "virtual_size": image.virtual_size,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "checksum": image.checksum,
        "os_hash_algo": image.hash_algorithm,
        "os_hash_value": image.hash_value,
        "tags": list(image.tags),
        "created_at": whole_zulu(image.created_us),
        "updated_at": whole_zulu(image.updated_us),
        "self": f"/v2/images/{image.id}",
        "file": f"/v2/images/{image.id}/file",
        "schema": f"{SCHEMA}/image",
        **({"os_glance_import_task": image.import_task_id} if image.import_task_id else {}),
    }


def show_import(task: ImportTask) -> dict[str, Any]:
    """One import as Glance's task."""
    method = {"name": task.payload["method"]} | ({"uri": task.payload["uri"]} if task.payload["uri"] else {})
    return {
        **show_import_in_list(task),
        "input": {"image_id": task.image_id, "import_req": {"method": method}},
        "result": {"image_id": task.image_id} if task.state == "done" else None,
        "message": task.cause,
    }


def show_import_in_list(task: ImportTask) -> dict[str, Any]:
    """The same without what it takes and gives."""
    return {
        "id": task.id,
        "type": "api_image_import",
        "status": STATUSES[task.state],
        "owner": task.project_id,
        "image_id": task.image_id,
        "user_id": task.payload["user_id"],
        "request_id": task.request_id,
        "expires_at": None,
        "created_at": whole_zulu(task.created_us),
        "updated_at": whole_zulu(task.updated_us),
        "self": f"/v2/tasks/{task.id}",
        "schema": f"{SCHEMA}/task",
    }


def show_member(member: Member) -> dict[str, Any]:
    """One member."""
    return {
        "image_id": member.image_id,
        "member_id": member.project_id,
        "status": member.status,
        "created_at": whole_zulu(member.created_us),
        "updated_at": whole_zulu(member.updated_us),
        "schema": f"{SCHEMA}/member",
    }
