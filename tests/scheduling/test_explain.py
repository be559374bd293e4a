"""Dry runs for operators, and the scheduler as a part of a generation."""

from __future__ import annotations

import uuid
from typing import Any, cast

import msgspec
from attrs import evolve
from sqlalchemy import Connection
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from cloudd.compute import PLACE, Claim, change_server, write_claims
from cloudd.control import Schedule
from cloudd.daemon._metrics import WorkerMetrics
from cloudd.interfaces.application import OperationRefused, SelfCheckFailed
from cloudd.interfaces.scheduling import Need
from cloudd.interfaces.settings import SchedulerSettings
from cloudd.scheduling import FILTERS, WEIGHERS, Plugins, Scheduling
from cloudd.tasks import Runner, by_name, submit, wait_for_end
from tests.nodes.house import House

from .records import add_group, add_host, add_image, add_servers, add_size


class ServiceCase(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.house = House.built(self)
        self.resources = self.house.resources("one")

    async def write(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return await self.house.database.write(function, *args, **kwargs)

    def scheduling(self, **settings: Any) -> Scheduling:
        chosen = evolve(self.resources.settings, scheduler=SchedulerSettings(**settings))
        return Scheduling(evolve(self.resources, settings=chosen))

    async def explained(self, **asked: Any) -> Schedule:
        """As ``cloudctl`` gets it."""
        found = await self.scheduling().calls()["scheduling.explain"](**{"flavor": "small", **asked})
        return msgspec.convert(found, Schedule)


class ExplainTests(ServiceCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()

        def fill(connection: Connection) -> str:
            add_host(connection, "c1")
            add_host(connection, "c2", zone="z2")
            add_host(connection, "c3", is_enabled=False)
            add_host(connection, "c4", vcpus=0)
            add_host(connection, "c5", projects='["p1"]')
            small = add_size(connection)
            add_size(connection, "big", vcpus=8)
            (server_id,) = add_servers(connection, small)
            change_server(connection, server_id, node_id="node-c1", host="c1")
            write_claims(connection, [Claim(server_id, "node-c1", Need(vcpus=1, memory_mib=1024, disk_gib=10))])
            return server_id

        self.server_id: str = await self.write(fill)

    async def test_explained(self) -> None:
        """Each host with what takes it out, or with its weights, and how many servers it would get."""
        found = await self.explained(count=3)
        self.assertEqual((found.total, found.passing, found.placed, found.servers, found.cause), (5, 2, 3, 3, ""))
        self.assertEqual(found.removed, {"enabled": 1, "projects": 1, "vcpus": 1})
        self.assertEqual(found.weighers, {"vcpus": 1.0, "memory": 1.0, "disk": 1.0, "group": 10.0})
        hosts = {host.name: host for host in found.hosts}
        self.assertEqual([host.name for host in found.hosts], ["c2", "c1", "c3", "c4", "c5"])
        self.assertEqual((hosts["c2"].servers, hosts["c1"].servers), (2, 1))
        self.assertEqual((hosts["c2"].weight, hosts["c1"].weight), (3.0, 0.0))
        self.assertEqual(hosts["c2"].weights, {"vcpus": 1.0, "memory": 1.0, "disk": 1.0})
        self.assertEqual(
            (hosts["c1"].free_vcpus, hosts["c1"].free_memory_mib, hosts["c1"].free_disk_gib), (7, 15360, 90)
        )
        self.assertEqual((hosts["c4"].filter, hosts["c4"].cause), ("vcpus", "0 of 0 vCPUs are free, 1 are needed"))
        self.assertEqual(hosts["c3"].cause, "it is disabled")

    async def test_nothing_is_written(self) -> None:
        """However often it is asked."""
        for _ in range(3):
            await self.explained(count=8)
        self.assertEqual((await self.explained(count=1)).hosts[0].free_vcpus, 8)

    async def test_refused(self) -> None:
        """What a tenant would read."""
        found = await self.explained(flavor="big", zone="nova", count=2)
        self.assertEqual((found.placed, found.passing), (0, 0))
        self.assertEqual(found.cause, "No valid host was found. No host has 8 free vCPUs in zone nova.")

    async def test_all_that_can_be_asked(self) -> None:
        """Zone, host, project, servers to be near to or apart from, a group, an image."""

        def fill(connection: Connection) -> str:
            add_image(connection, "i1", "arm", "aarch64")
            return add_group(connection, "anti-affinity", [self.server_id])

        group_id = await self.write(fill)
        for asked, names in (
            ({"zone": "z2"}, {"c2"}),
            ({"host": "c1"}, {"c1"}),
            ({"project_id": "p1"}, {"c1", "c2", "c5"}),
            ({"same_host": [self.server_id]}, {"c1"}),
            ({"different_host": [self.server_id]}, {"c2"}),
            ({"group": group_id}, {"c2"}),
            ({"image": "i1"}, set()),
            ({"image": "arm"}, set()),
        ):
            found = await self.explained(**asked)
            self.assertEqual({host.name for host in found.hosts if not host.filter}, names, asked)

    async def test_a_limit(self) -> None:
        """Of how many hosts is told; counts are of all."""
        found = await self.explained(limit=2)
        self.assertEqual(([host.name for host in found.hosts], found.total), (["c2", "c1"], 5))
        self.assertEqual(sum(found.removed.values()), 3)

    async def test_what_is_not_there(self) -> None:
        """Each is named."""
        for asked, words in (
            ({"flavor": "huge"}, "Flavor huge could not be found."),
            ({"image": "none"}, "there is no image none"),
            ({"group": str(uuid.uuid4())}, "there is no server group"),
            ({"count": 1001}, "count is 1 to 1000"),
            ({"limit": 0}, "limit 1 to 1000"),
        ):
            with self.assertRaises(OperationRefused) as caught:
                await self.explained(**asked)
            self.assertIn(words, str(caught.exception))


class LifeTests(ServiceCase):
    async def test_life(self) -> None:
        """A part that does nothing by itself."""
        part = self.scheduling()
        await part.self_check()
        part.start(part.snapshot())
        part.lead()
        part.retire()
        self.assertEqual(part.health(), [])
        self.assertEqual([kind.form.name for kind in part.task_kinds()], ["compute.place_servers"])

    async def test_counted(self) -> None:
        """Servers that were placed and refused."""

        def fill(connection: Connection) -> str:
            add_host(connection, "c1", vcpus=2)
            return submit(connection, PLACE, {"servers": add_servers(connection, add_size(connection), 3)})

        task_id = await self.write(fill)
        kinds = by_name(self.scheduling().task_kinds())
        runner = Runner(reactor, self.house.database, kinds, "tester", 1, 30.0)
        self.addCleanup(runner.rest)
        runner.start()
        runner.poke()
        await wait_for_end(reactor, self.house.database, task_id)
        registry = cast(WorkerMetrics, self.resources.metrics).registry
        found = [registry.get_sample_value("cloudd_placements_total", {"how": how}) for how in ("placed", "refused")]
        self.assertEqual(found, [2, 1])

    async def test_self_check(self) -> None:
        """Code whose plug-ins are missing, break, or are not those that the settings name does not serve."""

        def broken() -> Plugins:
            raise ImportError("no module x")

        for part, words in (
            (self.scheduling(weights=("ram=2",)), "[scheduler] names the weigher 'ram'"),
            (self.scheduling(filters_off=("ram",)), "[scheduler] names the filter 'ram'"),
            (Scheduling(self.resources, lambda: Plugins(FILTERS[:-1], WEIGHERS)), "no filter 'different host'"),
            (Scheduling(self.resources, broken), "ImportError: no module x"),
        ):
            with self.assertRaises(SelfCheckFailed) as caught:
                await part.self_check()
            self.assertIn(words, str(caught.exception))
