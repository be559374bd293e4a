"""The flavors of a new cloud."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from cloudd.compute import FIRST_FLAVORS, first_flavors
from cloudd.database import open_control_database
from cloudd.database.tables import flavor as flavor_table
from tests.database.choice import new_database


class FirstFlavorTests(TestCase):
    async def test_once(self) -> None:
        """Made when there has never been one, by the first of several starts."""
        database = open_control_database(new_database(self), reactor=reactor)
        self.addCleanup(database.close)
        self.assertEqual([await database.write(first_flavors) for _ in range(3)], [True, False, False])
        rows = await database.read(lambda connection: connection.execute(flavor_table.select()).all())
        self.assertEqual({row.name for row in rows}, {flavor.name for flavor in FIRST_FLAVORS})

    def test_small(self) -> None:
        """One processor, and at least what a guest needs to boot."""
        for flavor in FIRST_FLAVORS:
            self.assertEqual(flavor.vcpus, 1)
            self.assertGreaterEqual(flavor.ram_mib, 128)
