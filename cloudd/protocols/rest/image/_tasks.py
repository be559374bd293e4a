# -*- test-case-name: tests.protocols.rest.image.test_tasks -*-
"""
Imports as Glance's tasks, for administrators; the API calls them deprecated.

Source: Image API v2, "Tasks".
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from msgspec import Meta

from cloudd.image import ImportListing, Imports

from .._documents import Document
from .._face import Call
from .._faults import Fault, bad_request
from .._query import Query
from .._routes import Answer, route
from ._records import new_image
from ._shown import SCHEMA, STATUSES, show_import, show_import_in_list

TYPES = ("import", "api_image_import")
DEFAULT_LIMIT = 25
MAX_LIMIT = 1_000
SORT_KEYS = {"created_at": "created_us", "updated_at": "updated_us"}
_NUMBER = re.compile(r"[0-9]{1,18}")


class TaskInput(Document):
    """From where the data comes, and what the image is to be; data is looked at, whatever format is said here."""

    import_from: Annotated[str, Meta(max_length=2048)]
    image_properties: dict[str, Any]
    import_from_format: str = ""


class NewTask(Document):
    """An image is made and its data downloaded."""

    type: Literal["import"]
    input: TaskInput


class TaskRoutes:
    """``/v2/tasks``."""

    def __init__(self, imports: Imports) -> None:
        self._imports = imports

    @route("GET", "/v2/tasks")
    async def list_tasks(self, call: Call) -> Answer:
        """Imports of all projects, by `status`, 25 at a time; `next` leads on; for administrators."""
        listing = _listing(call.query)
        found = await self._imports.page(call.access, listing)
        document: dict[str, Any] = {
            "tasks": [show_import_in_list(each) for each in found],
            "first": _path(call, None),
            "schema": f"{SCHEMA}/tasks",
        }
        if found and len(found) == listing.limit:
            document["next"] = _path(call, found[-1].id)
        return Answer(200, document)

    @route("POST", "/v2/tasks")
    async def create(self, call: Call) -> Answer:
        """201: a new image, which is imported by `web-download`; told as that import; for administrators."""
        wanted = (await call.read(NewTask)).input
        image = new_image(dict(wanted.image_properties))
        task = await self._imports.into_new(call.access, image, wanted.import_from, call.request.id)
        place = call.links.to("v2", "tasks", task.id).encode()
        return Answer(201, show_import(task), headers=((b"Location", place),))

    @route("GET", "/v2/tasks/{task_id}")
    async def show(self, call: Call, task_id: str) -> Answer:
        """One import, with why it has failed; for administrators."""
        return Answer(200, show_import(await self._imports.one(call.access, task_id)))

    @route("DELETE", "/v2/tasks/{task_id}")
    async def delete(self, call: Call, task_id: str) -> Answer:
        """405: they go by themselves."""
        words = "This operation is not permitted on tasks: they go by themselves some time after their end."
        raise Fault(405, words, headers=[(b"Allow", b"GET")])


def _listing(query: Query) -> ImportListing:
    """
    :raises Fault: 400 with the parameter and what is wrong
    """
    status, kind = query.get("status") or "", query.get("type") or ""
    states = {word: state for state, word in STATUSES.items()}
    if status and status not in states:
        raise bad_request(f"Invalid status value: {status[:40]}: one of {', '.join(states)}.")
    if kind and kind not in TYPES:
        raise bad_request(f"Invalid type value: {kind[:40]}: one of {', '.join(TYPES)}.")
    key, direction = query.get("sort_key") or "created_at", query.get("sort_dir") or "desc"
    if key not in SORT_KEYS:
        raise bad_request(f"Invalid sort key: {key[:40]}: one of {', '.join(SORT_KEYS)}.")
    if direction not in ("asc", "desc"):
        raise bad_request(f"Invalid sort direction: {direction[:40]}: asc or desc is meant.")
    return ImportListing(
        state=states.get(status, ""),
        sort_key=SORT_KEYS[key],
        descending=direction == "desc",
        marker=query.get("marker") or "",
        limit=_limit(query),
    )


def _limit(query: Query) -> int:
    value = query.get("limit")
    if value is None:
        return DEFAULT_LIMIT
    if not _NUMBER.fullmatch(value):
        raise bad_request(f"limit: expected a whole number, not negative, got {value[:40]!r}.")
    return min(int(value), MAX_LIMIT)


def _path(call: Call, marker: str | None) -> str:
    pairs = [(name, value) for name, value in call.query.pairs if name != "marker"]
    if marker is not None:
        pairs.append(("marker", marker))
    return f"/v2/tasks?{urlencode(pairs)}" if pairs else "/v2/tasks"
