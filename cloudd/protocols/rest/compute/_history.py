# -*- test-case-name: tests.protocols.rest.compute.test_history -*-
"""What was done to servers.  Source: Compute API, "Servers actions" (``os-instance-actions``)."""

from __future__ import annotations

from typing import Any, Final

from cloudd import compute as service
from cloudd.compute import HistoryListing, ServerAction, ServerEvent
from cloudd.interfaces.application import Transactions

from .._faults import Fault
from .._routes import Answer, route
from .._times import naive, parse_time
from ._call import MAX_LIMIT, ComputeCall
from ._server_view import host_id
from ._versions import Members, Version

_OF_DELETED: Final[Version] = (2, 21)
_EVENTS_FOR_ALL: Final[Version] = (2, 51)
_PAGED: Final[Version] = (2, 58)
_BEFORE: Final[Version] = (2, 66)

ACTION = Members(since={"updated_at": _PAGED})
EVENT = Members(since={"hostId": (2, 62), "host": (2, 62)})


def show_action(call: ComputeCall, action: ServerAction) -> dict[str, Any]:
    """One action, without events."""
    shown = {
        "action": action.action,
        "instance_uuid": action.server_id,
        "request_id": action.request_id,
        "user_id": action.user_id,
        "project_id": action.project_id,
        "start_time": naive(action.started_us),
        "message": action.message,
        "updated_at": naive(action.updated_us),
    }
    return ACTION.shown(call.version, shown)


def show_event(call: ComputeCall, action: ServerAction, event: ServerEvent) -> dict[str, Any]:
    """One event: administrators see the host and what went wrong there."""
    shown: dict[str, Any] = {
        "event": event.name,
        "start_time": naive(event.started_us),
        "finish_time": None if event.finished_us is None else naive(event.finished_us),
        "result": event.result,
        "hostId": host_id(action.project_id, event.host),
    }
    if call.access.is_admin:
        shown |= {"traceback": event.details, "host": event.host}
    return EVENT.shown(call.version, shown)


class HistoryRoutes:
    """``/v2.1/servers/{server_id}/os-instance-actions``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2.1/servers/{server_id}/os-instance-actions")
    async def list_actions(self, call: ComputeCall, server_id: str) -> Answer:
        """Newest first, at most 1,000; of servers that are gone from 2.21; pages and `changes-since` from 2.58."""
        listing = _listing(call)
        found = await self._database.read(service.server_actions, call.access, server_id, listing)
        if call.version < _PAGED:
            return Answer(200, {"instanceActions": [show_action(call, each) for each in found]})
        page = found[: call.limit()]
        document: dict[str, Any] = {"instanceActions": [show_action(call, each) for each in page]}
        if len(found) > len(page):
            href = call.links.to("v2.1", "servers", server_id, "os-instance-actions")
            marker = call.query.with_marker(page[-1].request_id)
            document["links"] = [{"rel": "next", "href": f"{href}?{marker}"}]
        return Answer(200, document)

    @route("GET", "/v2.1/servers/{server_id}/os-instance-actions/{request_id}")
    async def show(self, call: ComputeCall, server_id: str, request_id: str) -> Answer:
        """One of them, with its events; before 2.51 these are for administrators."""
        deleted = call.version >= _OF_DELETED
        found = await self._database.read(
            lambda connection: service.one_action(connection, call.access, server_id, request_id, deleted=deleted)
        )
        document = show_action(call, found)
        if call.access.is_admin or call.version >= _EVENTS_FOR_ALL:
            document["events"] = [show_event(call, found, each) for each in found.events]
        return Answer(200, {"instanceAction": document})


def _listing(call: ComputeCall) -> HistoryListing:
    deleted = call.version >= _OF_DELETED
    if call.version < _PAGED:
        return HistoryListing(limit=MAX_LIMIT, deleted=deleted)
    known = {"limit", "marker", "changes-since", *(("changes-before",) if call.version >= _BEFORE else ())}
    if strange := sorted({name for name, _ in call.query.pairs} - known):
        raise Fault(400, f"Additional properties are not allowed ('{strange[0][:80]}' was unexpected)")
    since, before = _time(call, "changes-since"), _time(call, "changes-before")
    if since is not None and before is not None and since > before:
        raise Fault(400, "The value of changes-since must be less than or equal to changes-before.")
    limit, marker = call.limit() + 1, call.query.get("marker") or ""
    return HistoryListing(marker=marker, limit=limit, since_us=since, before_us=before, deleted=deleted)


def _time(call: ComputeCall, name: str) -> int | None:
    given = call.query.get(name)
    return None if given is None else parse_time(given, name)
