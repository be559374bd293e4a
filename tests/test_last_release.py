"""
What the last release wrote is read by this one: its database, its tasks' rows, its messages.

The samples are in ``tests/snapshots/release-NUMBER`` and never changed; ``tests.snapshots.record_database`` and
``tests.snapshots.record_messages`` made them with the code of then.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, select
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import TestCase

from cloudd.database import HEAD, migrate, open_control_database, standing, tables
from cloudd.messaging._inprocess import InProcess
from cloudd.messaging._transport import Parcel, Way
from cloudd.messaging._words import Failed, read_answer, read_question
from cloudd.nodes import node_rows
from cloudd.nodes._forms import TOPIC
from cloudd.objects._purge import purge_kinds
from cloudd.rolling._kinds import rolling_kinds
from cloudd.tasks import Kind, _rows, by_name
from cloudd.tasks._told import KEY, Told
from tests.nodes.test_topic import TopicCase

SNAPSHOTS = Path(__file__).parent / "snapshots"
DATABASES = sorted(SNAPSHOTS.glob("release-*/database.sql"))
MESSAGES = sorted(SNAPSHOTS.glob("release-*/messages.json"))


def kinds() -> dict[str, Kind]:
    """Of this release; their forms alone are looked at."""
    nothing = cast(Any, None)
    return by_name([*purge_kinds(nothing), *rolling_kinds(nothing, nothing, nothing)])


class ReleaseTests(TestCase):
    def opened(self, sample: Path) -> Any:
        """The database of that release, which this one has started on."""
        file = Path(self.mktemp()).absolute()
        connection = sqlite3.connect(file)
        connection.executescript(sample.read_text())
        self.before = rows_of(connection)
        connection.close()
        migrate(file)
        connection = sqlite3.connect(file)
        self.after = rows_of(connection)
        connection.close()
        database = open_control_database(file, reactor=reactor, threads=1)
        self.addCleanup(database.close)
        return database

    async def test_database(self) -> None:
        """Nothing is lost by the start, the earlier release can still start on it, and nodes are read."""
        self.assertTrue(DATABASES)
        for sample in DATABASES:
            database = self.opened(sample)
            for table, rows in self.before.items():
                if table != "alembic_version":
                    self.assertEqual([{name: row[name] for name in rows[0]} for row in self.after[table]], rows, table)
            found = await database.read(standing)
            self.assertEqual(found.revision, HEAD)
            self.assertLessEqual(found.oldest, self.before["alembic_version"][0]["version_num"])
            nodes = await database.read(node_rows)
            self.assertEqual([(node.name, node.state) for node in nodes], [("node-1", "ready"), ("node-2", "ready")])

    async def test_tasks(self) -> None:
        """Each row can be claimed by this code, and its payload and state are read."""
        for sample in DATABASES:
            database, known = self.opened(sample), kinds()
            rows = await database.read(all_tasks)
            self.assertGreaterEqual({row.state for row in rows}, {"queued", "running", "done"})
            for row in rows:
                form = known[row.kind].form
                self.assertIsNotNone(known[row.kind].function(row.step))
                self.assertIn("account", form.read(row.version, row.payload))
                if row.step_state is not None:
                    self.assertIn("deleted", form.read(row.step_version, row.step_state))
            await database.write(make_due)
            readable = {name: kind.form.readable for name, kind in known.items()}
            claimed = await database.write(_rows.claim, readable, "us", 1_000_000, 10)
            self.assertEqual(len(claimed), sum(row.state in _rows.OPEN for row in rows))


class MessageTests(TopicCase):
    async def test_questions(self) -> None:
        """Whatever a node of then asks is answered by one of now, and orders reach its anchor whole."""
        answers: list[Any] = []

        def take(_process: InProcess, _to: str, _message_id: str, body: bytes, _left_s: float) -> Deferred[None]:
            answers.append(read_answer(body))
            return succeed(None)

        self.patch(InProcess, "answer", take)
        self.assertTrue(MESSAGES)
        for file in MESSAGES:
            bodies = said(file, "question")
            asked = {question.id: question for question in map(read_question, bodies)}
            answers.clear()
            self.two.taker.asked.clear()
            for name, body in zip(asked, bodies, strict=True):
                self.hub.put(Parcel(Way.NODE, TOPIC, name, body, self.two.id))
            await self.house.until(lambda: len(answers) >= len(bodies))  # noqa: B023 - of this turn
            self.assertEqual([answer for answer in answers if isinstance(answer, Failed)], [])
            self.assertEqual({answer.id for answer in answers}, set(asked))
            orders = {question.fields["order"]["id"] for question in asked.values() if "order" in question.fields}
            taken = {each[1]["id"] for each in self.two.taker.asked if each[0] in ("upgrade", "rollback")}
            self.assertTrue(orders)
            self.assertEqual(taken, orders)

    async def test_events(self) -> None:
        """Agents of now begin at once what was submitted on a node of then."""
        poked: list[str] = []
        told = Told(reactor, self.two.bus, lambda: poked.append("two"))
        told.start()
        events = [body for file in MESSAGES for body in said(file, "event")]
        self.assertTrue(events)
        for body in events:
            self.hub.publish(KEY, body)
        await self.house.until(lambda: len(poked) >= len(events))
        await told.stop()


def said(file: Path, kind: str) -> list[bytes]:
    """Bodies of one kind, in the order of their sending."""
    return [bytes.fromhex(each["body"]) for each in json.loads(file.read_text()) if each["kind"] == kind]


def rows_of(connection: sqlite3.Connection) -> dict[str, list[dict[str, Any]]]:
    """Table -> rows, in the order of their making; without SQLite's own, and empty ones."""
    connection.row_factory = sqlite3.Row
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {
        name: [dict(row) for row in connection.execute(f"SELECT * FROM {name} ORDER BY rowid")]
        for name in names
        if not name.startswith("sqlite_")
    }
    return {name: rows for name, rows in found.items() if rows}


def all_tasks(connection: Connection) -> list[Any]:
    return list(connection.execute(select(tables.task)))


def make_due(connection: Connection) -> None:
    """As when time has passed."""
    open_ones = tables.task.c.state.in_(_rows.OPEN)
    connection.execute(tables.task.update().where(open_ones).values(due_us=0))
