"""Descriptors that grow with the new code's requests are its leak; others are not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._descriptors import LOOK_S, RECENT_S, Descriptors, DescriptorWatch, Fit, Sample, open_descriptors


def sample(
    descriptors: int, new: int = 0, old: int = 0, other: tuple[int, int] = (0, 0), limit: int = 20_000
) -> Sample:
    """A worker with requests on one route, and on another one."""
    return Sample(descriptors, limit, {"api GET things": (new, old), "api GET others": other})


def fitted(rows: Iterable[tuple[int, int, int]]) -> tuple[float, float, float] | None:
    """What comes of these looks."""
    fit = Fit()
    for row in rows:
        fit.add(*row)
    return fit.solve()


class LeakTests(SynchronousTestCase):
    def play(
        self,
        leak: Callable[[Random, int, int], int],
        seed: int,
        looks: int = 40,
        new_rate: float = 0.05,
        late: float = 0.0,
    ) -> str:
        """Two workers with about 50 requests a look; ``leak`` gives the growth by requests of the new and old code."""
        chance = Random(seed)
        descriptors = Descriptors()
        pending = {"front-1": 0, "front-2": 0}  # counted a look later
        counts = {"front-1": [40, 0, 0], "front-2": [40, 0, 0]}
        for _ in range(looks):
            for name, count in counts.items():
                requests = chance.randrange(30, 70)
                new = sum(chance.random() < new_rate for _ in range(requests))
                leaked = leak(chance, new, requests - new)
                later = sum(chance.random() < late for _ in range(leaked))
                count[0] += leaked - later + pending[name]
                pending[name] = later
                count[1] += new
                count[2] += requests - new
                noise = chance.randrange(4)  # files that are open at the moment
                other = (count[1] * 7 % 5, count[2] * 3)
                descriptors.add(name, sample(count[0] + noise, count[1], count[2], other))
        return descriptors.finding()

    def test_of_the_new_code(self) -> None:
        """One for each request is found, with about that figure, while the old code is told to have none."""
        for seed in range(20):
            found = self.play(lambda _chance, new, _old: new, seed)
            self.assertRegex(
                found, r"(0\.[6-9]\d|1\.[0-3]\d) for each of \d+ requests of the new code to api GET things"
            )
            self.assertIn("(old code: 0.0", found)

    def test_counted_late(self) -> None:
        """What is counted a look later, as on a busy machine, is found all the same."""
        found = [self.play(lambda _c, new, _old: new, seed, looks=60, new_rate=0.1, late=0.7) for seed in range(20)]
        self.assertGreaterEqual(sum(map(bool, found)), 18)

    def test_none(self) -> None:
        """Noise is none, and neither is what grows with time alone."""
        for seed in range(200):
            self.assertEqual(self.play(lambda _chance, _new, _old: 0, seed), "")
            self.assertEqual(self.play(lambda _chance, _new, _old: 1, seed), "")

    def test_of_both(self) -> None:
        """A leak that the old code has too is not the new one's."""
        for seed in range(200):
            self.assertEqual(self.play(lambda _chance, new, old: new + old, seed), "")
            self.assertEqual(self.play(lambda chance, _new, old: chance.random() < old / 100, seed), "")

    def test_nothing_to_tell_apart(self) -> None:
        """Requests as regular as a clock tell nothing."""
        self.assertIsNone(fitted([(5, 95, 5)] * 40))
        self.assertIsNone(fitted([(count, 10 * count, count) for count in range(20)]))

    def test_without_requests_of_the_old_code(self) -> None:
        """Growth in those looks alone in which the new code had requests."""
        new, old, error = fitted([(count % 5, 0, count % 5) for count in range(40)]) or (0, 0, 9)
        self.assertAlmostEqual(new, 1.0)
        self.assertEqual(old, 0)
        self.assertLess(error, 0.1)

    def test_nearly_full(self) -> None:
        """When the limit is near, it no longer matters who it was."""
        descriptors = Descriptors()
        descriptors.add("front-1", sample(100, 0, 0, limit=1000))
        descriptors.add("front-1", sample(790, 5, 5, limit=1000))
        self.assertEqual(descriptors.finding(), "")
        descriptors.add("front-1", sample(810, 6, 6, limit=1000))
        self.assertEqual(descriptors.finding(), "descriptors of front-1 went from 100 to 810, of 1000 that it may have")
        descriptors = Descriptors()
        descriptors.add("front-1", sample(790, 0, 0, limit=1000))
        descriptors.add("front-1", sample(810, 0, 0, limit=1000))
        self.assertEqual(descriptors.finding(), "", "it was so before")

    def test_open_for_a_moment(self) -> None:
        """What is closed again soon is not counted; what stays is, after a while; ``stop`` leaves no timer."""
        clock = Clock()
        watch = DescriptorWatch(clock, lambda: 1)
        watch.start()
        before = watch.lowest()
        self.assertEqual(before, open_descriptors() - 1)
        opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(3)]
        for descriptor in opened:
            self.addCleanup(os.close, descriptor)
        clock.pump([LOOK_S] * (int(RECENT_S / LOOK_S) - 2))
        self.assertEqual(watch.lowest(), before)
        clock.pump([LOOK_S] * 4)
        self.assertEqual(watch.lowest(), before + 3)
        watch.stop()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_open_descriptors(self) -> None:
        """The real count follows an open and a close."""
        before = open_descriptors()
        opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(3)]
        self.assertEqual(open_descriptors(), before + 3)
        for descriptor in opened:
            os.close(descriptor)
        self.assertEqual(open_descriptors(), before)
