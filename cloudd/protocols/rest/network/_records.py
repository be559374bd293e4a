# -*- test-case-name: tests.protocols.rest.network.test_records -*-
"""Networks, subnets and ports.  Source: Network API v2.0, "Networks", "Subnets", "Ports"."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import Connection

from cloudd import network as service
from cloudd.identity import Access
from cloudd.interfaces.application import Transactions
from cloudd.interfaces.tenant_ranges import Ranges
from cloudd.network import Room

from .._face import Call
from .._faults import bad_request
from .._routes import Answer, route
from ._bodies import BLANK, NetworkBody, PortBody, SubnetBody, given_in, project_in
from ._listings import COMMON, Shape, answer_list, chosen, number, read_listing, text, text_or_none, truth
from ._reading import read_one, read_some
from ._shown import show_network, show_port, show_subnet

NETWORKS = Shape(
    "networks",
    {
        **COMMON,
        "admin_state_up": ("admin_state_up", truth),
        "shared": ("shared", truth),
        "router:external": ("external", truth),
        "mtu": ("mtu", number),
        "port_security_enabled": ("port_security_enabled", truth),
    },
    show_network,
)
SUBNETS = Shape(
    "subnets",
    {
        **COMMON,
        "network_id": ("network_id", text),
        "ip_version": ("ip_version", number),
        "cidr": ("cidr", text),
        "gateway_ip": ("gateway_ip", text_or_none),
        "enable_dhcp": ("enable_dhcp", truth),
        "ipv6_ra_mode": ("ipv6_ra_mode", text_or_none),
        "ipv6_address_mode": ("ipv6_address_mode", text_or_none),
    },
    show_subnet,
)
PORTS = Shape(
    "ports",
    {
        **COMMON,
        "network_id": ("network_id", text),
        "mac_address": ("mac_address", lambda _, value: value.lower()),
        "admin_state_up": ("admin_state_up", truth),
        "status": ("status", text),
        "device_id": ("device_id", text),
        "device_owner": ("device_owner", text),
        "binding:host_id": ("host", text),
        "binding:vnic_type": ("vnic_type", text),
        "port_security_enabled": ("port_security_enabled", truth),
    },
    show_port,
)
#: What stays as it was made.
FIXED = {"subnet": frozenset({"network_id", "ip_version", "cidr"}), "port": frozenset({"network_id"})}


@frozen
class Desk:
    """What the routes of one kind share."""

    database: Transactions
    kind: str
    shape: Shape

    async def make(self, call: Call, schema: Any, create: Callable[..., Any]) -> Answer:
        """201: one, or several in one transaction."""
        bodies, several = await read_some(call, self.kind, self.shape.plural, schema)
        admin = call.access.is_admin
        wanted = [self._wanted(call.access, body, admin=admin) for body in bodies]

        def create_all(connection: Connection) -> list[Any]:
            room = Room()
            return [create(connection, call.access, room, *each) for each in wanted]

        made = await self.database.write(create_all)
        shown = [self.shape.show(each, admin) for each in made]
        return Answer(201, {self.shape.plural: shown} if several else {self.kind: shown[0]})

    def _wanted(self, access: Access, body: Any, *, admin: bool) -> tuple[Any, dict[str, Any]]:
        given = given_in(body)
        project_id = project_in(body, access.project_id or "", admin=admin)
        blank = BLANK[self.kind](project_id)
        return evolve(blank, **{name: value for name, value in given.items() if name != "fixed_ips"}), given

    async def page(self, call: Call, listed: Callable[..., Any], *more: Any) -> Answer:
        """200 with what the query asks for."""
        listing = read_listing(call.query, self.shape)
        found = await self.database.read(listed, call.access, listing, *more)
        return answer_list(call, self.shape, listing, found, call.access.is_admin)

    async def show(self, call: Call, one: Callable[..., Any], record_id: str) -> Answer:
        """200 with one."""
        found = await self.database.read(one, call.access, record_id)
        return Answer(200, {self.kind: chosen(call.query, self.shape.show(found, call.access.is_admin))})

    async def change(self, call: Call, schema: Any, update: Callable[..., Any], record_id: str) -> Answer:
        """200 with what it is now."""
        body = await read_one(call, self.kind, schema)
        given = given_in(body)
        if fixed := sorted(FIXED.get(self.kind, frozenset()) & set(given)):
            raise bad_request(f"Cannot update read-only attribute {', '.join(fixed)}")
        changed = await self.database.write(update, call.access, record_id, given)
        return Answer(200, {self.kind: self.shape.show(changed, call.access.is_admin)})

    async def drop(self, call: Call, drop: Callable[..., Any], record_id: str) -> Answer:
        """204."""
        await self.database.write(drop, call.access, record_id)
        return Answer(204)


def _create_network(connection: Connection, access: Access, room: Room, wanted: Any, _given: dict[str, Any]) -> Any:
    return service.create_network(connection, access, wanted, room)


def _create_subnet(
    connection: Connection, access: Access, room: Room, wanted: Any, given: dict[str, Any], *, ranges: Ranges
) -> Any:
    missing = sorted({"network_id", "ip_version", "cidr"} - set(given))
    if missing:
        raise service.BadNetworkValue(f"Failed to parse request. Required attribute '{missing[0]}' not specified")
    return service.create_subnet(connection, access, wanted, frozenset(given), room, ranges)


def _create_port(connection: Connection, access: Access, room: Room, wanted: Any, given: dict[str, Any]) -> Any:
    if "network_id" not in given:
        raise service.BadNetworkValue("Failed to parse request. Required attribute 'network_id' not specified")
    return service.create_port(connection, access, wanted, given.get("fixed_ips"), frozenset(given), room)


def _update_port(connection: Connection, access: Access, port_id: str, given: dict[str, Any]) -> Any:
    values = dict(given)
    return service.update_port(connection, access, port_id, values, values.pop("fixed_ips", None))


class NetworkRoutes:
    """``/v2.0/networks``."""

    def __init__(self, database: Transactions) -> None:
        self._desk = Desk(database, "network", NETWORKS)

    @route("GET", "/v2.0/networks")
    async def list_networks(self, call: Call) -> Answer:
        """One's own, shared and external ones."""
        return await self._desk.page(call, service.listed_networks)

    @route("POST", "/v2.0/networks")
    async def create(self, call: Call) -> Answer:
        """201 with the new one, or several; shared and external ones are for administrators."""
        return await self._desk.make(call, NetworkBody, _create_network)

    @route("GET", "/v2.0/networks/{network_id}")
    async def show(self, call: Call, network_id: str) -> Answer:
        """One network."""
        return await self._desk.show(call, service.one_network, network_id)

    @route("PUT", "/v2.0/networks/{network_id}")
    async def update(self, call: Call, network_id: str) -> Answer:
        """200 with what it is now."""
        return await self._desk.change(call, NetworkBody, service.update_network, network_id)

    @route("DELETE", "/v2.0/networks/{network_id}")
    async def delete(self, call: Call, network_id: str) -> Answer:
        """204, with its subnets; 409 as long as somebody has a port on it."""
        return await self._desk.drop(call, service.drop_network, network_id)


