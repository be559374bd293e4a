"""Orders for servers against real databases: however many ask at once, one thing is done at a time."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import Connection, func, select
from twisted.internet import reactor
from twisted.internet.defer import DeferredList
from twisted.trial.unittest import TestCase

from cloudd.compute import (
    Claim,
    ComputeConflict,
    ComputeError,
    Flavor,
    Order,
    QuotaExceeded,
    Server,
    Share,
    State,
    Verb,
    add_server,
    need_of,
    power,
    read_server,
    reserve,
    resize,
    used_by,
    write_claims,
)
from cloudd.compute.flavors._flavors import add_flavor
from cloudd.database import open_control_database, tables
from tests.database.choice import new_database
from tests.protocols.swift.face import an_access
from tests.scheduling.records import add_host

ALICE = an_access("alice", "p1", "member")


class OrderTests(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.database = open_control_database(new_database(self), reactor=reactor, threads=4)
        self.addCleanup(self.database.close)
        self.small: Flavor = await self.database.write(add_flavor, self.flavor("small", 1))
        await self.database.write(add_flavor, self.flavor("large", 4))
        self.node_id: str = await self.database.write(lambda connection: add_host(connection, "n", vcpus=99))

    def flavor(self, name: str, vcpus: int) -> Flavor:
        return Flavor(id="", flavor_id=name, name=name, ram_mib=64, vcpus=vcpus, disk_gib=1)

    def add(self, connection: Connection) -> str:
        """Id of a new server that runs."""
        server = Server(
            id=str(uuid.uuid4()), project_id="p1", user_id="alice-id", name="s", host_name="s", flavor=self.small.id,
            state=State.ACTIVE, node_id=self.node_id, host="n", launched_us=1,
        )  # fmt: skip
        add_server(connection, server)
        reserve(connection, "p1", "alice-id", [Share(server.id, 1, 64)])
        write_claims(connection, [Claim(server.id, self.node_id, need_of(self.small))])
        return server.id

    async def at_once(self, calls: list[Any], *refusals: type[ComputeError]) -> int:
        """How many were taken; all others were refused so."""
        refused: list[Any] = [failure for good, failure in await DeferredList(calls, consumeErrors=True) if not good]
        for failure in refused:
            failure.trap(*refusals)
        return len(calls) - len(refused)

    async def test_one_at_a_time(self) -> None:
        """Of a hundred orders for one server one is taken, with one task and one line of history."""
        server_id = await self.database.write(self.add)
        verbs = (Verb.STOP, Verb.PAUSE, Verb.SUSPEND, Verb.REBOOT)
        calls = [
            self.database.write(power, Order(ALICE, server_id, f"req-{place}"), verbs[place % len(verbs)])
            for place in range(100)
        ]
        self.assertEqual(await self.at_once(calls, ComputeConflict), 1)
        counts = await self.database.read(
            lambda connection: [
                connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (tables.task, tables.server_action)
            ]
        )
        self.assertEqual(counts, [1, 1])
        self.assertIsNotNone((await self.database.read(read_server, server_id)).doing)

    async def test_quota(self) -> None:
        """Of ten servers that would grow at once as many do as the quota of 20 cores allows."""
        ids = [await self.database.write(self.add) for _ in range(10)]
        calls = [self.database.write(resize, Order(ALICE, each, f"req-{each}"), "large", None) for each in ids]
        self.assertEqual(await self.at_once(calls, QuotaExceeded), 3)
        self.assertEqual((await self.database.read(used_by, "p1"))["cores"], 19)
