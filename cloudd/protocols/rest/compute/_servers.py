# -*- test-case-name: tests.protocols.rest.compute.test_servers -*-
"""Servers: made, listed, shown, changed, deleted.  Source: Compute API, "Servers"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UnsetType
from sqlalchemy import Connection

from cloudd import compute as service
from cloudd.compute import Details, Order, Server, ServerListing
from cloudd.identity import Access
from cloudd.interfaces.application import Transactions

from .._routes import Answer, route
from ._call import ComputeCall, printable, truth
from ._pages import with_next
from ._server_body import UPDATE, ServerUpdateBody
from ._server_query import read_listing
from ._server_request import read_new_server, wanted_servers
from ._server_values import address, description, disk_config
from ._server_view import ServerView


class ServerRoutes:
    """``/v2.1/servers``."""

    def __init__(self, database: Transactions, passwords: service.ServerPasswords, poke: Callable[[], None]) -> None:
        """
        :param poke: tasks were ordered in this worker: let them begin now
        """
        self._database = database
        self._passwords = passwords
        self._poke = poke

    @route("GET", "/v2.1/servers")
    async def list_servers(self, call: ComputeCall) -> Answer:
        """Ids and names, newest first; filters, `sort_key`, `limit` and `marker`; `all_tenants` for administrators."""
        return await self._page(call, whole=False)

    @route("GET", "/v2.1/servers/detail")
    async def detail(self, call: ComputeCall) -> Answer:
        """The same with all members; `changes-since` tells those that are gone, too."""
        return await self._page(call, whole=True)

    @route("POST", "/v2.1/servers")
    async def create(self, call: ComputeCall) -> Answer:
        """202: they are being built; `return_reservation_id` tells what they have in common."""
        body, hints = await read_new_server(call)
        wanted = wanted_servers(call, body, hints)
        password = service.new_password() if isinstance(body.admin_pass, UnsetType) else body.admin_pass
        by_reservation = truth("return_reservation_id", body.return_reservation_id)
        sealed = await self._passwords.seal(password)
        servers = await self._database.write(
            service.create_servers, call.access, wanted.with_password(sealed), call.request.id
        )
        self._poke()
        first = servers[0]
        if by_reservation:
            return Answer(202, {"reservation_id": first.reservation_id})
        named = ServerView(call, Details(servers=servers)).named(first)
        names = [{"name": name} for name in dict.fromkeys(wanted.security_groups or ("default",))]
        shown = {
            "id": first.id, "links": named["links"], "OS-DCF:diskConfig": first.disk_config,
            "security_groups": names, "adminPass": password,
        }  # fmt: skip
        location = (b"Location", named["links"][0]["href"].encode("ascii"))
        return Answer(202, {"server": shown}, (location,))

    @route("GET", "/v2.1/servers/{server_id}")
    async def show(self, call: ComputeCall, server_id: str) -> Answer:
        """One server."""
        details = await self._database.read(_one, call.access, server_id)
        return Answer(200, {"server": ServerView(call, details).show(details.servers[0])})

    @route("PUT", "/v2.1/servers/{server_id}")
    async def update(self, call: ComputeCall, server_id: str) -> Answer:
        """200 with another name, description (from 2.19 on), addresses for access or disk configuration."""
        body = await call.read_body("server", ServerUpdateBody, UPDATE)
        details = await self._database.write(_updated, call.order(server_id), _changes(body))
        return Answer(200, {"server": ServerView.of_update(call, details).show(details.servers[0])})

    @route("DELETE", "/v2.1/servers/{server_id}")
    async def delete(self, call: ComputeCall, server_id: str) -> Answer:
        """204: it goes, whatever it is doing; 409 where it is locked."""
        await self._database.write(service.delete_server, call.order(server_id))
        self._poke()
        return Answer(204)

    async def _page(self, call: ComputeCall, *, whole: bool) -> Answer:
        limit = 0 if call.count("limit") == 0 else call.limit()  # of servers alone 0 is none, not all
        listing = read_listing(call, limit + 1)
        return Answer(200, await self._database.read(_listed, call, listing, limit, whole))


async def shown_after_change(database: Transactions, call: ComputeCall, server: Server) -> dict[str, Any]:
    """A server that was just changed, with the members that the answer of an update has."""
    details = await database.read(service.details_of, [server], of_hosts=call.access.is_admin)
    return ServerView.of_update(call, details).show(server)


def _listed(connection: Connection, call: ComputeCall, listing: ServerListing, limit: int, whole: bool) -> bytes:
    """The document: made in the database's thread, since a thousand servers would hold the reactor."""
    found = service.listed_servers(connection, call.access, listing)
    servers, is_admin = found[:limit], call.access.is_admin
    if whole:
        details = service.details_of(connection, servers, of_hosts=is_admin, groups=False)
    else:
        details = Details(servers=servers)
    view = ServerView(call, details, listed=True)
    document: dict[str, Any] = {"servers": [view.show(each) if whole else view.named(each) for each in servers]}
    if servers and len(found) > limit:
        steps = ("v2.1", "servers", *(("detail",) if whole else ()))
        document |= with_next(call, "servers", servers[-1].id, *steps)
    return msgspec.json.encode(document)


def _one(connection: Connection, access: Access, server_id: str) -> Details:
    server = service.server_to_read(connection, access, server_id, "servers:show")
    return service.details_of(connection, [server], of_hosts=access.is_admin)


def _updated(connection: Connection, order: Order, values: dict[str, Any]) -> Details:
    server = service.update_server(connection, order, values)
    return service.details_of(connection, [server], of_hosts=order.access.is_admin)


def _changes(body: ServerUpdateBody) -> dict[str, Any]:
    """
    Columns.

    :raises Fault: 400 with the member and what is wrong
    """
    values: dict[str, Any] = {}
    if not isinstance(body.name, UnsetType):
        values["name"] = printable("name", body.name)
    if not isinstance(body.description, UnsetType):
        values["description"] = description(body.description)
    if not isinstance(body.access_ip_v4, UnsetType):
        values["access_ip_v4"] = address("accessIPv4", body.access_ip_v4, 4)
    if not isinstance(body.access_ip_v6, UnsetType):
        values["access_ip_v6"] = address("accessIPv6", body.access_ip_v6, 6)
    if not isinstance(body.disk_config, UnsetType):
        values["disk_config"] = disk_config(body.disk_config)
    return values
