"""Claims and leases in the database: who gets what, and what a stale lease may write: nothing."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.nodes._rows import enter
from cloudd.tasks import Form, LeaseLost, _rows
from cloudd.tasks._rows import Claimed, Lease
from reload import Converters

from .house import FORM, House

READABLE = {FORM.name: (1,)}
LASTS_US = 30_000_000


class RowsCase(TestCase):
    def setUp(self) -> None:
        self.house = House.built(self)
        self.database = self.house.database

    async def claim(self, limit: int = 10, readable: Any = READABLE) -> list[tuple[Lease, Claimed]]:
        found: list[tuple[Lease, Claimed]] = await self.database.write(_rows.claim, readable, "me", LASTS_US, limit)
        return found

    async def claim_one(self) -> tuple[str, Lease]:
        task_id = await self.house.submit()
        [(lease, _)] = await self.claim()
        return task_id, lease


class ClaimTests(RowsCase):
    async def test_facts(self) -> None:
        """What was submitted is what is claimed, and the row says until when and by whom."""
        facts: dict[str, Any] = {"project_id": "p", "resource": "r", "request_id": "req-1"}
        task_id = await self.house.submit(payload={"a": [1, "ü"]}, **facts)
        before = time.time() * 1e6
        [(lease, claimed)] = await self.claim()
        self.assertEqual((lease.task_id, claimed.id, claimed.attempts), (task_id, task_id, 1))
        self.assertEqual({name: getattr(claimed, name) for name in facts}, facts)
        self.assertEqual(FORM.read(claimed.version, claimed.payload), {"a": [1, "ü"]})
        row = self.house.row(task_id)
        self.assertEqual((row["state"], row["lease_owner"]), ("running", "me"))
        self.assertLess(abs(row["due_us"] - before - LASTS_US), 5_000_000)

    async def test_nobody_gets_the_same(self) -> None:
        """Claims that overlap share the tasks out; the longest waiting are the first."""
        ids = [await self.house.submit() for _ in range(10)]
        first = await self.claim(3)
        self.assertEqual([claimed.id for _, claimed in first], ids[:3])
        others = await gatherResults([self.database.write(_rows.claim, READABLE, "me", LASTS_US, 2) for _ in range(5)])
        claimed = [facts.id for found in [first, *others] for _, facts in found]
        self.assertEqual(sorted(claimed), sorted(ids))
        self.assertEqual(await self.claim(), [])

    async def test_what_is_not_due(self) -> None:
        """Neither what shall begin later nor what others run is claimed; the next time is told."""
        self.assertIsNone(await self.database.read(_rows.next_due_us, READABLE))
        await self.house.submit(delay_s=100)
        self.assertEqual(await self.claim(), [])
        waits_us = await self.database.read(_rows.next_due_us, READABLE)
        self.assertTrue(90e6 < (waits_us or 0) <= 100e6, waits_us)
        await self.house.submit()
        waits_us = await self.database.read(_rows.next_due_us, READABLE)
        self.assertLessEqual(-1 if waits_us is None else waits_us, 0)

    async def test_of_one_node(self) -> None:
        """What one node alone can do is neither seen nor claimed elsewhere; a node may be for such alone."""
        own = await self.house.submit(node_id="n")
        for here in (_rows.ANYWHERE, _rows.Here("m"), _rows.Here("", shared=False)):
            self.assertIsNone(await self.database.read(_rows.next_due_us, READABLE, here))
            self.assertEqual(await self.database.write(_rows.claim, READABLE, "me", LASTS_US, 9, here), [])
        shared = await self.house.submit()
        here = _rows.Here("n", shared=False)
        found = await self.database.write(_rows.claim, READABLE, "me", LASTS_US, 9, here)
        self.assertEqual([claimed.id for _, claimed in found], [own])
        found = await self.database.write(_rows.claim, READABLE, "me", LASTS_US, 9, _rows.Here("n"))
        self.assertEqual([claimed.id for _, claimed in found], [shared])

    async def test_on_each_node(self) -> None:
        """One for each that was not removed, once; without nodes one that is done wherever that may be."""
        [alone] = await self.on_each_node()
        self.assertEqual((self.house.row(alone)["node_id"], await self.on_each_node()), (None, [alone]))
        for name, state in (("a", "ready"), ("b", "draining"), ("c", "removed")):
            await self.database.write(enter, name * 32, name, (), state, "me")
        ids = await self.on_each_node()
        self.assertEqual([self.house.row(task_id)["node_id"] for task_id in ids], ["a" * 32, "b" * 32])
        self.assertEqual(await self.on_each_node(), ids)

    async def on_each_node(self) -> list[str]:
        def submit(connection: Connection) -> list[str]:
            return _rows.submit_on_each_node(connection, FORM, {}, resource="r", once=True)

        return await self.database.write(submit)

    async def test_what_cannot_be_read(self) -> None:
        """Rows of unknown kinds, and of versions of payload or state that this code lacks, are left alone."""
        converters = Converters()
        converters.add(FORM.name, 1, up=dict, down=dict)
        newer = Form(name=FORM.name, version=2, converters=converters)
        task_id = await self.house.submit(form=newer)
        await self.house.submit(form=Form(name="test.other"))
        self.assertEqual(await self.claim(), [])
        self.assertIsNone(await self.database.read(_rows.next_due_us, READABLE))
        self.assertIsNone(await self.database.read(_rows.next_due_us, {}))
        self.assertEqual(await self.claim(readable={}), [])
        self.house.set(task_id, "version = 1, step_version = 2")
        self.assertEqual(await self.claim(), [])
        self.assertEqual(len(await self.claim(readable={FORM.name: newer.readable})), 1)

    async def test_lost_lease_is_taken_over(self) -> None:
        """When a lease has ended another claim gets the task, and only then; attempts are counted."""
        task_id, _lease = await self.claim_one()
        self.assertEqual(await self.claim(), [])
        self.house.set(task_id, "due_us = 1")
        [(_, claimed)] = await self.claim()
        self.assertEqual((claimed.id, claimed.attempts), (task_id, 2))

    async def test_submit_once(self) -> None:
        """An open task of the same kind for the same resource is given instead."""
        first = await self.house.submit(resource="r", once=True)
        self.assertEqual(await self.house.submit(resource="r", once=True), first)
        self.assertNotEqual(await self.house.submit(resource="r"), first)
        self.assertNotEqual(await self.house.submit(resource="s", once=True), first)
        self.house.set(first, "state = 'done'")
        self.assertNotEqual(await self.house.submit(resource="r", once=True), first)

    async def test_submit_with_its_change(self) -> None:
        """A transaction that is undone leaves no task."""

        def change(connection: Connection) -> None:
            _rows.submit(connection, FORM, {})
            raise ValueError("no")

        await self.assertFailure(self.database.write(change), ValueError)
        self.assertEqual(await self.claim(), [])
        await self.assertFailure(self.database.write(_rows.submit, FORM, {}, resource="x" * 513), ValueError)


class DialectTests(SynchronousTestCase):
    def test_claim_on_postgresql(self) -> None:
        """Rows that another claim has locked are passed over, and chosen before the update, once."""
        statement = _rows._claiming(_rows.ANYWHERE.condition, "me", "token", 5, 3)
        text = " ".join(str(statement.compile(dialect=postgresql.dialect())).split())
        self.assertRegex(
            text, r"^WITH due AS \(SELECT .* FOR UPDATE SKIP LOCKED\) UPDATE tasks SET .*IN \(SELECT due.id"
        )


class LeaseTests(RowsCase):
    async def test_stale_lease_writes_nothing(self) -> None:
        """Once somebody else has the task, no write of the earlier holder does anything."""
        task_id, stale = await self.claim_one()
        self.house.set(task_id, "due_us = 1")
        [(fresh, _)] = await self.claim()
        before = self.house.row(task_id)

        def effect(connection: Connection) -> None:
            connection.exec_driver_sql("INSERT INTO test_effects VALUES ('x', 'y')")
            _rows.check(connection, stale)

        writes: tuple[Deferred[Any], ...] = (
            self.database.write(effect),
            self.database.write(_rows.save, stale, FORM, {"a": 1}),
            self.database.write(_rows.enter, stale, "two"),
            self.database.write(_rows.finish, stale, None),
            self.database.write(_rows.fail, stale, "no"),
            self.database.write(_rows.put_back, stale, 1.0, "no"),
            self.database.write(_rows.release, stale),
        )
        for write in writes:
            await self.assertFailure(write, LeaseLost)
        self.assertEqual(self.house.row(task_id), before)
        self.assertEqual(await self.database.write(_rows.renew, [stale], LASTS_US), {})
        self.assertEqual(self.house.row(task_id)["lease_token"], fresh.token)
        self.assertEqual(await self.database.read(lambda c: c.exec_driver_sql("SELECT * FROM test_effects").all()), [])

    async def test_ended_task_takes_no_more(self) -> None:
        """Not even the token of who ended it."""
        task_id, lease = await self.claim_one()
        await self.database.write(_rows.finish, lease, {"a": 1})
        writes: tuple[Deferred[Any], ...] = (
            self.database.write(_rows.finish, lease, None),
            self.database.write(_rows.fail, lease, "no"),
            self.database.write(_rows.release, lease),
        )
        for write in writes:
            await self.assertFailure(write, LeaseLost)
        row = self.house.row(task_id)
        self.assertEqual((row["state"], row["result"], row["due_us"], row["lease_token"]),
                         ("done", '{"a": 1}', None, None))  # fmt: skip

    async def test_renewed(self) -> None:
        """It lasts from now on, and tells whether the task shall end."""
        task_id, lease = await self.claim_one()
        self.house.set(task_id, "due_us = 5, deadline_us = 1")
        held = await self.database.write(_rows.renew, [lease, Lease("x", "y", 1)], LASTS_US)
        self.assertEqual(list(held), [lease])
        self.assertEqual(held[lease].end, "it was not done in its time")
        self.assertGreater(self.house.row(task_id)["due_us"], 5)
        self.house.set(task_id, "cancel_cause = 'why'")
        self.assertEqual((await self.database.write(_rows.check, lease)).end, "why")

    async def test_attempts(self) -> None:
        """What was saved has attempts counted anew; what is released was no attempt."""
        task_id, lease = await self.claim_one()
        await self.database.write(_rows.release, lease)
        row = self.house.row(task_id)
        self.assertEqual((row["state"], row["attempts"], row["lease_token"]), ("queued", 0, None))
        [(lease, _)] = await self.claim()
        await self.database.write(_rows.put_back, lease, 0.0, "because")
        self.assertEqual((self.house.row(task_id)["attempts"], self.house.row(task_id)["cause"]), (1, "because"))
        [(lease, _)] = await self.claim()
        await self.database.write(_rows.save, lease, FORM, {"a": 1}, 3, 4)
        row = self.house.row(task_id)
        self.assertEqual((row["attempts"], row["step_state"], row["progress"], row["total"]), (0, '{"a":1}', 3, 4))
