# -*- test-case-name: tests.protocols.rest.compute.test_aggregates -*-
"""Host aggregates.  Source: Compute API, "Host aggregates"; all of it is for administrators."""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import UNSET, UnsetType, field

from cloudd import compute as service
from cloudd.compute import Aggregate
from cloudd.interfaces.application import Transactions

from .._documents import Document, Name
from .._faults import bad_request
from .._routes import Answer, route
from .._times import naive
from ._call import ComputeCall, invalid, printable
from ._versions import Members

AGGREGATE: Final = Members(since={"uuid": (2, 41)})
_KEY: Final = re.compile(r"[a-zA-Z0-9\-_:. ]{1,255}")
_MAX_VALUE: Final = 255


class NewAggregateBody(Document):
    """Its name and the zone of its hosts."""

    name: Name
    zone: Name | None = field(name="availability_zone", default=None)


class AggregateBody(Document):
    """What of it to change."""

    name: Name | UnsetType = UNSET
    zone: Name | UnsetType | None = field(name="availability_zone", default=UNSET)


class HostBody(Document):
    """A host by its name."""

    host: Name


class ItemsBody(Document):
    """Metadata; null takes a key away."""

    metadata: dict[str, Any]


def brief(call: ComputeCall, found: Aggregate) -> dict[str, Any]:
    """As the answer to its making has it: without hosts and metadata."""
    shown = {
        "id": found.number,
        "uuid": found.id,
        "name": found.name,
        "availability_zone": found.zone or None,
        "created_at": naive(found.created_us),
        "updated_at": None if found.updated_us is None else naive(found.updated_us),
        "deleted": False,
        "deleted_at": None,
    }
    return AGGREGATE.shown(call.version, shown)


def show(call: ComputeCall, found: Aggregate) -> dict[str, Any]:
    """All of it; the zone is metadata, too."""
    zone = {"availability_zone": found.zone} if found.zone else {}
    return brief(call, found) | {"hosts": list(found.hosts), "metadata": {**found.items, **zone}}


class AggregateRoutes:
    """``/v2.1/os-aggregates``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2.1/os-aggregates")
    async def list_aggregates(self, call: ComputeCall) -> Answer:
        """All of them."""
        call.only(())
        found = await self._database.read(service.aggregates, call.access)
        return Answer(200, {"aggregates": [show(call, each) for each in found]})

    @route("POST", "/v2.1/os-aggregates")
    async def create(self, call: ComputeCall) -> Answer:
        """200: `name`, and `availability_zone` of its hosts; 409 for a name that is taken."""
        service.enforce_admin(call.access, "os-aggregates:create")
        body = await call.read_body("aggregate", NewAggregateBody)
        name, zone = printable("aggregate.name", body.name), _zone(body.zone)
        found = await self._database.write(service.create_aggregate, call.access, name, zone)
        return Answer(200, {"aggregate": brief(call, found)})

    @route("GET", "/v2.1/os-aggregates/{aggregate_id}")
    async def show_aggregate(self, call: ComputeCall, aggregate_id: str) -> Answer:
        """One of them."""
        return _answer(call, await self._database.read(service.one_aggregate, call.access, aggregate_id))

    @route("PUT", "/v2.1/os-aggregates/{aggregate_id}")
    async def update(self, call: ComputeCall, aggregate_id: str) -> Answer:
        """200 with another name or zone; 400 where its hosts are in another zone, or have servers."""
        service.enforce_admin(call.access, "os-aggregates:update")
        body = await call.read_body("aggregate", AggregateBody)
        if body.name is UNSET and body.zone is UNSET:
            raise invalid("'name' or 'availability_zone' is a required property", "aggregate")
        name = None if isinstance(body.name, UnsetType) else printable("aggregate.name", body.name)
        zone = None if isinstance(body.zone, UnsetType) else _zone(body.zone)
        return _answer(
            call, await self._database.write(service.update_aggregate, call.access, aggregate_id, name, zone)
        )

    @route("DELETE", "/v2.1/os-aggregates/{aggregate_id}")
    async def delete(self, call: ComputeCall, aggregate_id: str) -> Answer:
        """200; 400 while it has hosts."""
        await self._database.write(service.drop_aggregate, call.access, aggregate_id)
        return Answer(200)

    @route("POST", "/v2.1/os-aggregates/{aggregate_id}/action")
    async def act(self, call: ComputeCall, aggregate_id: str) -> Answer:
        """200: `add_host` and `remove_host` with `host`, `set_metadata` with `metadata`, where null takes away."""
        service.enforce_admin(call.access, "os-aggregates:action")
        body = await call.read_object()
        if len(body) != 1 or not set(body) <= {"add_host", "remove_host", "set_metadata"}:
            raise bad_request("The body names one action: 'add_host', 'remove_host' or 'set_metadata'.")
        ((name, given),) = body.items()
        if name == "set_metadata":
            return await self._set_items(call, aggregate_id, given)
        host = call.converted(name, given, HostBody).host
        change = service.add_aggregate_host if name == "add_host" else service.remove_aggregate_host
        return _answer(call, await self._database.write(change, call.access, aggregate_id, host))

    async def _set_items(self, call: ComputeCall, aggregate_id: str, given: Any) -> Answer:
        items = _items(call.converted("set_metadata", given, ItemsBody).metadata)
        return _answer(call, await self._database.write(service.set_aggregate_items, call.access, aggregate_id, items))


def _answer(call: ComputeCall, found: Aggregate) -> Answer:
    return Answer(200, {"aggregate": show(call, found)})


def _zone(given: str | None) -> str:
    """
    Empty: none.

    :raises Fault: 400: no zone is called so; behind a colon requests name a host
    """
    if given is None:
        return ""
    if ":" in given:
        raise invalid(f"Value: {given[:40]}. A zone's name has no ':'.", "aggregate.availability_zone")
    return printable("aggregate.availability_zone", given)


def _items(given: dict[str, Any]) -> dict[str, str | None]:
    """
    :raises Fault: 400: a name or a value is none
    """
    for key, value in given.items():
        path = f"set_metadata.metadata.{key[:80]}"
        if not _KEY.fullmatch(key):
            raise invalid("Letters, digits, '-', '_', ':', '.' and blanks are meant, 1 to 255.", path)
        if value is not None and (not isinstance(value, str) or len(value) > _MAX_VALUE):
            raise invalid(f"A string of at most {_MAX_VALUE} characters or null is meant.", path)
    if zone := given.get("availability_zone"):
        _zone(zone)
    return given
