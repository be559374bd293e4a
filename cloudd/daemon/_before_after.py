# -*- test-case-name: tests.daemon.test_before_after -*-
"""
Whether new processes answer worse than the old ones did: what the supervision of a hand-over looks at.

In a hand-over all connections change at once, so there is no control, as in a canary (``_comparison``): what came
before is compared with what comes after, route by route, over all that the old workers have counted in their lives.
That tells less, since traffic changes with time.  So times are not compared, and only this is found:

- answers of 5xx, by the test and at the level that a canary has for them;
- a route that refuses nearly everything (``MANY`` with 4xx) and refused nearly nothing before (``FEW``), where chance
  would do that once in a million times.  Conflicts and conditions that do not hold are not counted: a race among
  clients for one name would look the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ._comparison import RouteMeasure, Side, fisher, judge

MANY, FEW = 0.9, 0.1
MIN_REFUSED = 10
LEVEL = 1e-6

#: By route: requests, answers of 4xx, answers of 5xx.
Answers = Mapping[str, Sequence[int]]


def add_answers(told: Iterable[Answers]) -> dict[str, list[int]]:
    """Several workers together."""
    total: dict[str, list[int]] = {}
    for answers in told:
        for route, counts in answers.items():
            known = total.setdefault(route, [0, 0, 0])
            for place, count in enumerate(counts):
                known[place] += count
    return total


def worse_than_before(before: Answers, after: Answers, looks: int) -> str:
    """
    What is worse, in words; empty: nothing, or too little is known.

    :param after: since the new processes serve
    :param looks: how often this is asked at most
    """
    measures = {
        route: RouteMeasure(_side(after[route]), _side(before[route])) for route in sorted(after) if route in before
    }
    found = judge(measures, looks)
    if found is not None:
        return found.cause
    for route, measure in measures.items():
        new, refused, _failed = after[route]
        old, refused_before, _failed_before = before[route]
        if (
            refused >= max(MIN_REFUSED, MANY * new)
            and refused_before <= FEW * old
            and fisher(refused, new, refused_before, old) <= LEVEL / looks / len(measures)
        ):
            return (
                f"{route} refused {refused} of {measure.new.requests} requests with 4xx "
                f"(old code: {refused_before} of {old})"
            )
    return ""


def _side(counts: Sequence[int]) -> Side:
    requests, _refused, failed = counts
    return Side(requests=requests, failures={500: failed} if failed else {})
