# -*- test-case-name: tests.protocols.rest.compute.test_security_groups -*-
"""
Security groups by the Compute API, up to 2.35.  Source: Compute API, "Security groups (deprecated)".

They are those of the Network API; groups that are in use, or whose name is taken, are refused with 400 here.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import Connection

from cloudd import compute, network
from cloudd.identity import Access
from cloudd.interfaces.application import Transactions
from cloudd.network import Listing, SecurityGroup

from .._documents import Document
from .._faults import bad_request
from .._routes import Answer, route
from ._call import ComputeCall
from ._proxies import as_proxy, network_words
from ._security_view import Groups, others_of, show_group
from ._server_values import is_uuid

_READ, _WRITE = "os-security-groups:get", "os-security-groups:create"
Shown = tuple[SecurityGroup, Groups]


class GroupBody(Document):
    """A group: nothing is a name, too."""

    name: Annotated[str, Meta(max_length=255)]
    description: Annotated[str, Meta(max_length=255)]


def checked_id(group_id: str) -> str:
    """
    :raises Fault: 400: it cannot be an id
    """
    if not is_uuid(group_id):
        raise bad_request("Security group id should be uuid")
    return group_id


class SecurityGroupRoutes:
    """``/v2.1/os-security-groups``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2.1/os-security-groups")
    @as_proxy
    async def list_groups(self, call: ComputeCall) -> Answer:
        """The project's, up to 2.35; with `all_tenants` everybody's, for administrators."""
        project_id = call.access.project_id
        everyone = call.access.is_admin and "all_tenants" in call.query
        offset, limit = call.count("offset") or 0, call.limit()
        listing = Listing(
            filters={} if everyone else {"project_id": [project_id or ""]},
            order=(("project_id", False), ("name", False)), limit=offset + limit,
        )  # fmt: skip
        if project_id is not None and not await self._database.read(_has_default, call.access):
            await self._database.write(network.default_of, project_id)
        found, others = await self._database.read(_listed, call.access, listing)
        return Answer(200, {"security_groups": [show_group(each, others) for each in found[offset:]]})

    @route("POST", "/v2.1/os-security-groups")
    @as_proxy
    async def create(self, call: ComputeCall) -> Answer:
        """200 with the new one, up to 2.35; it lets everything out."""
        body = await call.read_body("security_group", GroupBody)
        return await self._shown(self._database.write(_create, call.access, body))

    @route("GET", "/v2.1/os-security-groups/{group_id}")
    @as_proxy
    async def show(self, call: ComputeCall, group_id: str) -> Answer:
        """One group, with what it lets in."""
        return await self._shown(self._database.read(_one, call.access, checked_id(group_id)))

    @route("PUT", "/v2.1/os-security-groups/{group_id}")
    @as_proxy
    async def update(self, call: ComputeCall, group_id: str) -> Answer:
        """200 with another name and description; the default one keeps its name."""
        body = await call.read_body("security_group", GroupBody)
        return await self._shown(self._database.write(_update, call.access, checked_id(group_id), body))

    @route("DELETE", "/v2.1/os-security-groups/{group_id}")
    @as_proxy
    async def delete(self, call: ComputeCall, group_id: str) -> Answer:
        """202: it is gone; 400 as long as a port has it, and for the default one."""
        await self._database.write(_drop, call.access, checked_id(group_id))
        return Answer(202)

    async def _shown(self, work: Any) -> Answer:
        group, others = await work
        return Answer(200, {"security_group": show_group(group, others)})


def _has_default(connection: Connection, access: Access) -> bool:
    """
    Whether the project of who asks has its default group.

    :raises ComputeError: he may not look, so none is to be made
    """
    compute.enforce_read(access, _READ)
    listing = Listing(filters={"default_of": [access.project_id]}, limit=1)
    return bool(network.listed_groups(connection, access, listing))


def _listed(connection: Connection, access: Access, listing: Listing) -> tuple[list[SecurityGroup], Groups]:
    compute.enforce_read(access, _READ)
    found = network.listed_groups(connection, access, listing)
    return found, others_of(connection, found)


def _one(connection: Connection, access: Access, group_id: str) -> Shown:
    compute.enforce_read(access, _READ)
    with network_words():
        found = network.one_group(connection, access, group_id)
    return found, others_of(connection, [found])


def _create(connection: Connection, access: Access, body: GroupBody) -> Shown:
    compute.enforce_write(access, _WRITE)
    wanted = SecurityGroup(
        id="", project_id=access.project_id or "", name=body.name, description=body.description
    )  # fmt: skip
    with network_words():
        return network.create_group(connection, access, wanted), {}


def _update(connection: Connection, access: Access, group_id: str, body: GroupBody) -> Shown:
    values = {"name": body.name, "description": body.description}
    with network_words():
        found = network.update_group(connection, access, group_id, values)
    return found, others_of(connection, [found])


def _drop(connection: Connection, access: Access, group_id: str) -> None:
    with network_words():
        network.drop_group(connection, access, group_id)
