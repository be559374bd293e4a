"""The task that finds hosts: killed at every moment, waiting for hosts, many servers, undone."""

from __future__ import annotations

import time
from typing import Any, cast

from sqlalchemy import Connection, func, select, update
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.compute import BUILD, PLACE, change_server, claimed
from cloudd.database import now_us, tables
from cloudd.scheduling import Picture, Rules, _place, _placing, find_plugins, place_kind
from cloudd.tasks import submit
from tests.tasks.house import House
from tests.tasks.walk import KilledAtEveryMoment

from .records import add_host, add_servers, add_size, where

RULES = find_plugins().rules((), {})


class KilledTests(KilledAtEveryMoment, SynchronousTestCase):
    scenario = "tests.scheduling.place_walk:PLACING"

    def look_at(self, calm: dict[str, Any]) -> None:
        effects = calm["effects"]
        self.assertEqual(effects["held"], {"node-c1": 3, "node-c2": 2})
        self.assertEqual(effects["built"], ["s0", "s2", "s3", "s4", "s5"])
        self.assertEqual(effects["states"][0], ["s0", "building", "spawning", None])
        self.assertEqual(effects["states"][6], ["s6", "error", None, 500])
        self.assertEqual(effects["hosts"], ["", "", "c1", "c1", "c1", "c2", "c2"])
        self.assertTrue(effects["fitting"])


class PlaceTests(TestCase):
    def setUp(self) -> None:
        self.house = House.built(self)
        self.picture = Picture(self.house.database, time.monotonic)

    async def ordered(self, count: int, *hosts: dict[str, Any], **facts: Any) -> tuple[str, list[str]]:
        """Id of the task, and of its servers."""

        def fill(connection: Connection) -> tuple[str, list[str]]:
            for host in hosts:
                add_host(connection, host.pop("name"), **host)
            ids = add_servers(connection, add_size(connection), count, **facts)
            return submit(connection, PLACE, {"servers": ids, "avoid": [], "tries": 0}), ids

        found: tuple[str, list[str]] = await self.house.database.write(fill)
        return found

    def run_it(self, rules: Rules = RULES) -> None:
        self.house.runner(place_kind(self.picture, rules))

    async def state(self, server_id: str) -> Any:
        c = tables.server.c
        query = select(c.state, c.task_state, c.fault_message, c.fault_details).where(c.id == server_id)
        return await self.house.database.read(lambda connection: connection.execute(query).one())

    async def test_a_thousand(self) -> None:
        """A thousand servers of one request in ten transactions; their hosts are full to the last vCPU."""
        hosts = [
            {"name": f"c{number}", "vcpus": 100, "memory_mib": 1 << 20, "disk_gib": 1 << 20} for number in range(10)
        ]
        task_id, _ids = await self.ordered(1000, *hosts)
        self.run_it()
        await self.house.until_state(task_id, "done")
        self.assertEqual(set((await self.house.database.read(where)).values()), {100})
        self.assertEqual({need.vcpus for need in (await self.house.database.read(claimed)).values()}, {100})
        builds = select(func.count()).where(tables.task.c.kind == BUILD.name)
        self.assertEqual(await self.house.database.read(lambda connection: connection.execute(builds).scalar()), 1000)
        row = self.house.row(task_id)
        self.assertEqual((row["progress"], row["total"]), (900, 1000))

    async def test_hosts_that_are_silent_yet(self) -> None:
        """It is waited for those that would do; then the servers get them."""
        self.patch(_place, "WAITS", 1000)
        task_id, (server_id,) = await self.ordered(1, {"name": "c1"})
        contact = tables.node.update()
        await self.house.database.write(lambda connection: connection.execute(contact.values(contact_us=1)))
        self.run_it()
        await self.house.until(lambda: "the filters removed: up 1" in self.house.row(task_id)["cause"])
        self.assertEqual((await self.state(server_id)).state, "building")
        await self.house.database.write(lambda connection: connection.execute(contact.values(contact_us=now_us())))
        await self.house.until_state(task_id, "done")
        self.assertEqual((await self.state(server_id)).task_state, "spawning")

    async def test_hosts_that_stay_silent(self) -> None:
        """Not for ever."""
        self.patch(_place, "WAITS", 1)
        task_id, (server_id,) = await self.ordered(1)
        self.run_it()
        await self.house.until_state(task_id, "done")
        found = await self.state(server_id)
        self.assertEqual((found.state, found.task_state), ("error", None))
        self.assertEqual(found.fault_message, "No valid host was found. There is no host that runs servers.")

    async def test_cancelled(self) -> None:
        """Servers of a task that ends before its time are in error, not lost; who has a host keeps it."""
        task_id, ids = await self.ordered(3, {"name": "c1"})

        def spoil(connection: Connection) -> None:
            change_server(connection, ids[0], deleted_us=1)
            connection.execute(update(tables.task).values(cancel_cause="by somebody"))

        await self.house.database.write(spoil)
        self.run_it()
        await self.house.until_state(task_id, "failed")
        self.assertEqual([(await self.state(each)).state for each in ids], ["building", "error", "error"])
        self.assertIn(f"task {task_id}", (await self.state(ids[1])).fault_details)

    async def test_hosts_that_change_too_fast(self) -> None:
        """Where the room has gone each time that it was looked at, it is tried again."""
        self.patch(_placing, "ROUNDS", 0)
        task_id, (server_id,) = await self.ordered(1, {"name": "c1"})
        self.run_it()
        await self.house.until(lambda: "hosts change faster than 1 servers" in self.house.row(task_id)["cause"])
        self.assertEqual((await self.state(server_id)).state, "building")
        self.patch(_placing, "ROUNDS", 1)
        await self.house.until_state(task_id, "done")
        self.assertEqual((await self.state(server_id)).task_state, "spawning")

    async def test_rules_that_raise(self) -> None:
        """A plug-in that raises is tried again, and at last the servers are in error."""

        class Broken:
            name, is_wish = "broken", False

            def passing(self, *_: object) -> Any:
                raise ValueError("broken")

            cause = lacking = passing

        kind = place_kind(self.picture, Rules((cast(Any, Broken()),), ()))
        task_id, (server_id,) = await self.ordered(1, {"name": "c1"})
        self.house.runner(kind)
        await self.house.until(lambda: "ValueError: broken" in self.house.row(task_id)["cause"])
        self.assertEqual((await self.state(server_id)).state, "building")
        self.assertEqual(await self.house.database.read(claimed), {})
