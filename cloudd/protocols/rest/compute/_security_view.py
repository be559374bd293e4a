# -*- test-case-name: tests.protocols.rest.compute.test_security_groups -*-
"""Security groups as the Compute API shows them: with what they let in alone, rules in Nova's own members."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Connection

from cloudd.network import Rule, SecurityGroup, group_records

_ALL_PORTS: Final[Mapping[str, tuple[int, int]]] = {"tcp": (1, 65_535), "udp": (1, 65_535)}
_ALL_OF_OTHERS: Final = (-1, -1)

Groups = Mapping[str, SecurityGroup]
"""By id: groups on the other side of rules."""


def others_of(connection: Connection, groups: Iterable[SecurityGroup]) -> Groups:
    """Groups that the rules of these groups name, and these themselves."""
    found = {each.id: each for each in groups}
    named = {rule.remote_group_id for each in found.values() for rule in each.rules if rule.remote_group_id}
    return {**found, **{each.id: each for each in group_records(connection, sorted(named - set(found)))}}


def show_rule(rule: Rule, others: Groups) -> dict[str, Any]:
    """One rule."""
    low, high = _ports(rule)
    shown: dict[str, Any] = {
        "id": rule.id,
        "parent_group_id": rule.security_group_id,
        "ip_protocol": rule.protocol,
        "from_port": low,
        "to_port": high,
        "group": {},
        "ip_range": {},
    }
    if rule.remote_group_id is not None:
        return shown | {"group": _other(others.get(rule.remote_group_id))}
    anywhere = "0.0.0.0/0" if rule.ethertype == "IPv4" else "::/0"
    return shown | {"ip_range": {"cidr": rule.remote_ip_prefix or anywhere}}


def _other(group: SecurityGroup | None) -> dict[str, str]:
    return {} if group is None else {"name": group.name, "tenant_id": group.project_id}


def _ports(rule: Rule) -> tuple[int | None, int | None]:
    """Where the rule names none: all that the protocol has."""
    if rule.protocol is not None and rule.port_range_min is None and rule.port_range_max is None:
        return _ALL_PORTS.get(rule.protocol.lower(), _ALL_OF_OTHERS)
    return rule.port_range_min, rule.port_range_max


def show_group(group: SecurityGroup, others: Groups) -> dict[str, Any]:
    """One security group."""
    return {
        "id": group.id,
        "name": group.name,
        "description": group.description,
        "tenant_id": group.project_id,
        "rules": [show_rule(each, others) for each in group.rules if each.direction == "ingress"],
    }
