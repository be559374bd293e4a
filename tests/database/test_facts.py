"""What an operator is told of the control database, on either."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from cloudd.database import HEAD, database_facts, open_control_database
from cloudd.database._facts import standbys_of
from tests.database.choice import KINDS, new_database
from tests.database.postgres import Postgres
from tests.database.test_move import note


class FactsTests(TestCase):
    async def test_of_either(self) -> None:
        """Kind, version, size, revision, and the rows of every table."""
        for kind in KINDS:
            database = open_control_database(new_database(self, kind), reactor=reactor)
            self.addCleanup(database.close)
            await database.write(note, "one")
            facts = await database.read(database_facts)
            self.assertEqual((facts["kind"], facts["revision"]), (kind, HEAD))
            self.assertEqual((facts["rows"]["events"], facts["rows"]["tasks"]), (1, 0))
            self.assertGreater(facts["size_bytes"], 10_000)
            self.assertRegex(facts["version"], r"^\d+\.\d+")
            self.assertEqual(facts["standbys"], {})

    async def test_standbys(self) -> None:
        """A standby is named; a role that may not see how far it is gets no number, one that may does."""
        server = Postgres(settings="wal_level = replica\nmax_wal_senders = 4")
        self.addCleanup(server.remove)
        server.make()
        name = server.create()
        standby = Postgres(settings="wal_level = replica\nmax_wal_senders = 4")
        self.addCleanup(standby.remove)
        standby.copy(server)
        standby.await_copy(server)
        database = open_control_database(server.url(name), reactor=reactor)
        self.addCleanup(database.close)
        self.assertEqual(list((await database.read(standbys_of)).values()), [None])
        with server.connect() as connection:
            connection.execute("GRANT pg_read_all_stats TO cloudd")
        for _ in range(1_000):  # until it has told the server how far it is
            ((name, lag),) = (await database.read(standbys_of)).items()
            if lag is not None:
                break
            await deferLater(reactor, 0.02)
        assert lag is not None
        self.assertGreaterEqual(lag, 0)
        self.assertTrue(name)
