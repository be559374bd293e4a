# -*- test-case-name: tests.protocols.rest.network.test_groups -*-
"""Security groups and rules.  Source: Network API v2.0, "Security groups"."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from cloudd import network as service
from cloudd.identity import Access
from cloudd.interfaces.application import Transactions
from cloudd.network import Room

from .._face import Call
from .._routes import Answer, route
from ._bodies import GroupBody, RuleBody, new_rule
from ._listings import COMMON, Shape, number, text, text_or_none, truth
from ._reading import read_some
from ._records import Desk
from ._shown import show_group, show_rule

GROUPS = Shape("security_groups", {**COMMON, "stateful": ("stateful", truth)}, show_group)
RULES = Shape(
    "security_group_rules",
    {
        "id": ("id", text),
        "project_id": ("project_id", text),
        "tenant_id": ("project_id", text),
        "description": ("description", text),
        "security_group_id": ("security_group_id", text),
        "direction": ("direction", text),
        "ethertype": ("ethertype", text),
        "protocol": ("protocol", text_or_none),
        "port_range_min": ("port_range_min", number),
        "port_range_max": ("port_range_max", number),
        "remote_ip_prefix": ("remote_ip_prefix", text_or_none),
        "remote_group_id": ("remote_group_id", text_or_none),
        "revision_number": ("revision", number),
    },
    show_rule,
)


def _create_group(connection: Connection, access: Access, room: Room, wanted: Any, _given: dict[str, Any]) -> Any:
    return service.create_group(connection, access, wanted, room)


class GroupRoutes:
    """``/v2.0/security-groups``."""

    def __init__(self, database: Transactions) -> None:
        self._desk = Desk(database, "security_group", GROUPS)

    @route("GET", "/v2.0/security-groups")
    async def list_groups(self, call: Call) -> Answer:
        """One's own, with their rules; the default one is made when it is first looked for."""
        await self._desk.database.write(_make_default, call.access)
        return await self._desk.page(call, service.listed_groups)

    @route("POST", "/v2.0/security-groups")
    async def create(self, call: Call) -> Answer:
        """201 with the new one and its rules, which let everything out."""
        return await self._desk.make(call, GroupBody, _create_group)

    @route("GET", "/v2.0/security-groups/{group_id}")
    async def show(self, call: Call, group_id: str) -> Answer:
        """One group."""
        return await self._desk.show(call, service.one_group, group_id)

    @route("PUT", "/v2.0/security-groups/{group_id}")
    async def update(self, call: Call, group_id: str) -> Answer:
        """200 with what it is now."""
        return await self._desk.change(call, GroupBody, service.update_group, group_id)

    @route("DELETE", "/v2.0/security-groups/{group_id}")
    async def delete(self, call: Call, group_id: str) -> Answer:
        """204; 409 as long as a port has it."""
        return await self._desk.drop(call, service.drop_group, group_id)


def _make_default(connection: Connection, access: Access) -> None:
    if access.project_id is not None:
        service.default_of(connection, access.project_id)


class RuleRoutes:
    """``/v2.0/security-group-rules``."""

    def __init__(self, database: Transactions) -> None:
        self._desk = Desk(database, "security_group_rule", RULES)

    @route("GET", "/v2.0/security-group-rules")
    async def list_rules(self, call: Call) -> Answer:
        """Those of one's own groups."""
        return await self._desk.page(call, service.listed_rules)

    @route("POST", "/v2.0/security-group-rules")
    async def create(self, call: Call) -> Answer:
        """201 with the new one, or several; 409 where the group has one that means the same."""
        bodies, several = await read_some(call, self._desk.kind, RULES.plural, RuleBody)
        rules = [new_rule(body) for body in bodies]

        def create_all(connection: Connection) -> list[Any]:
            room = Room()
            return [service.create_rule(connection, call.access, rule, room) for rule in rules]

        made = await self._desk.database.write(create_all)
        shown = [show_rule(rule, call.access.is_admin) for rule in made]
        return Answer(201, {RULES.plural: shown} if several else {self._desk.kind: shown[0]})

    @route("GET", "/v2.0/security-group-rules/{rule_id}")
    async def show(self, call: Call, rule_id: str) -> Answer:
        """One rule."""
        return await self._desk.show(call, service.one_rule, rule_id)

    @route("DELETE", "/v2.0/security-group-rules/{rule_id}")
    async def delete(self, call: Call, rule_id: str) -> Answer:
        """204."""
        return await self._desk.drop(call, service.drop_rule, rule_id)
