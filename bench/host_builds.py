"""
How fast a host's worker builds simulated servers: rows, each with its task, until all are ``ACTIVE``.

    python -m bench.host_builds [--servers 1000] [--parallel 16] [--ports 1] [--database postgresql]

In one process, as the agent's worker does it: the real tasks, ports of a real network, the simulated driver.  Requests
and the scheduler are not in it: ``bench.builds`` has all of it.  Prints one JSON object: ``seconds`` from the order
until the last server is active, ``cpu_s_per_server``, ``delete_seconds`` and ``delete_cpu_s_per_server`` for their
deletion, ``left``: rows and guests that are there afterwards (0, or the exit status is 1).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import traceback
import uuid
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, select
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from cloudd.compute import BUILD, DELETE, Doing, State
from cloudd.database import tables
from cloudd.guests import guest_kinds
from cloudd.tasks import Runner, by_name
from tests.guests.host import PROJECT, TestHost, furnish, one_interface, order, place
from tests.tasks.world import World, make_folder

LEASE_S = 15.0
BATCH = 100


def unlimited(connection: Connection) -> None:
    """Quotas of the project are no matter here."""
    for resource in ("instances", "cores", "ram"):
        row = {"project_id": PROJECT, "user_id": "", "resource": resource, "value": -1}
        connection.execute(insert(tables.compute_limit).values(**row))


async def orders(world: World, ids: list[str], network_id: str, ports: int) -> None:
    """As one request of the API does it, in batches."""
    networks = one_interface(network_id) * ports

    def some(connection: Connection, batch: list[str]) -> None:
        for server_id in batch:
            place(connection, server_id, networks=networks)
            order(connection, BUILD, server_id)

    for start in range(0, len(ids), BATCH):
        await world.database.write(some, ids[start : start + BATCH])


async def deletions(world: World, ids: list[str]) -> None:
    def some(connection: Connection, batch: list[str]) -> None:
        for server_id in batch:
            order(connection, DELETE, server_id, Doing.DELETING)

    for start in range(0, len(ids), BATCH):
        await world.database.write(some, ids[start : start + BATCH])


def number_in(connection: Connection, state: State) -> int:
    query = select(func.count()).select_from(tables.server).where(tables.server.c.state == state.value)
    return connection.execute(query).scalar_one()


async def until_all(world: World, state: State, count: int) -> None:
    while await world.database.read(number_in, state) < count:
        await deferLater(world.reactor, 0.2, lambda: None)


async def measured(world: World, options: argparse.Namespace) -> dict[str, Any]:
    host = TestHost(world.reactor, world.folder, world.database, world.threads)
    network_id = await world.database.write(furnish)
    await world.database.write(unlimited)
    kinds = by_name(guest_kinds(host.means()))
    runner = Runner(world.reactor, world.database, kinds, "bench", options.parallel, LEASE_S)
    ids = [str(uuid.uuid4()) for _ in range(options.servers)]
    await orders(world, ids, network_id, options.ports)
    runner.start()
    found: dict[str, Any] = {"servers": options.servers, "parallel": options.parallel, "ports": options.ports}
    began, cpu = time.monotonic(), time.process_time()
    runner.poke()
    await until_all(world, State.ACTIVE, len(ids))
    found["seconds"] = round(time.monotonic() - began, 2)
    found["cpu_s_per_server"] = round((time.process_time() - cpu) / len(ids), 5)
    began, cpu = time.monotonic(), time.process_time()
    await deletions(world, ids)
    runner.poke()
    await until_all(world, State.DELETED, len(ids))
    found["delete_seconds"] = round(time.monotonic() - began, 2)
    found["delete_cpu_s_per_server"] = round((time.process_time() - cpu) / len(ids), 5)
    await runner.rest()
    found["left"] = await world.database.read(left_over) + len(await host.driver.guests())
    await host.driver.stop()
    return found


def left_over(connection: Connection) -> int:
    kinds = (tables.port, tables.port_address, tables.server_interface, tables.server_claim)
    return sum(connection.execute(select(func.count()).select_from(each)).scalar_one() for each in kinds)


def main(arguments: list[str]) -> int:
    """1: something is left."""
    parser = argparse.ArgumentParser(prog="bench.host_builds")
    parser.add_argument("--servers", type=int, default=1000)
    parser.add_argument("--parallel", type=int, default=16)
    parser.add_argument("--ports", type=int, default=1)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    options = parser.parse_args(arguments)
    os.environ["CLOUDD_TEST_DATABASE"] = options.database
    from twisted.internet import reactor as installed

    reactor: Any = installed
    found: dict[str, Any] = {}

    async def run() -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="cloudd-builds-") as folder:
                make_folder(Path(folder) / "world")
                world = World(Path(folder) / "world", reactor)
                try:
                    found.update(await measured(world, options))
                finally:
                    await world.close()
        except Exception:
            traceback.print_exc()
        finally:
            reactor.stop()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(run()))
    reactor.run()
    print(json.dumps(found))
    return 1 if found.get("left", 1) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
