"""Lots are spread evenly, also where they are few, and are of chance."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.http._lots import STRATA, Lots

from .conversation import Conversation, get


class LotsTests(SynchronousTestCase):
    def test_one_in_each_twentieth(self) -> None:
        """Of 20 one after the other exactly one is below 5 %, wherever one begins to count in twenties."""
        lots = Lots(Random(1))
        for _ in range(50):
            block = [lots.draw() for _ in range(STRATA)]
            self.assertEqual(sorted(int(lot * STRATA) for lot in block), list(range(STRATA)))

    def test_chance(self) -> None:
        """Which one it is differs, and within a twentieth they are spread too."""
        lots = Lots(Random(2))
        blocks = [[lots.draw() for _ in range(STRATA)] for _ in range(400)]
        places = {min(range(STRATA), key=block.__getitem__) for block in blocks}
        self.assertEqual(places, set(range(STRATA)))
        below = sum(lot < 0.01 for block in blocks for lot in block)
        self.assertTrue(50 < below < 110, below)  # 80 of 8,000, 3.8 standard deviations on both sides


class ConnectionTests(SynchronousTestCase):
    def lots(self, conversation: Conversation) -> list[float]:
        """Those of its next three requests."""
        for _ in range(3):
            conversation.say(get(b"/hello"))
        return [request.lot for request in conversation.site.handled[-3:]]

    def test_for_life(self) -> None:
        """All requests of a connection have its lot, which is drawn when somebody asks; others have others."""
        conversation = Conversation()
        conversation.say(get(b"/hello"))
        self.assertLess(conversation.connection.lot, 0)
        lots = self.lots(conversation) + self.lots(conversation)
        self.assertEqual(len(set(lots)), 1)
        self.assertTrue(0 <= lots[0] < 1)
        self.assertNotEqual(self.lots(Conversation())[0], lots[0])
