"""Quotas on a real database, with many who ask at once."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import DeferredList
from twisted.trial.unittest import TestCase

from cloudd.database import open_control_database
from cloudd.network import Network, NetworkConflict, create_network, quota_details, set_quota
from tests.database.choice import new_database
from tests.protocols.swift.face import an_access

ALICE, ADMIN = an_access("alice", "p1", "member"), an_access("root", "p0", "admin")


def a_network(name: str) -> Network:
    return Network(id="", project_id="p1", name=name)


class ParallelTests(TestCase):
    async def test_never_past_the_limit(self) -> None:
        """Of 200 at once as many are made as there is room for, and all others are told why not."""
        database: Any = open_control_database(new_database(self), reactor=reactor, threads=4)
        self.addCleanup(database.close)
        await database.write(set_quota, ADMIN, "p1", {"network": 30})
        made = [database.write(create_network, ALICE, a_network(f"n{number}")) for number in range(200)]
        outcomes = await DeferredList(made, consumeErrors=True)
        refused = [found for good, found in outcomes if not good]
        self.assertEqual({(type(each.value), each.value.type) for each in refused}, {(NetworkConflict, "OverQuota")})
        self.assertEqual(len(refused), 170)
        details = await database.read(quota_details, ALICE, "p1")
        self.assertEqual(details["network"], (30, 30))
