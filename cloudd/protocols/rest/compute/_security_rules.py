# -*- test-case-name: tests.protocols.rest.compute.test_security_groups -*-
"""
Rules of security groups by the Compute API, up to 2.35: what a group lets in.

Source: Compute API, "Rules for default security group (deprecated)"; words and bounds are Nova's.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import unquote

from sqlalchemy import Connection

from cloudd import compute, network
from cloudd.identity import Access
from cloudd.interfaces.application import Transactions
from cloudd.network import NetworkConflict, Rule

from .._documents import Document
from .._faults import bad_request
from .._routes import Answer, route
from ._call import ComputeCall
from ._proxies import as_proxy, network_words
from ._security_groups import checked_id
from ._security_view import Groups, others_of, show_rule

_WITH_PORTS: Final = ("tcp", "udp")
_ICMP: Final = "icmp"
_ALL: Final = -1  # of ICMP: every type, every code
_MAX_PORT: Final = 65_535
_MAX_ICMP: Final = 255
_MAX_DIGITS: Final = 12
_ANYWHERE: Final = "0.0.0.0/0"
_EXISTS: Final = "SecurityGroupRuleExists"


class RuleBody(Document):
    """A new rule: for addresses in ``cidr``, or for members of a group."""

    parent_group_id: str | int | None = None
    ip_protocol: str | int | None = None
    from_port: int | str | None = None
    to_port: int | str | None = None
    cidr: str | None = None
    group_id: str | int | None = None


class SecurityRuleRoutes:
    """``/v2.1/os-security-group-rules``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("POST", "/v2.1/os-security-group-rules")
    @as_proxy
    async def create(self, call: ComputeCall) -> Answer:
        """200 with the new one, up to 2.35; 400 where the group has one that means the same."""
        wanted = new_rule(await call.read_body("security_group_rule", RuleBody))
        rule, others = await self._database.write(_create, call.access, wanted)
        return Answer(200, {"security_group_rule": show_rule(rule, others)})

    @route("DELETE", "/v2.1/os-security-group-rules/{rule_id}")
    @as_proxy
    async def delete(self, call: ComputeCall, rule_id: str) -> Answer:
        """202: it is gone."""
        await self._database.write(_drop, call.access, checked_id(rule_id))
        return Answer(202)


def _create(connection: Connection, access: Access, wanted: Rule) -> tuple[Rule, Groups]:
    compute.enforce_write(access, "os-security-groups:rule:create")
    with network_words():
        try:
            rule = network.create_rule(connection, access, wanted)
        except NetworkConflict as error:
            if error.type == _EXISTS:
                raise bad_request(f"This rule already exists in group {wanted.security_group_id}") from None
            raise
        group = network.one_group(connection, access, rule.security_group_id)
    return rule, others_of(connection, [group])


def _drop(connection: Connection, access: Access, rule_id: str) -> None:
    with network_words():
        network.drop_rule(connection, access, rule_id)


def new_rule(body: RuleBody) -> Rule:
    """
    What is asked for, as the network service has it.

    :raises Fault: 400 with what is wrong
    """
    group_id = None if body.group_id is None else checked_id(str(body.group_id))
    cidr = _cidr(body.cidr) if group_id is None or body.cidr else None  # both are refused where rules are made
    protocol, low, high = _traffic(body, of_group=group_id is not None)
    return Rule(
        id="", project_id="", direction="ingress", security_group_id=checked_id(str(body.parent_group_id or "")),
        ethertype="IPv6" if cidr is not None and ":" in cidr else "IPv4", protocol=protocol,
        port_range_min=low, port_range_max=high, remote_ip_prefix=cidr, remote_group_id=group_id,
    )  # fmt: skip


def _traffic(body: RuleBody, *, of_group: bool) -> tuple[str | None, int | None, int | None]:
    """Protocol, and ports or types and codes; only for members of a group may it be everything."""
    protocol = None if body.ip_protocol in (None, "") else str(body.ip_protocol).lower()
    given = [each for each in (body.from_port, body.to_port) if each is not None]
    if of_group and not given and (protocol is None or protocol in (*_WITH_PORTS, _ICMP)):
        return protocol, *((1, _MAX_PORT) if protocol in _WITH_PORTS else (None, None))
    if protocol is None or body.from_port is None or body.to_port is None:
        raise bad_request("Not enough parameters to build a valid rule: ip_protocol, from_port and to_port are meant.")
    if protocol not in (*_WITH_PORTS, _ICMP):
        raise bad_request(f"Invalid IP protocol {protocol[:40]}.")
    low, high = _number(protocol, body.from_port), _number(protocol, body.to_port)
    if protocol == _ICMP:
        _check_icmp(low, high)
        return protocol, None if low == _ALL else low, None if high == _ALL else high
    _check_ports(protocol, low, high)
    return protocol, low, high


def _number(protocol: str, value: int | str) -> int:
    if isinstance(value, int):
        return value
    digits = value.strip()
    if len(digits) <= _MAX_DIGITS and digits.isascii() and digits.removeprefix("-").isdigit():
        return int(digits)
    what = (
        "Type and Code must be integers for ICMP protocol type"
        if protocol == _ICMP
        else "To and From ports must be integers"
    )
    raise bad_request(f"Invalid input received: {what}")


def _check_ports(protocol: str, low: int, high: int) -> None:
    if low > high:
        raise _bad_range(low, high, "Former value cannot be greater than the later")
    if low < 1 or high > _MAX_PORT:
        raise _bad_range(low, high, f"Valid {protocol.upper()} ports should be between 1-{_MAX_PORT}")


def _check_icmp(kind: int, code: int) -> None:
    if not (_ALL <= kind <= _MAX_ICMP and _ALL <= code <= _MAX_ICMP):
        raise _bad_range(kind, code, "For ICMP, the type:code must be valid")


def _bad_range(low: int, high: int, cause: str) -> Exception:
    return bad_request(f"Invalid port range {str(low)[:20]}:{str(high)[:20]}. {cause}")


def _cidr(given: str | None) -> str:
    """
    :raises Fault: 400: it is no range of addresses
    """
    if not given:
        return _ANYWHERE
    cidr = unquote(given)
    address, slash, prefix = cidr.partition("/")
    try:
        ipaddress.ip_network(cidr, strict=False)
        number = int(ipaddress.ip_address(address))
    except ValueError:
        slash, number = "", 0
    if not slash:
        raise bad_request(f"{given[:60]} is not a valid IP network.")
    if number and prefix == "0":
        raise bad_request(f"Bad prefix for network in cidr {cidr[:60]}")
    return cidr
