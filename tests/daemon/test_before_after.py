"""New processes that answer worse than the old ones did are found out; a change of traffic alone is not."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._before_after import add_answers, worse_than_before
from cloudd.daemon._metrics import RequestCounts

LOOKS = 40


class WorseTests(SynchronousTestCase):
    def test_errors(self) -> None:
        """5xx that were not there before, after a few requests."""
        found = worse_than_before({"api GET a": [900, 50, 1]}, {"api GET a": [5, 0, 5]}, LOOKS)
        self.assertEqual(found, "api GET a answered 500 in 5 of 5 requests (old code: 1 of 900)")
        self.assertEqual(worse_than_before({"api GET a": [900, 0, 100]}, {"api GET a": [50, 0, 8]}, LOOKS), "")
        self.assertEqual(worse_than_before({"api GET a": [900, 0, 0]}, {"api GET a": [2, 0, 2]}, LOOKS), "")

    def test_refusals(self) -> None:
        """A route that refuses everybody; not one that some clients are refused at, now more than before."""
        before = {"api GET a": [900, 50, 0], "api GET b": [900, 700, 0]}
        found = worse_than_before(before, {"api GET a": [20, 19, 0]}, LOOKS)
        self.assertEqual(found, "api GET a refused 19 of 20 requests with 4xx (old code: 50 of 900)")
        for after in ({"api GET a": [20, 10, 0]}, {"api GET a": [5, 5, 0]}, {"api GET b": [200, 199, 0]}):
            self.assertEqual(worse_than_before(before, after, LOOKS), "", after)

    def test_nothing_to_compare(self) -> None:
        """A route that is new, and one that nobody asks for, tell nothing."""
        self.assertEqual(worse_than_before({}, {"api GET a": [50, 0, 50]}, LOOKS), "")
        self.assertEqual(worse_than_before({"api GET a": [50, 0, 0]}, {}, LOOKS), "")
        self.assertEqual(worse_than_before({"api GET a": [0, 0, 0]}, {"api GET a": [9, 0, 9]}, LOOKS), "")

    def test_equal_code(self) -> None:
        """Code with some errors is not handed back for having them; of 300 hand-overs one at most is."""
        wrong = 0
        for seed in range(300):
            chance = Random(seed)
            rates = [chance.random() * 0.05 for _ in range(20)]

            def traffic(requests: int, rates: list[float] = rates, chance: Random = chance) -> dict[str, list[int]]:
                return {
                    f"api GET {route}": [requests, 0, sum(chance.random() < rate for _ in range(requests))]
                    for route, rate in enumerate(rates)
                }

            before = traffic(300)
            after: dict[str, list[int]] = {}
            for _ in range(5):
                after = add_answers([after, traffic(10)])
                if worse_than_before(before, after, 5):
                    wrong += 1
                    break
        self.assertLessEqual(wrong, 1)


class CountTests(SynchronousTestCase):
    def test_what_clients_do_to_each_other(self) -> None:
        """A race for one name, or a client that leaves, tells nothing of the code."""
        counts = RequestCounts()
        for status in (409, 412, 416, 499, 403):
            for _ in range(3):
                counts.add("s3", "things", b"PUT", status, 0.1, 0, 0)
        self.assertEqual(counts.answers(), {"s3 PUT things": [15, 3, 0]})

    def test_what_a_worker_tells(self) -> None:
        """By face, method and route: all, those refused, those failed; odd methods are one."""
        counts = RequestCounts()
        for method, status in (
            (b"GET", 200),
            (b"GET", 204),
            (b"GET", 404),
            (b"GET", 503),
            (b"BREW", 418),
            (b"\xff", 200),
        ):
            counts.add("api", "things", method, status, 0.1, 0, 0)
        self.assertEqual(counts.answers(), {"api GET things": [4, 1, 1], "api OTHER things": [2, 1, 0]})
        self.assertEqual(
            add_answers([counts.answers(), counts.answers(), {"s3 GET x": [1, 0, 0]}]),
            {"api GET things": [8, 2, 2], "api OTHER things": [4, 2, 0], "s3 GET x": [1, 0, 0]},
        )
