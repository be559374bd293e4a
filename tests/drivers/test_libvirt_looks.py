"""What is told of guests, and in which order."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cloudd.drivers._libvirt_looks import Looks
from cloudd.interfaces.servers import Power, Seen


def seen(power: Power) -> Seen:
    return Seen(id="a", name="cloudd-a", power=power)


class LooksTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[Power] = []
        self.ones: list[Deferred[Seen | None]] = []
        self.alls: list[Deferred[list[Seen]]] = []
        self.looks = Looks(self.clock, self.one, self.every)
        self.looks.observe = lambda each: self.told.append(each.power)

    async def one(self, uuid: str) -> Seen | None:
        self.ones.append(Deferred())
        return await self.ones[-1]

    async def every(self) -> list[Seen]:
        self.alls.append(Deferred())
        return await self.alls[-1]

    def test_an_older_answer_is_not_told_last(self) -> None:
        """A list that was read before a call, and comes after it, tells nothing by itself."""
        self.looks.look_at_all()
        looked = self.looks.look_at("a")
        self.ones[0].callback(seen(Power.RUNNING))
        self.successResultOf(looked)
        self.alls[0].callback([seen(Power.OFF)])
        self.ones[1].callback(seen(Power.RUNNING))
        self.assertEqual(self.told, [Power.RUNNING])

    def test_gone_meanwhile(self) -> None:
        """One that is in no list any more is looked at too: who waits for its end hears of it."""
        self.looks.look_at("a")
        self.ones[0].callback(seen(Power.RUNNING))
        rest = self.looks.at_rest("a", 60)
        self.looks.look_at_all()
        self.alls[0].callback([])
        self.ones[1].callback(None)
        self.assertTrue(self.successResultOf(rest))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_look_is_younger_than_its_wish(self) -> None:
        """One that is under way does not do; after it there is one for all who came meanwhile."""
        self.looks.look_at("a")
        late = [self.looks.look_at("a") for _ in range(3)]
        self.ones[0].callback(seen(Power.RUNNING))
        self.assertNoResult(late[0])
        self.ones[1].callback(seen(Power.OFF))
        for each in late:
            self.successResultOf(each)
        self.assertEqual((self.told, len(self.ones)), ([Power.RUNNING, Power.OFF], 2))

    def test_patience(self) -> None:
        """It ends, and so it does when nobody waits any more."""
        rest, other = self.looks.at_rest("a", 60), self.looks.at_rest("a", 60)
        other.cancel()
        self.assertFalse(self.successResultOf(other))
        self.clock.advance(60)
        self.assertFalse(self.successResultOf(rest))
        self.assertEqual(self.clock.getDelayedCalls(), [])
