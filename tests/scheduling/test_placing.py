"""The transaction that gives servers hosts, on real records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve
from sqlalchemy import Connection, select, update
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from cloudd.compute import (
    BUILD,
    Claim,
    Doing,
    Fault,
    Server,
    State,
    begin_action,
    change_server,
    claimed,
    claims_of,
    one_action,
    read_server,
    release_claims,
    write_claims,
)
from cloudd.database import GroupCommit, open_control_database, tables
from cloudd.interfaces.scheduling import HostPicture, Need
from cloudd.scheduling import Order, Placed, Rules, find_plugins, place, read_hosts
from tests.database.choice import new_database
from tests.protocols.swift.face import an_access

from .records import add_group, add_host, add_image, add_servers, add_size, where

ORDER = Order("req-1")
BOSS = an_access("root", "p0", "admin")
RULES = find_plugins().rules((), {})


class PlacingTests(TestCase):
    database: GroupCommit[Any]

    def setUp(self) -> None:
        self.database = open_control_database(new_database(self), reactor=reactor)
        self.addCleanup(self.database.close)

    async def write(self, function: Callable[..., Any], *args: Any) -> Any:
        return await self.database.write(function, *args)

    async def placed(
        self, ids: list[str], hosts: list[HostPicture] | None = None, order: Order = ORDER, patient: bool = False
    ) -> Placed:
        """On this picture, and then, as the task does it, on what is so."""
        if hosts is None:
            hosts = await self.database.read(read_hosts)
        found: Placed = await self.database.write(place, ids, hosts, RULES, order, False, patient)
        self.assertEqual((found.refused, found.waiting), ({}, {}))
        if not found.unsure:
            return found
        hosts = await self.database.read(read_hosts)
        again: Placed = await self.database.write(place, found.unsure, hosts, RULES, order, True, patient)
        return evolve(again, hosts=found.hosts | again.hosts)

    async def server(self, server_id: str) -> Server:
        found: Server = await self.database.read(read_server, server_id)
        return found

    async def test_placed(self) -> None:
        """A server gets a host, a claim there, and the task that builds it, for that node alone."""

        def prepare(connection: Connection) -> list[str]:
            add_host(connection, "c1")
            return add_servers(connection, add_size(connection))

        (server_id,) = await self.write(prepare)
        placed = await self.placed([server_id], order=Order("req-7", ("node-c9",), 1))
        self.assertEqual(placed.hosts, {server_id: "c1"})
        server = await self.server(server_id)
        self.assertEqual((server.node_id, server.host, server.doing), ("node-c1", "c1", Doing.SPAWNING))
        self.assertEqual(server.state, State.BUILDING)
        claims = await self.database.read(claims_of, [server_id])
        self.assertEqual(claims, [Claim(server_id, "node-c1", Need(vcpus=1, memory_mib=1024, disk_gib=10))])
        task = (await self.database.read(lambda connection: connection.execute(select(tables.task)).all()))[0]
        self.assertEqual((task.kind, task.node_id, task.resource), (BUILD.name, "node-c1", server_id))
        self.assertEqual((task.request_id, task.project_id), ("req-7", server.project_id))
        self.assertEqual(BUILD.read(1, task.payload), {"server_id": server_id, "avoid": ["node-c9"], "tries": 1})

    async def test_again(self) -> None:
        """Who has a claim keeps it, and no second task is ordered."""

        def prepare(connection: Connection) -> list[str]:
            add_host(connection, "c1")
            return add_servers(connection, add_size(connection), 3)

        ids = await self.write(prepare)
        await self.placed(ids[:2])
        self.assertEqual(set((await self.placed(ids)).hosts), {ids[2]})
        self.assertEqual(await self.database.read(_tasks), 3)

    async def test_gone_meanwhile(self) -> None:
        """Servers that are deleted, being deleted, or in error are passed over."""

        def prepare(connection: Connection) -> list[str]:
            add_host(connection, "c1")
            ids = add_servers(connection, add_size(connection), 4)
            change_server(connection, ids[0], deleted_us=1, state="deleted")
            change_server(connection, ids[1], task_state=Doing.DELETING.value)
            change_server(connection, ids[2], wanted="deleted")
            change_server(connection, ids[3], state="error")
            return ids

        placed = await self.placed(await self.write(prepare))
        self.assertEqual((placed.hosts, placed.refused, placed.waiting), ({}, {}, {}))
        self.assertEqual(await self.database.read(_tasks), 0)

    async def test_refused(self) -> None:
        """The tenant reads which constraint failed, the operator what each filter took."""

        def prepare(connection: Connection) -> list[str]:
            add_host(connection, "c1", zone="z1")
            add_host(connection, "c2", zone="z2", vcpus=64)
            ids = add_servers(connection, add_size(connection, vcpus=16), zone="z1")
            begin_action(connection, BOSS, ids[0], "create", ORDER.request_id)
            return ids

        (server_id,) = await self.write(prepare)
        await self.placed([server_id])
        server = await self.server(server_id)
        self.assertEqual((server.state, server.doing, server.node_id), (State.ERROR, None, ""))
        assert isinstance(server.fault, Fault)
        self.assertEqual(server.fault.code, 500)
        self.assertEqual(server.fault.message, "No valid host was found. No host has 16 free vCPUs in zone z1.")
        self.assertEqual(
            server.fault.details.splitlines(),
            [
                "of 2 hosts the filters removed: zone 1, vcpus 1",
                "c1: vcpus: 8 of 8 vCPUs are free, 16 are needed",
                "c2: zone: it is in zone z2",
            ],
        )
        action = await self.database.read(one_action, BOSS, server_id, ORDER.request_id)
        self.assertEqual(
            [(action.message, event.name, event.result, event.details) for event in action.events],
            [("Error", "conductor_schedule_and_build_instances", "Error", server.fault.details)],
        )
        self.assertEqual(await self.database.read(claimed), {})

    async def test_some_refused(self) -> None:
        """Of several servers as many are placed as there is room for."""

        def prepare(connection: Connection) -> list[str]:
            add_host(connection, "c1")
            return add_servers(connection, add_size(connection, vcpus=3), 4)

        ids = await self.write(prepare)
        placed = await self.placed(ids)
        self.assertEqual((list(placed.hosts), list(placed.refused)), (ids[:2], ids[2:]))
        self.assertEqual(placed.refused[ids[2]].details.splitlines()[0], "of 1 hosts the filters removed: vcpus 1")

    async def test_refused_after_a_failed_start(self) -> None:
        """A host on which it failed to start is not taken again; administrators read why it failed there."""

        def prepare(connection: Connection) -> list[str]:
            add_host(connection, "c1")
            return add_servers(connection, add_size(connection))

        (server_id,) = await self.write(prepare)
        await self.placed([server_id], order=Order("req-1", ("node-c1",), 1, "the disk is full"))
        fault = (await self.server(server_id)).fault
        assert isinstance(fault, Fault)
        words = "No host is left on which the server has not failed to start."
        self.assertEqual(fault.message, f"No valid host was found. {words}")
        self.assertEqual(
            fault.details.splitlines()[-1], "it could not be started on 1 hosts before, at last: the disk is full"
        )

    async def test_refused_with_what_its_tenant_can_do(self) -> None:
        """What a host has told its tenant stands in the fault, too."""

        def prepare(connection: Connection) -> list[str]:
            add_host(connection, "c1")
            return add_servers(connection, add_size(connection))

        (server_id,) = await self.write(prepare)
        await self.placed([server_id], order=Order("req-1", ("node-c1",), 1, "secret", "Give it another address."))
        fault = (await self.server(server_id)).fault
        assert isinstance(fault, Fault)
        self.assertTrue(fault.message.endswith(" It had one that could not run it. Give it another address."), fault)
        self.assertNotIn("secret", fault.message)

    async def test_nobody_yet(self) -> None:
        """Without hosts, and where they are silent, it may be better soon; for how long, the caller decides."""
        ids = await self.write(lambda connection: add_servers(connection, add_size(connection)))
        self.assertEqual(list((await self.placed(ids, patient=True)).waiting), ids)
        await self.write(add_host, "c1")
        await self.write(lambda connection: connection.execute(update(tables.node).values(contact_us=1)))
        self.assertEqual(list((await self.placed(ids, patient=True)).waiting), ids)
        self.assertEqual((await self.server(ids[0])).state, State.BUILDING)
        self.assertEqual(list((await self.placed(ids)).refused), ids)
        self.assertEqual((await self.server(ids[0])).state, State.ERROR)

    async def test_old_picture(self) -> None:
        """A picture that tells of room that is gone, or of a host that is gone, misleads nobody."""

        def prepare(connection: Connection) -> list[str]:
            for name in ("c1", "c2", "c3"):
                add_host(connection, name)
            return add_servers(connection, add_size(connection, vcpus=8), 4)

        def change(connection: Connection, server_id: str) -> None:
            write_claims(connection, [Claim(server_id, "node-c1", Need(vcpus=1, memory_mib=1, disk_gib=1))])
            connection.execute(update(tables.node).where(tables.node.c.name == "c2").values(state="draining"))

        ids = await self.write(prepare)
        old = await self.database.read(read_hosts)
        await self.write(change, ids[3])
        for each in ids[:3]:
            await self.placed([each], old)
        self.assertEqual(await self.database.read(where), {"c3": 1})
        states = [(await self.server(each)).state for each in ids[:3]]
        self.assertEqual(sorted(states), [State.BUILDING, State.ERROR, State.ERROR])

    async def test_picture_without_room(self) -> None:
        """A picture that tells of no room where there is some refuses nobody."""

        def prepare(connection: Connection) -> list[str]:
            add_host(connection, "c1")
            return add_servers(connection, add_size(connection))

        ids = await self.write(prepare)
        self.assertEqual(set((await self.placed(ids, [])).hosts), set(ids))

    async def test_anti_affinity(self) -> None:
        """Servers of a group that are placed by different requests share no host."""

        def prepare(connection: Connection) -> list[str]:
            for name in ("c1", "c2", "c3"):
                add_host(connection, name)
            ids = add_servers(connection, add_size(connection), 4)
            add_group(connection, "anti-affinity", ids)
            return ids

        ids = await self.write(prepare)
        old = await self.database.read(read_hosts)
        for each in ids:
            await self.placed([each], old)
        self.assertEqual(await self.database.read(where), {"c1": 1, "c2": 1, "c3": 1})
        refused = [fault.message for each in ids if (fault := (await self.server(each)).fault)]
        self.assertEqual(refused, ["No valid host was found. No host is free of servers of its group."])

    async def test_affinity(self) -> None:
        """All servers of a group are on one host; in one request, and in the next."""

        def prepare(connection: Connection) -> list[str]:
            for name in ("c1", "c2", "c3"):
                add_host(connection, name)
            ids = add_servers(connection, add_size(connection), 6)
            add_group(connection, "affinity", ids)
            return ids

        ids = await self.write(prepare)
        await self.placed(ids[:4])
        await self.placed(ids[4:])
        self.assertEqual(list((await self.database.read(where)).values()), [6])

    async def test_hints(self) -> None:
        """Near to a server, and apart from it."""

        def prepare(connection: Connection) -> tuple[str, str, str]:
            for name in ("c1", "c2"):
                add_host(connection, name)
            size = add_size(connection)
            (first,) = add_servers(connection, size)
            (near,) = add_servers(connection, size, hints={"same_host": [first]})
            (apart,) = add_servers(connection, size, hints={"different_host": first})
            return first, near, apart

        first, near, apart = await self.write(prepare)
        for each in (first, near, apart):
            await self.placed([each])
        hosts = [(await self.server(each)).host for each in (first, near, apart)]
        self.assertEqual(hosts[0], hosts[1])
        self.assertNotEqual(hosts[0], hosts[2])

    async def test_hints_of_others(self) -> None:
        """A hint tells nothing of servers of other projects: they are nowhere."""

        def prepare(connection: Connection) -> tuple[str, str, str]:
            add_host(connection, "c1")
            size = add_size(connection)
            (foreign,) = add_servers(connection, size, project_id="other")
            (near,) = add_servers(connection, size, hints={"same_host": foreign})
            (apart,) = add_servers(connection, size, hints={"different_host": foreign})
            return foreign, near, apart

        foreign, near, apart = await self.write(prepare)
        for each in (foreign, near, apart):
            await self.placed([each])
        self.assertEqual([(await self.server(each)).host for each in (foreign, near, apart)], ["c1", "", "c1"])

    async def test_image(self) -> None:
        """The image's properties count, and how large it is where the flavor leaves that open; by its id alone."""

        def prepare(connection: Connection) -> list[str]:
            add_host(connection, "arm", architecture="aarch64")
            add_host(connection, "c1")
            for image_id, name, architecture in (
                ("i1", "a", "aarch64"),
                ("i2", "i1", "x86_64"),
                ("i3", "i1", "x86_64"),
            ):
                add_image(connection, image_id, name, architecture, virtual_size=(3 << 30) + 1)
            return add_servers(connection, add_size(connection, disk_gib=0), image_id="i1")

        (server_id,) = await self.write(prepare)
        self.assertEqual((await self.placed([server_id])).hosts, {server_id: "arm"})
        (claim,) = await self.database.read(claims_of, [server_id])
        self.assertEqual(claim.need.disk_gib, 4)

    async def test_never_too_many(self) -> None:
        """However many requests come at once, each with an old picture, no host promises more than it may."""

        def prepare(connection: Connection) -> list[str]:
            for number in range(10):
                add_host(connection, f"c{number}", vcpus=8, vcpu_ratio=2.0, memory_mib=1 << 20, disk_gib=1 << 20)
            return add_servers(connection, add_size(connection), 1000)

        ids = await self.write(prepare)
        old = await self.database.read(read_hosts)
        rules: Rules = RULES
        await gatherResults([self.database.write(place, [each], old, rules, ORDER) for each in ids])
        found = await self.database.read(where)
        self.assertEqual(set(found.values()), {16})
        self.assertEqual(sum(found.values()), 160)
        held = await self.database.read(claimed)
        self.assertEqual({need.vcpus for need in held.values()}, {16})
        await self.write(release_claims, (await self.database.read(_placed_ids))[0])
        self.assertEqual(sum(need.vcpus for need in (await self.database.read(claimed)).values()), 159)


def _placed_ids(connection: Connection) -> list[str]:
    return list(connection.execute(select(tables.server_claim.c.server_id)).scalars())


def _tasks(connection: Connection) -> int:
    return len(connection.execute(select(tables.task)).all())
