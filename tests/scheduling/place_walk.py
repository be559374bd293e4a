"""Placing servers under kills at every moment; see ``tests.tasks.walk``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, select

from cloudd.compute import BUILD, PLACE, claimed
from cloudd.database import tables
from cloudd.scheduling import Picture, _place, find_plugins, place_kind
from cloudd.tasks import Kind, submit
from tests.tasks.walk import Scenario
from tests.tasks.world import World

from .records import add_host, add_servers, add_size

RULES = find_plugins().rules((), {})


class Placing(Scenario):
    """Seven servers of one request in pages of two, for five of which there is room; one was deleted meanwhile."""

    orders_elsewhere = True

    async def prepare(self, world: World) -> None:
        def fill(connection: Connection) -> None:
            add_host(connection, "c1", vcpus=3)
            add_host(connection, "c2", vcpus=2)
            ids = add_servers(connection, add_size(connection), 7)
            connection.execute(tables.server.update().where(tables.server.c.id == ids[1]).values(deleted_us=1))
            submit(connection, PLACE, {"servers": ids, "avoid": ["x"], "tries": 1}, request_id="req-1", resource="r")

        await world.database.write(fill)

    def kinds(self, world: World) -> Iterable[Kind]:
        _place.PAGE = 2
        return [place_kind(Picture(world.database, time.monotonic), RULES)]

    async def effects(self, world: World) -> Any:
        found: Any = await world.database.read(_look)
        return found


def _look(connection: Connection) -> dict[str, Any]:
    servers = connection.execute(select(tables.server).order_by(tables.server.c.name)).all()
    built = connection.execute(select(tables.task).where(tables.task.c.kind == BUILD.name)).all()
    held = {node_id: need.vcpus for node_id, need in sorted(claimed(connection).items())}
    return {
        "states": [[server.name, server.state, server.task_state, server.fault_code] for server in servers],
        "hosts": sorted(server.host for server in servers),
        "fitting": all((server.node_id == f"node-{server.host}") == bool(server.host) for server in servers),
        "held": held,
        "built": sorted(server.name for server in servers for task in built if task.resource == server.id),
        "pinned": sorted(f"{task.node_id} {task.request_id}" for task in built),
        "payloads": sorted({json.dumps({**json.loads(task.payload), "server_id": ""}) for task in built}),
    }


PLACING = Placing()
