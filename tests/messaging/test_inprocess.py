"""Messaging inside one process keeps to the contract, and patterns of events fit as AMQP's."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.messaging import Hub, ITransport, Limits, matches
from tests.contracts.messaging import MessagingContract


class InProcessTests(MessagingContract, TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.hub = Hub(reactor)
        self.build()

    def make_transport(self, node: str, limits: Limits) -> ITransport:
        return self.hub.transport(node)


class PatternTests(SynchronousTestCase):
    def test_patterns(self) -> None:
        """``*`` is one word, ``#`` any number of them."""
        for pattern, key, fits in (
            ("a.b", "a.b", True),
            ("a.b", "a.c", False),
            ("a.*", "a.b", True),
            ("a.*", "a", False),
            ("a.*", "a.b.c", False),
            ("a.#", "a", True),
            ("a.#", "a.b.c", True),
            ("#.c", "a.b.c", True),
            ("#.c", "c", True),
            ("#.c", "a.b", False),
            ("#", "a", True),
            ("*.#.c", "a.c", True),
            ("*.#.c", "c", False),
        ):
            self.assertEqual(matches(pattern.split("."), key.split(".")), fits, (pattern, key))
