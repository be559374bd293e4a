# -*- test-case-name: tests.protocols.rest.compute.test_external_events -*-
"""
Events that other services tell of servers; for administrators.  Source: Compute API, "Create external events".

The Network API of this cloud needs no such calls: its records are those that hosts read.  So nothing is done for an
event of a server that is there, and it is answered as completed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import Connection

from cloudd import compute as service
from cloudd.compute import Server
from cloudd.interfaces.application import Transactions

from .._documents import Document
from .._faults import Fault
from .._routes import Answer, route
from ._call import ComputeCall, invalid
from ._versions import OLDEST, Version

_RULE: Final = "os-server-external-events:create"
_FAILED, _COMPLETED = "failed", "completed"
_STATUSES: Final = (_FAILED, _COMPLETED, "in-progress")
#: Name -> the first version that has it.
NAMES: Final[dict[str, Version]] = {
    "network-changed": OLDEST,
    "network-vif-plugged": OLDEST,
    "network-vif-unplugged": OLDEST,
    "network-vif-deleted": OLDEST,
    "volume-extended": (2, 51),
    "power-update": (2, 76),
}
_POWERS: Final = ("POWER_ON", "POWER_OFF")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


class EventBody(Document):
    """One event."""

    name: str
    server_uuid: Annotated[str, Meta(max_length=64)]
    status: str | UnsetType = UNSET
    tag: Annotated[str, Meta(max_length=255)] | UnsetType = UNSET


class EventsBody(Document):
    """Some events."""

    events: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=1000)]


class ExternalEventRoutes:
    """``/v2.1/os-server-external-events``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("POST", "/v2.1/os-server-external-events")
    async def create(self, call: ComputeCall) -> Answer:
        """200 with what became of each: `code` 200; 207 where some servers are not there (404) or on no host (422)."""
        service.enforce_admin(call.access, _RULE)
        events = _read(call, await call.read_object())
        found = await self._database.read(_servers, sorted({each.server_uuid for each in events}))
        shown = [_shown(each, found.get(each.server_uuid)) for each in events]
        codes = {each["code"] for each in shown}
        if not codes - {404, 422}:
            raise Fault(404, "No instances found for any event")
        return Answer(207 if codes - {200} else 200, {"events": shown})


def _servers(connection: Connection, server_ids: Sequence[str]) -> dict[str, Server]:
    return {each.id: each for each in service.read_servers(connection, server_ids) if each.deleted_us is None}


def _shown(event: EventBody, server: Server | None) -> dict[str, Any]:
    code = 404 if server is None else 200 if server.node_id else 422
    status = _COMPLETED if isinstance(event.status, UnsetType) else event.status
    shown = {"name": event.name, "server_uuid": event.server_uuid, "status": status if code == 200 else _FAILED}
    return shown | ({} if isinstance(event.tag, UnsetType) else {"tag": event.tag}) | {"code": code}


def _read(call: ComputeCall, given: dict[str, Any]) -> list[EventBody]:
    """
    :raises Fault: 400 with the place and the cause
    """
    body = call.converted("", given, EventsBody)
    return [_one(call, f"events[{place}]", each) for place, each in enumerate(body.events)]


def _one(call: ComputeCall, path: str, given: dict[str, Any]) -> EventBody:
    event = call.converted(path, given, EventBody)
    if call.version < NAMES.get(event.name, (3, 0)):
        known = ", ".join(name for name, first in NAMES.items() if call.version >= first)
        raise invalid(f"Value: {event.name[:40]}. One of {known} is meant.", f"{path}.name")
    if not _UUID.fullmatch(event.server_uuid):
        raise invalid("A UUID is meant.", f"{path}.server_uuid")
    if not isinstance(event.status, UnsetType) and event.status not in _STATUSES:
        raise invalid(f"Value: {event.status[:40]}. One of {', '.join(_STATUSES)} is meant.", f"{path}.status")
    if event.name == "power-update" and event.tag not in _POWERS:
        raise invalid("'POWER_ON' or 'POWER_OFF' is meant.", f"{path}.tag")
    return event
