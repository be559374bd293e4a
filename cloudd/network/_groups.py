# -*- test-case-name: tests.protocols.rest.network.test_groups -*-
"""
Security groups and their rules: functions with a ``sqlalchemy.Connection``, rights included.

Each project has a group ``default``, made when it first needs one, that lets everything out and its own members in.
"""

from __future__ import annotations

import uuid
from typing import Any

from attrs import asdict, evolve
from sqlalchemy import Connection, delete, insert, literal, select

from cloudd.database import now_us, tables
from cloudd.identity import Access

from . import _policy
from ._errors import BadNetworkValue, NetworkConflict, NoSuchResource
from ._facts import DEFAULT_GROUP, EGRESS, INGRESS, IPV4, IPV6, Rule, SecurityGroup
from ._listing import Listing, page
from ._quotas import Room
from ._rows import GROUP, add, change, complete, get, remove
from ._rules import checked, meaning

MAX_RULES = 1_000  # of one group

_rules = tables.security_rule


def default_of(connection: Connection, project_id: str) -> str:
    """Id of a project's default group, which is made where it is missing."""
    table = tables.security_group
    found: str | None = connection.execute(select(table.c.id).where(table.c.default_of == project_id)).scalar()
    if found is not None:
        return found
    group = SecurityGroup(
        id=str(uuid.uuid4()), project_id=project_id, name=DEFAULT_GROUP, description="Default security group",
        is_default=True,
    )  # fmt: skip
    add(connection, GROUP, group)
    for ethertype in (IPV4, IPV6):
        _add_rule(connection, _rule(group, EGRESS, ethertype))
        _add_rule(connection, evolve(_rule(group, INGRESS, ethertype), remote_group_id=group.id))
    return group.id


def create(connection: Connection, access: Access, wanted: SecurityGroup, room: Room | None = None) -> SecurityGroup:
    """
    With rules that let everything out.

    :param room: of the transaction, where it makes several
    :raises NetworkConflict: the name ``default`` is taken
    """
    _policy.enforce_write(access)
    default_of(connection, wanted.project_id)
    if wanted.name == DEFAULT_GROUP:
        raise NetworkConflict("SecurityGroupDefaultAlreadyExists", "Default security group already exists.")
    group = evolve(wanted, id=str(uuid.uuid4()), is_default=False)
    (room or Room()).take(connection, "security_group", group.project_id)
    add(connection, GROUP, group)
    for ethertype in (IPV4, IPV6):
        _add_rule(connection, _rule(group, EGRESS, ethertype))
    found: SecurityGroup = get(connection, GROUP, group.id)
    return found


def listed(connection: Connection, access: Access, listing: Listing) -> list[SecurityGroup]:
    """One page."""
    return complete(connection, GROUP, page(connection, GROUP.table, _policy.seen(GROUP, access), listing))


def one(connection: Connection, access: Access, group_id: str) -> SecurityGroup:
    """
    :raises NoSuchResource: also where who asks may not know of it
    """
    group: SecurityGroup = get(connection, GROUP, group_id)
    if not _policy.owns(access, group.project_id):
        raise NoSuchResource(GROUP.kind, group_id)
    return group


def update(connection: Connection, access: Access, group_id: str, values: dict[str, Any]) -> SecurityGroup:
    """
    :raises NetworkConflict: the default group keeps its name
    """
    _policy.enforce_write(access)
    before = one(connection, access, group_id)
    if before.is_default and values.get("name", before.name) != before.name:
        raise NetworkConflict("SecurityGroupCannotUpdateDefault", "Updating default security group not allowed.")
    found: SecurityGroup = change(connection, GROUP, before, evolve(before, **values))
    return found


def drop(connection: Connection, access: Access, group_id: str) -> None:
    """
    :raises NetworkConflict: a port has it, or it is the default one
    """
    _policy.enforce_write(access)
    group = one(connection, access, group_id)
    if group.is_default and not access.is_admin:
        raise NetworkConflict(
            "SecurityGroupCannotRemoveDefault", "Insufficient rights for removing default security group."
        )
    table = tables.port_group
    if connection.execute(select(table.c.port_id).where(table.c.security_group_id == group_id)).first() is not None:
        raise NetworkConflict("SecurityGroupInUse", f"Security Group {group_id} in use.")
    remove(connection, GROUP, group_id)


# ---- rules


def create_rule(connection: Connection, access: Access, wanted: Rule, room: Room | None = None) -> Rule:
    """
    :param room: of the transaction, where it makes several
    :raises NetworkConflict: the group has one that means the same
    """
    _policy.enforce_write(access)
    group = one(connection, access, wanted.security_group_id)
    if wanted.remote_group_id is not None:
        one(connection, access, wanted.remote_group_id)
    rule = checked(evolve(wanted, id=str(uuid.uuid4()), project_id=group.project_id))
    if len(group.rules) >= MAX_RULES:
        raise NetworkConflict("OverQuota", f"A security group has at most {MAX_RULES} rules.")
    for each in group.rules:
        if meaning(each) == meaning(rule):
            raise NetworkConflict(
                "SecurityGroupRuleExists", f"Security group rule already exists. Rule id is {each.id}."
            )
    (room or Room()).take(connection, "security_group_rule", rule.project_id)
    _add_rule(connection, rule)
    change(connection, GROUP, group, group)  # its revision counts its rules, too
    return rule_by_id(connection, rule.id)


def listed_rules(connection: Connection, access: Access, listing: Listing) -> list[Rule]:
    """One page."""
    seen = literal(True) if access.is_admin else _rules.c.project_id == (access.project_id or "")
    return [Rule(**row._mapping) for row in page(connection, _rules, seen, listing)]


def one_rule(connection: Connection, access: Access, rule_id: str) -> Rule:
    """
    :raises NoSuchResource: also where who asks may not know of it
    """
    rule = rule_by_id(connection, rule_id)
    if not _policy.owns(access, rule.project_id):
        raise NoSuchResource("SecurityGroupRule", rule_id)
    return rule


def drop_rule(connection: Connection, access: Access, rule_id: str) -> None:
    """
    :raises NoSuchResource:
    """
    _policy.enforce_write(access)
    rule = one_rule(connection, access, rule_id)
    connection.execute(delete(_rules).where(_rules.c.id == rule_id))
    group = get(connection, GROUP, rule.security_group_id)
    change(connection, GROUP, group, group)


def rule_by_id(connection: Connection, rule_id: str) -> Rule:
    """
    :raises NoSuchResource:
    """
    row = connection.execute(select(_rules).where(_rules.c.id == rule_id)).first()
    if row is None:
        raise NoSuchResource("SecurityGroupRule", rule_id)
    return Rule(**row._mapping)


def checked_ids(connection: Connection, access: Access, group_ids: tuple[str, ...]) -> tuple[str, ...]:
    """
    Groups that a port may be given by who asks.

    :raises BadNetworkValue: an id is none
    """
    for each in group_ids:
        if not each:
            raise BadNetworkValue("Invalid input for security_groups. Reason: '' is not a valid UUID.")
        one(connection, access, each)
    return tuple(sorted(set(group_ids)))


def _rule(group: SecurityGroup, direction: str, ethertype: str) -> Rule:
    return Rule(
        id=str(uuid.uuid4()), project_id=group.project_id, security_group_id=group.id, direction=direction,
        ethertype=ethertype,
    )  # fmt: skip


def _add_rule(connection: Connection, rule: Rule) -> None:
    values = asdict(rule) | {"created_us": now_us(), "updated_us": now_us()}
    connection.execute(insert(_rules).values(**values))
