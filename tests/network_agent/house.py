"""A host in a namespace of its own, the records of a cloud, and agents that bring the one to the other."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from attrs import evolve
from sqlalchemy import Connection, insert, select, update
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from cloudd.database import tables
from cloudd.interfaces.application import Resources
from cloudd.interfaces.settings import NetworkSettings
from cloudd.network import (
    Network,
    Port,
    Rule,
    SecurityGroup,
    Subnet,
    WantedIP,
    create_group,
    create_network,
    create_port,
    create_rule,
    create_subnet,
    drop_port,
    drop_rule,
    drop_subnet,
)
from cloudd.network_agent import NetworkAgent, network_agent, prefix_of
from net import Port as PlannedPort
from tests.identity.house import House
from tests.net.namespaces import Guest, Host
from tests.protocols.swift.face import an_access

NODE, NAME = "11111111-0000-4000-8000-000000000000", "host-1"
ALICE, ADMIN = an_access("alice", "p1", "member"), an_access("root", "p0", "admin")
PATIENCE_S = 60.0
T = TypeVar("T")


class Records:
    """What tenants and services write in the control database."""

    def __init__(self, database: Any) -> None:
        self.write = database.write
        self.read = database.read

    async def begin(self) -> Records:
        await self.write(_add_node, NODE, NAME)
        return self

    async def network(self, cidr: str = "10.0.0.0/24", given: frozenset[str] = frozenset(), **subnet: Any) -> str:
        """A network with one subnet; its id."""
        mtu = subnet.pop("mtu", 1500)
        made = await self.write(create_network, ALICE, Network(id="", project_id="p1", mtu=mtu))
        await self.subnet(made.id, cidr, given, **subnet)
        return str(made.id)

    async def subnet(self, network_id: str, cidr: str, given: frozenset[str] = frozenset(), **more: Any) -> str:
        version = 6 if ":" in cidr else 4
        wanted = Subnet(id="", project_id="p1", network_id=network_id, ip_version=version, cidr=cidr, **more)
        # By an administrator, who may use other ranges than tenants.
        made = await self.write(create_subnet, ADMIN, wanted, given | frozenset(more))
        return str(made.id)

    async def port(self, network_id: str, address: str = "", host: str = NAME, **more: Any) -> str:
        """A port that is bound to a host."""
        wanted = Port(
            id="", project_id="p1", network_id=network_id, mac_address="", host=host, device_id="server",
            device_owner="compute:nova", **more,
        )  # fmt: skip
        given = frozenset({"host", "device_id", "device_owner", *more})
        fixed = [WantedIP(ip_address=address)] if address else None
        made = await self.write(create_port, ADMIN, wanted, fixed, given)
        return str(made.id)

    async def group(self, name: str = "web") -> str:
        made = await self.write(create_group, ALICE, SecurityGroup(id="", project_id="p1", name=name))
        return str(made.id)

    async def rule(self, group_id: str, **more: Any) -> str:
        wanted = Rule(id="", project_id="p1", security_group_id=group_id, direction="ingress", **more)
        made = await self.write(create_rule, ALICE, wanted)
        return str(made.id)

    async def drop_rule(self, rule_id: str) -> None:
        await self.write(drop_rule, ALICE, rule_id)

    async def drop(self, *port_ids: str) -> None:
        for port_id in port_ids:
            await self.write(drop_port, ADMIN, port_id)

    async def drop_subnet_of(self, network_id: str) -> None:
        (subnet_id,) = await self.read(_subnets, network_id)
        await self.write(drop_subnet, ALICE, subnet_id)

    async def set(self, table: Any, row_id: str, **values: Any) -> None:
        await self.write(_set, table, row_id, values)

    async def status(self, port_id: str) -> str:
        return str(await self.read(_status, port_id))


def _add_node(connection: Connection, node_id: str, name: str) -> None:
    values = {"id": node_id, "name": name, "state": "ready", "state_us": 1, "created_us": 1}
    connection.execute(insert(tables.node).values(**values))


def _set(connection: Connection, table: Any, row_id: str, values: dict[str, Any]) -> None:
    connection.execute(update(table).where(table.c.id == row_id).values(**values))


def _subnets(connection: Connection, network_id: str) -> list[str]:
    columns = tables.subnet.c
    return list(connection.execute(select(columns.id).where(columns.network_id == network_id)).scalars())


def _status(connection: Connection, port_id: str) -> str:
    columns = tables.port.c
    return str(connection.execute(select(columns.status).where(columns.id == port_id)).scalar_one())


async def own_node() -> str:
    return NODE


class AgentCase(TestCase):
    """
    Base of the tests.

    :ivar folder: of dnsmasq
    """

    async def setUp(self) -> None:  # type: ignore[override]
        self.house = await House.built(self)
        self.database = self.house.database()
        self.records = await Records(self.database).begin()
        self.host = Host(self)
        self.folder = Path(tempfile.mkdtemp(prefix="dhcp"))
        self.folder.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.folder)
        self.prefix = prefix_of(NODE)
        self.agents: list[NetworkAgent] = []
        # Before the database closes: trial tears down after that.
        self.addCleanup(lambda: later(self._end()))

    async def _end(self) -> None:
        for agent in self.agents:
            agent.retire()
            await agent.rest()
        pid = self.dnsmasq()
        if pid is not None:
            os.kill(pid, 9)

    def resources(self, database: Any = None) -> Resources:
        found = self.house.resources(database or self.database)
        network = NetworkSettings(data_plane="on", folder=str(self.folder))
        settings = evolve(found.settings, state=self.house.folder.absolute(), network=network)
        return evolve(found, reactor=reactor, settings=settings)

    def agent(self, database: Any = None) -> NetworkAgent:
        """Another generation, on this host."""
        made = network_agent(self.resources(database), own_node, begin=lambda: enter(self.host.path))
        assert isinstance(made, NetworkAgent)
        self.agents.append(made)
        return made

    def dnsmasq(self) -> int | None:
        """The process that serves this host."""
        try:
            pid = int((self.folder / "pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        except (OSError, ValueError):
            return None
        return pid if str(self.folder) in command else None

    def guest(self, agent: NetworkAgent, port_id: str) -> Guest:
        """Who is plugged into the tap of a port, with its address and router."""
        return self.host.guest(self.planned(agent, port_id), self.prefix).configure()

    def state(self) -> str:
        """All of the host that could be written, with the numbers that change when something is made again."""
        files = [
            (path.name, path.stat().st_mtime_ns) for path in sorted(self.folder.iterdir()) if path.name != "leases"
        ]
        looks = (
            "ip -o link | cut -d '<' -f 1; ip -o -4 addr; ip -o -6 addr show scope global; nft -a list ruleset;"
            "(ip route; ip -6 route show proto 199) | sed 's/ linkdown//'"
        )
        return f"{self.host.run(looks)}{files}{self.dnsmasq()}"

    def planned(self, agent: NetworkAgent, port_id: str) -> PlannedPort:
        assert agent._view is not None
        return agent._view.planner.ports[port_id]

    async def is_status(self, port_id: str, status: str) -> bool:
        return await self.records.status(port_id) == status

    async def until(self, holds: Callable[[], Any]) -> None:
        """Wait for something that comes by itself."""
        deadline = reactor.seconds() + PATIENCE_S
        while True:
            found = holds()
            if await found if isinstance(found, Deferred) or hasattr(found, "__await__") else found:
                return
            self.assertLess(reactor.seconds(), deadline, "it has not come")
            await deferLater(reactor, 0.02)


def later(coroutine: Coroutine[Any, Any, T]) -> Deferred[T]:
    return Deferred.fromCoroutine(coroutine)


def enter(path: str) -> None:
    """Into the network namespace of a host."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(descriptor)
