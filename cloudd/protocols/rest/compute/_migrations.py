# -*- test-case-name: tests.protocols.rest.compute.test_migrations -*-
"""Migrations; for administrators.  Source: Compute API, "Migrations", "Server migrations"."""

from __future__ import annotations

from typing import Any, Final

from cloudd import compute as service
from cloudd.compute import Migration, MigrationListing
from cloudd.interfaces.application import Transactions

from .._faults import Fault, bad_request
from .._routes import Answer, route
from .._times import naive, parse_time
from ._call import MAX_LIMIT, ComputeCall
from ._pages import with_next
from ._versions import Members, Version, during

_OF_SERVERS: Final[Version] = (2, 23)
_ABORTED: Final[Version] = (2, 24)
_PAGED: Final[Version] = (2, 59)
_BEFORE: Final[Version] = (2, 66)
_KIND: Final = "resize"
_FILTERS: Final = {"hidden", "host", "instance_uuid", "source_compute", "status", "migration_type"}

MIGRATION: Final = Members(since={"migration_type": _OF_SERVERS, "uuid": _PAGED})


def show(call: ComputeCall, found: Migration) -> dict[str, Any]:
    """One migration: servers stay on their hosts, and flavors have no numbers here."""
    host = found.host or None
    shown = {
        "id": found.number,
        "uuid": found.id,
        "status": found.status,
        "instance_uuid": found.server_id,
        "source_node": host,
        "source_compute": host,
        "dest_node": host,
        "dest_compute": host,
        "dest_host": None,
        "old_instance_type_id": None,
        "new_instance_type_id": None,
        "migration_type": _KIND,
        "created_at": naive(found.started_us),
        "updated_at": naive(found.updated_us),
    }
    return MIGRATION.shown(call.version, shown)


class MigrationRoutes:
    """``/v2.1/os-migrations`` and ``/v2.1/servers/{server_id}/migrations``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2.1/os-migrations")
    async def list_migrations(self, call: ComputeCall) -> Answer:
        """Resizes, newest first, at most 1,000; `instance_uuid`, `host`, `status` choose some; pages from 2.59 on."""
        service.enforce_admin(call.access, "os-migrations:index")
        listing, limit = _listing(call)
        found = await self._database.read(service.migrations, call.access, listing) if _may_be(call) else []
        page = found[:limit]
        document: dict[str, Any] = {"migrations": [show(call, each) for each in page]}
        if page and len(found) > limit:
            document |= with_next(call, "migrations", page[-1].id, "v2.1", "os-migrations")
        return Answer(200, document)

    @route("GET", "/v2.1/servers/{server_id}/migrations")
    @during(_OF_SERVERS)
    async def of_server(self, call: ComputeCall, server_id: str) -> Answer:
        """None: those that move a running server, which none does; from 2.23 on."""
        await self._known(call, server_id, "index")
        return Answer(200, {"migrations": []})

    @route("GET", "/v2.1/servers/{server_id}/migrations/{migration_id}")
    @during(_OF_SERVERS)
    async def one(self, call: ComputeCall, server_id: str, migration_id: str) -> Answer:
        """404: there is none."""
        await self._known(call, server_id, "show")
        raise _none(server_id, migration_id)

    @route("POST", "/v2.1/servers/{server_id}/migrations/{migration_id}/action")
    @during(_OF_SERVERS)
    async def force(self, call: ComputeCall, server_id: str, migration_id: str) -> Answer:
        """404: there is none."""
        await self._known(call, server_id, "force_complete")
        raise _none(server_id, migration_id)

    @route("DELETE", "/v2.1/servers/{server_id}/migrations/{migration_id}")
    @during(_ABORTED)
    async def abort(self, call: ComputeCall, server_id: str, migration_id: str) -> Answer:
        """404: there is none."""
        await self._known(call, server_id, "delete")
        raise _none(server_id, migration_id)

    async def _known(self, call: ComputeCall, server_id: str, rule: str) -> None:
        await self._database.read(service.server_to_read, call.access, server_id, f"servers:migrations:{rule}")
        service.enforce_admin(call.access, f"servers:migrations:{rule}")


def _none(server_id: str, migration_id: str) -> Fault:
    return Fault(404, f"Migration {migration_id[:64]} for server {server_id} could not be found.")


def _may_be(call: ComputeCall) -> bool:
    """Whether there can be any of the kind that is asked for: none is hidden, all are resizes."""
    hidden = (call.query.get("hidden") or "").lower()
    return hidden not in ("1", "true") and call.query.get("migration_type") in (None, _KIND)


def _listing(call: ComputeCall) -> tuple[MigrationListing, int]:
    """
    What is asked for, one more than the page has, and the page's length.

    :raises Fault: 400 for what is no value of its parameter
    """
    query, paged = call.query, call.version >= _PAGED
    known = _FILTERS | ({"limit", "marker", "changes-since"} if paged else set())
    known |= {"changes-before"} if call.version >= _BEFORE else set()
    if paged and (strange := sorted({name for name, _ in query.pairs} - known)):
        raise bad_request(f"Additional properties are not allowed ('{strange[0][:80]}' was unexpected)")
    since = _time(call, "changes-since") if paged else None
    before = _time(call, "changes-before") if call.version >= _BEFORE else None
    if since is not None and before is not None and since > before:
        raise bad_request("The value of changes-since must be less than or equal to changes-before.")
    limit = call.limit() if paged else MAX_LIMIT
    listing = MigrationListing(
        server_id=query.get("instance_uuid") or "", host=query.get("host") or query.get("source_compute") or "",
        status=query.get("status") or "", marker=(query.get("marker") or "") if paged else "", limit=limit + 1,
        since_us=since, before_us=before,
    )  # fmt: skip
    return listing, limit


def _time(call: ComputeCall, name: str) -> int | None:
    given = call.query.get(name)
    return None if given is None else parse_time(given, f"Query parameter {name}")
