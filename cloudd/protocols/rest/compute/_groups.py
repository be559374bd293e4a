# -*- test-case-name: tests.protocols.rest.compute.test_groups -*-
"""Server groups.  Source: Compute API, "Server groups"."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from cloudd import compute as service
from cloudd.compute import AFFINITY, ANTI_AFFINITY, SOFT_AFFINITY, SOFT_ANTI_AFFINITY, ServerGroup
from cloudd.interfaces.application import Transactions

from .._documents import Document, Name
from .._routes import Answer, route
from ._call import ComputeCall, invalid, printable, whole
from ._versions import Members, Version

_OWNED: Version = (2, 13)
_SOFT: Version = (2, 15)
_ONE_POLICY: Version = (2, 64)
_BEFORE: Version = (2, 63)

MEMBERS = Members(
    since={"policy": _ONE_POLICY, "rules": _ONE_POLICY, "project_id": _OWNED, "user_id": _OWNED},
    until={"policies": _BEFORE, "metadata": _BEFORE},
)


class RulesBody(Document):
    """What goes with a policy."""

    max_server_per_host: int | str | UnsetType = UNSET


class GroupBody(Document):
    """A new server group: ``policies`` up to 2.63, later ``policy``."""

    name: Name
    policies: Annotated[list[str], Meta(min_length=1, max_length=1)] | UnsetType = UNSET
    policy: str | UnsetType = UNSET
    rules: RulesBody | UnsetType = UNSET


def show_group(call: ComputeCall, group: ServerGroup) -> dict[str, Any]:
    """One server group."""
    shown = {
        "id": group.id,
        "name": group.name,
        "policies": [group.policy],
        "policy": group.policy,
        "rules": {} if group.max_per_host is None else {"max_server_per_host": group.max_per_host},
        "members": list(group.members),
        "metadata": {},
        "project_id": group.project_id,
        "user_id": group.user_id,
    }
    return MEMBERS.shown(call.version, shown)


class GroupRoutes:
    """``/v2.1/os-server-groups``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2.1/os-server-groups")
    async def list_groups(self, call: ComputeCall) -> Answer:
        """The project's; with `all_projects` everybody's, for administrators."""
        call.only({"all_projects", "limit", "offset"})
        found = await self._database.read(
            service.listed_groups, call.access, everyone="all_projects" in call.query and call.access.is_admin,
            offset=call.count("offset") or 0, limit=call.limit(),
        )  # fmt: skip
        return Answer(200, {"server_groups": [show_group(call, each) for each in found]})

    @route("POST", "/v2.1/os-server-groups")
    async def create(self, call: ComputeCall) -> Answer:
        """200 with the new one: affinity, anti-affinity, and soft ones from 2.15; `max_server_per_host` from 2.64."""
        wanted = _wanted(call, await call.read_body("server_group", GroupBody, MEMBERS))
        group = await self._database.write(service.create_group, call.access, wanted)
        return Answer(200, {"server_group": show_group(call, group)})

    @route("GET", "/v2.1/os-server-groups/{group_id}")
    async def show(self, call: ComputeCall, group_id: str) -> Answer:
        """One server group."""
        found = await self._database.read(service.one_group, call.access, group_id)
        return Answer(200, {"server_group": show_group(call, found)})

    @route("DELETE", "/v2.1/os-server-groups/{group_id}")
    async def delete(self, call: ComputeCall, group_id: str) -> Answer:
        """204; its servers stay."""
        await self._database.write(service.drop_group, call.access, group_id)
        return Answer(204)


def _wanted(call: ComputeCall, body: GroupBody) -> ServerGroup:
    """
    :raises Fault: 400 with the member and what is wrong
    """
    if call.version >= _ONE_POLICY:
        if isinstance(body.policy, UnsetType):
            raise invalid("'policy' is a required property", "server_group")
        policy, place = body.policy, "policy"
    else:
        if isinstance(body.policies, UnsetType):
            raise invalid("'policies' is a required property", "server_group")
        policy, place = body.policies[0], "policies.0"
    known = (AFFINITY, ANTI_AFFINITY, *((SOFT_AFFINITY, SOFT_ANTI_AFFINITY) if call.version >= _SOFT else ()))
    if policy not in known:
        raise invalid(f"Value: {policy[:40]}. '{policy[:40]}' is not one of {', '.join(known)}", place)
    most = UNSET if isinstance(body.rules, UnsetType) else body.rules.max_server_per_host
    return ServerGroup(
        id="",
        project_id="",
        user_id="",
        name=printable("name", body.name),
        policy=policy,
        max_per_host=None if isinstance(most, UnsetType) else whole("rules.max_server_per_host", most, 1),
    )
