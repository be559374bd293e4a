"""
What it costs the agent to plug one port more: ``python -m bench.network_agent [--ports 1000]``, as root.

A control database with so many ports of one group on this host, all plugged in a network namespace of its own.  Then
20 ports more are bound, one after the other, and each is plugged, followed and unplugged.  Prints JSON: milliseconds of
CPU of the process, the kernel's on its behalf included, and of wall, each the mean of twenty.  dnsmasq's own reading
of its files is not in there.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from attrs import define, field
from sqlalchemy import Connection, insert
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from cloudd.database import migrate, open_control_database, tables
from cloudd.identity import Access, RoleRef
from cloudd.interfaces.application import Resources
from cloudd.interfaces.settings import NetworkSettings, Settings
from cloudd.network import Network, Port, Subnet, create_network, create_port, create_subnet
from cloudd.network_agent import NetworkAgent, network_agent

NODE, NAME = "bench-node", "bench"
TIMES = 20
ADMIN = Access(
    user_id="", user_name="", user_domain_id="", user_domain_name="", project_id="p1",
    roles=(RoleRef("admin", "admin"),),
)  # fmt: skip


def _begin(connection: Connection) -> str:
    values = {"id": NODE, "name": NAME, "state": "ready", "state_us": 1, "created_us": 1}
    connection.execute(insert(tables.node).values(**values))
    network = create_network(connection, ADMIN, Network(id="", project_id="p1"))
    subnet = Subnet(id="", project_id="p1", network_id=network.id, ip_version=4, cidr="10.0.0.0/16")
    create_subnet(connection, ADMIN, subnet, frozenset())
    connection.execute(insert(tables.network_quota).values(project_id="p1", resource="port", most=-1))
    return network.id


def _ports(connection: Connection, network_id: str, count: int) -> list[str]:
    """Bound to this host, in the project's default group."""
    wanted = Port(
        id="", project_id="p1", network_id=network_id, mac_address="", host=NAME, device_id="server",
        device_owner="compute:nova",
    )  # fmt: skip
    given = frozenset({"host", "device_id", "device_owner"})
    return [create_port(connection, ADMIN, wanted, None, given).id for _ in range(count)]


@define
class Spent:
    """Milliseconds of something that is done several times."""

    _cpu: list[float] = field(factory=list)
    _wall: list[float] = field(factory=list)

    async def of(self, do: Callable[[], Awaitable[object]]) -> None:
        wall, processor = time.perf_counter(), time.process_time()
        await do()
        self._cpu.append(time.process_time() - processor)
        self._wall.append(time.perf_counter() - wall)

    def mean(self) -> dict[str, float]:
        spent = {"cpu_ms": self._cpu, "wall_ms": self._wall}
        return {name: round(1_000 * sum(values) / len(values), 1) for name, values in spent.items()}


async def _rounds(agent: NetworkAgent) -> None:
    """What the agent does when it is woken by a commit, here that of its own statuses."""
    ended: Deferred[None] = Deferred()
    agent._wake()
    assert agent._rounds is not None
    agent._rounds.chainDeferred(ended)
    await ended


async def _measure(reactor: Any, folder: Path, count: int) -> dict[str, Any]:
    migrate(folder / "cloud.sqlite")
    database = open_control_database(folder / "cloud.sqlite", reactor=reactor)
    resources = Resources(
        reactor=reactor, settings=Settings(
            state=folder, network=NetworkSettings(data_plane="on", folder=str(folder / "dhcp"))
        ), threads=cast(Any, None), database=database, object_index=cast(Any, None), metrics=cast(Any, None),
        host=cast(Any, None), role="agent", generation=1, urls={}, secrets=folder,
    )  # fmt: skip
    network_id = await database.write(_begin)
    ports = [port for _ in range(count // 100) for port in await database.write(_ports, network_id, 100)]
    agent = network_agent(resources, _own_node, begin=_leave)
    assert isinstance(agent, NetworkAgent)
    spent = {name: Spent() for name in ("all", "again", "plug", "follow", "unplug")}
    for name in ("all", "again"):
        await spent[name].of(lambda: agent.plug(ports))
    # The kernel tells of addresses that it gives by itself a while after a link is up, which is read once.
    agent._look()
    await agent.plug(ports)
    for _ in range(TIMES):
        (port,) = await database.write(_ports, network_id, 1)
        await spent["plug"].of(lambda: agent.plug([port]))  # noqa: B023 - called at once
        await spent["follow"].of(lambda: _rounds(agent))
        await spent["unplug"].of(lambda: agent.unplug([port]))  # noqa: B023 - called at once
    await agent.unplug(ports)
    await agent.rest()
    await database.close()
    return {"ports": count, **{name: each.mean() for name, each in spent.items()}}


async def _own_node() -> str:
    return NODE


def _leave() -> None:
    if ctypes.CDLL(None).unshare(0x40000000):
        raise SystemExit("A namespace cannot be made: run this as root.")


def main(reactor: Any, count: int) -> Deferred[None]:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as name:
            # The user that dnsmasq becomes reads below it.
            Path(name).chmod(0o755)
            sys.stdout.write(json.dumps(await _measure(reactor, Path(name), count), indent=2) + "\n")

    return Deferred.fromCoroutine(run())


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--ports", type=int, default=1_000, help="hundreds, 100 to 60000")
    react(main, [arguments.parse_args().ports])