class SubnetRoutes:
    """``/v2.0/subnets``."""

    def __init__(self, database: Transactions, ranges: Ranges) -> None:
        """:param ranges: that projects may use"""
        self._desk = Desk(database, "subnet", SUBNETS)
        self._create = partial(_create_subnet, ranges=ranges)
        self._update = partial(service.update_subnet, ranges=ranges)

    @route("GET", "/v2.0/subnets")
    async def list_subnets(self, call: Call) -> Answer:
        """Those of networks that who asks can see."""
        return await self._desk.page(call, service.listed_subnets)

    @route("POST", "/v2.0/subnets")
    async def create(self, call: Call) -> Answer:
        """201 with the new one, or several; without a gateway it gets the first address as one. Of `tenant_ranges`."""
        return await self._desk.make(call, SubnetBody, self._create)

    @route("GET", "/v2.0/subnets/{subnet_id}")
    async def show(self, call: Call, subnet_id: str) -> Answer:
        """One subnet."""
        return await self._desk.show(call, service.one_subnet, subnet_id)

    @route("PUT", "/v2.0/subnets/{subnet_id}")
    async def update(self, call: Call, subnet_id: str) -> Answer:
        """200 with what it is now; network, IP version and cidr stay."""
        return await self._desk.change(call, SubnetBody, self._update, subnet_id)

    @route("DELETE", "/v2.0/subnets/{subnet_id}")
    async def delete(self, call: Call, subnet_id: str) -> Answer:
        """204; 409 as long as a port has an address of it."""
        return await self._desk.drop(call, service.drop_subnet, subnet_id)


class PortRoutes:
    """``/v2.0/ports``."""

    def __init__(self, database: Transactions) -> None:
        self._desk = Desk(database, "port", PORTS)

    @route("GET", "/v2.0/ports")
    async def list_ports(self, call: Call) -> Answer:
        """One's own; filters, too: ``fixed_ips=ip_address=A``, ``fixed_ips=subnet_id=S``, ``security_groups=G``."""
        by_address = [_wanted_ip(value) for name, value in call.query.pairs if name == "fixed_ips"]
        groups = [value for name, value in call.query.pairs if name in ("security_groups", "security_group_ids")]
        return await self._desk.page(call, service.listed_ports, by_address, groups)

    @route("POST", "/v2.0/ports")
    async def create(self, call: Call) -> Answer:
        """201 with the new one, or several; without fixed IPs it gets one of each IP version."""
        return await self._desk.make(call, PortBody, _create_port)

    @route("GET", "/v2.0/ports/{port_id}")
    async def show(self, call: Call, port_id: str) -> Answer:
        """One port."""
        return await self._desk.show(call, service.one_port, port_id)

    @route("PUT", "/v2.0/ports/{port_id}")
    async def update(self, call: Call, port_id: str) -> Answer:
        """200 with what it is now."""
        return await self._desk.change(call, PortBody, _update_port, port_id)

    @route("DELETE", "/v2.0/ports/{port_id}")
    async def delete(self, call: Call, port_id: str) -> Answer:
        """204; its addresses are free again."""
        return await self._desk.drop(call, service.drop_port, port_id)


def _wanted_ip(value: str) -> service.WantedIP:
    name, _, wanted = value.partition("=")
    if name == "ip_address":
        return service.WantedIP(ip_address=wanted)
    if name == "subnet_id":
        return service.WantedIP(subnet_id=wanted)
    raise bad_request(f"Invalid filter fixed_ips={value[:60]}: ip_address=… or subnet_id=… is meant.")
