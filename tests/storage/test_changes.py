"""The log of changes in an index: of an older version, and when transactions are undone."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.database import open_object_index
from storage import ChangeKind
from storage._changes import read_changes
from storage._container_index import create_container
from storage._object_index import NewVersion, put_object
from storage._schema import STEPS, migrate


def named(connection: sqlite3.Connection, name: str) -> None:
    version = NewVersion(etag="e", content_type="", metadata={}, extents=(), now_us=5)
    put_object(connection, "AUTH_a", "box", name, version, None)


class MigrationTests(SynchronousTestCase):
    def test_from_the_first_version(self) -> None:
        """What was there before the log began is not in it; what comes is."""
        connection = sqlite3.connect(self.mktemp())
        self.addCleanup(connection.close)
        for statement in STEPS[0]:
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 1")
        create_container(connection, "AUTH_a", "box", {}, False, 1)
        named(connection, "old")
        migrate(connection)
        named(connection, "new")
        named(connection, "old")
        _span, changes = read_changes(connection, 0, 10, None, None)
        created = ChangeKind.OBJECT_CREATED
        self.assertEqual(
            [(each.id, each.kind, each.name) for each in changes], [(1, created, "new"), (2, created, "old")]
        )


class IdTests(TestCase):
    async def test_no_holes(self) -> None:
        """A write that fails in a shared transaction gives its id back."""
        folder = Path(self.mktemp())
        folder.mkdir()
        index = open_object_index(folder / "index.sqlite", reactor=reactor)
        self.addCleanup(index.close)
        await index.write(migrate)
        await index.write(create_container, "AUTH_a", "box", {}, False, 1)

        def put(connection: sqlite3.Connection, number: int) -> None:
            named(connection, str(number))
            if number % 3 == 0:
                raise ValueError(number)

        for number, done in enumerate([index.write(put, number) for number in range(30)]):
            if number % 3 == 0:
                await self.assertFailure(done, ValueError)
            else:
                await done
        span, changes = await index.read(read_changes, 0, 100, None, None)
        self.assertEqual([each.id for each in changes], list(range(1, 22)))
        self.assertEqual((span.oldest, span.newest), (1, 21))
