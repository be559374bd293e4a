"""The registry: who is there, in which state, and who may change it to what; on both databases."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, select
from twisted.trial.unittest import TestCase

from cloudd.database import now_us, tables
from cloudd.nodes import NoSuchNode, WrongNodeState, _leases, _rows
from cloudd.nodes._rows import Beat, Node

from .house import FakeWork, House

BEAT = Beat(
    version="1.2", code_hash="c" * 64, generation=4, payloads={"a.b": [1, 2]}, load={"load1": 0.5}, beat_s=5, address=""
)


class RowRules:
    kind: str

    def setUp(self: Any) -> None:
        self.house = House.built(self, self.kind)
        self.read, self.write = self.house.database.read, self.house.database.write

    async def enter(self: Any, name: str = "one", state: str = "ready") -> str:
        node_id = name.encode().hex().ljust(32, "0")
        await self.write(_rows.enter, node_id, name, ("tasks", "api"), state, "somebody")
        return node_id

    async def find(self: Any, named: str) -> Node:
        found: Node = await self.read(_rows.find, named)
        return found

    async def test_beat(self: Any) -> None:
        """What a node says is there, with its age by the database's clock; one that was joining is ready."""
        node_id = await self.enter(state="joining")
        node = await self.find("one")
        self.assertEqual((node.state, node.age_s, node.roles), ("joining", None, ("api", "tasks")))
        self.assertEqual(await self.write(_rows.beat, node_id, BEAT), "ready")
        node = await self.find(node_id)
        self.assertEqual((node.state, node.version, node.generation), ("ready", "1.2", 4))
        self.assertEqual((node.payloads, node.load, node.beat_s), ({"a.b": [1, 2]}, {"load1": 0.5}, 5))
        self.assertTrue(node.age_s is not None and 0 <= node.age_s < 10)
        self.assertIsNone(await self.write(_rows.beat, "f" * 32, BEAT))

    async def test_silent_and_lost(self: Any) -> None:
        """After four beats a node is silent, after ``lost_s`` lost, whatever its state; removed ones are just that."""
        node_id = await self.enter()
        await self.write(_rows.beat, node_id, BEAT)
        for age_s, silent, shown in ((19, False, "ready"), (22, True, "ready"), (61, True, "lost")):
            await self.house.set(tables.node, contact_us=now_us() - age_s * 1_000_000)
            node = await self.find("one")
            self.assertEqual((node.is_silent, node.shown_state(60)), (silent, shown))
        await self.house.set(tables.node, beat_us=60_000_000)
        self.assertEqual((await self.find("one")).shown_state(60), "ready")
        await self.house.set(tables.node, beat_us=5_000_000, state="removed")
        self.assertEqual((await self.find("one")).shown_state(60), "removed")

    async def test_drain_and_return(self: Any) -> None:
        """Both can be said twice; a node that beats meanwhile keeps the state that an operator has written."""
        node_id = await self.enter()
        await self.write(_rows.beat, node_id, BEAT)
        for _ in range(2):
            self.assertEqual((await self.write(_rows.drain, "one", "me")).state, "draining")
        self.assertEqual(await self.write(_rows.beat, node_id, BEAT), "draining")
        self.assertTrue(await self.write(_rows.move, node_id, ("draining",), "drained", "one"))
        self.assertFalse(await self.write(_rows.move, node_id, ("draining",), "drained", "one"))
        self.assertEqual((await self.write(_rows.drain, "one", "me")).state, "drained")
        for _ in range(2):
            node = await self.write(_rows.give_back, "one", "you")
            self.assertEqual((node.state, node.state_by), ("ready", "you"))
        await self.house.set(tables.node, state="joining")
        for function in (_rows.drain, _rows.give_back):
            await self.assertFailure(self.write(function, "one", "me"), WrongNodeState)
        await self.assertFailure(self.write(_rows.drain, "two", "me"), NoSuchNode)

    async def test_remove(self: Any) -> None:
        """One that is drained or lost goes, one at work by force alone; its duties are free and its name, too."""
        node_id = await self.enter()
        gone: list[tuple[str, ...]] = []

        def removed(_connection: Connection, *node: str) -> None:
            gone.append(node)

        await self.write(_rows.beat, node_id, BEAT)
        await self.write(_leases.take, "sweep", "one", node_id, 30_000_000)
        failed = await self.assertFailure(
            self.write(_rows.remove, "one", "me", 60, removed, force=False), WrongNodeState
        )
        self.assertIn("drain one", failed.cause)
        self.assertEqual((await self.write(_rows.remove, "one", "me", 60, removed, force=True)).state, "removed")
        self.assertEqual(await self.read(_leases.ends_in_s, "sweep"), 0)
        self.assertEqual(gone, [(node_id, "one")])
        failed = await self.assertFailure(
            self.write(_rows.remove, "one", "me", 60, removed, force=True), WrongNodeState
        )
        self.assertIn("removed already", failed.cause)
        self.assertEqual(await self.write(_rows.beat, node_id, BEAT), "removed")
        await self.write(_rows.enter, "e" * 32, "one", (), "ready", "me")
        self.assertEqual((await self.find("one")).id, "e" * 32)
        self.assertEqual((await self.find(node_id)).state, "removed")
        self.assertEqual(len(await self.read(_rows.nodes)), 2)
        self.assertEqual(len(await self.read(_rows.nodes, removed=False)), 1)
        await self.house.set(tables.node, contact_us=now_us() - 61_000_000)
        await self.write(_rows.remove, "e" * 32, "me", 60, removed, force=False)

    async def test_names(self: Any) -> None:
        """Two nodes have two names; a refused one leaves nothing."""
        await self.enter()
        entering = self.write(_rows.enter, "e" * 32, "one", (), "ready", "me")
        self.assertIn("one already", (await self.assertFailure(entering, WrongNodeState)).cause)
        self.assertEqual(len(await self.read(_rows.nodes)), 1)

    async def test_told(self: Any) -> None:
        """Each change is among the events, with who wanted it, in the transaction of the change."""
        node_id = await self.enter()
        await self.write(_rows.drain, "one", "me (process 8)")
        await self.write(_rows.remove, "one", "you", 60, FakeWork().node_removed, force=True)
        c = tables.outbox.c
        rows = await self.read(lambda connection: connection.execute(select(c.type, c.data).order_by(c.id)).all())
        self.assertEqual([row.type for row in rows], ["node.joined", "node.draining", "node.removed"])
        self.assertEqual(json.loads(rows[1].data), {"node_id": node_id, "name": "one", "by": "me (process 8)"})


class SqliteRowTests(RowRules, TestCase):
    kind = "sqlite"


class PostgresRowTests(RowRules, TestCase):
    kind = "postgresql"
