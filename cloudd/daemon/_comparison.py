# -*- test-case-name: tests.daemon.test_comparison -*-
"""
Whether new code does worse than old code on the same traffic.  Pure: measurements in, a finding or none out.

Lots decide which connections the new code answers (the canary), and which ones it is compared with (the control).  For
each route, four kinds of worse are asked for:

``errors``
    answers of 5xx, and answers that broke off
``refusals``
    answers of 4xx, other than 499, the client's own leaving
``slow``
    the typical request: slower than 1.5 times the old code's median + 5 ms
``tail``
    the slowest ones: slower than 1.5 times the old code's p99 + 5 ms

Only small requests are timed (up to 64 KiB each way: longer ones take as long as the client's line); one that is not
answered yet counts with its age.  The new code's first two requests on a route in each worker, which
fill its caches, are not timed.  Sums over all routes of a face are asked as well, for code that lost a route.

**By request.**  Are there more of them among the new code's requests than chance explains?  Fisher's exact test, one-
sided, says how probable as many are if the code makes no difference.  (For ``slow`` and ``tail`` the new code's
requests above the limit are set against the old code's above its own median or p99: the exact test of exceedances, if
the new code is no more than 1.5 times and 5 ms slower.)  It is asked at every look, four in a second, and for every
route, so its level is ``LEVEL`` / looks that the period has room for / routes that both sides have used.  Then,
whatever the dependences (Bonferroni), equal code is taken for worse in at most ``LEVEL`` of all canaries for each
kind, together 1 %: if a request of a route fares alike on whichever connection.

**By connection.**  Clients differ: one sends a bad password for ever, one always reads the longest list, and all its
requests may be in the canary.  What holds whatever they do: if the code makes no difference, the canary's connections
are a sample of chance out of both sides.  So for ``refusals``, ``slow`` and ``tail`` each connection is one
observation too (more than half of its requests refused; more than half slow; one beyond the tail's limit), and
Fisher's test on connections must come to ``GUARD`` or less.  That takes two connections out of 40, or three out of
16.  Errors are the server's own fault and do without; but where the canary has several connections on the route, two
must have failed.

What is significant must also matter: see ``MIN_COUNT`` and ``MIN_FACTOR``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import exp, lgamma, log
from typing import Literal

import msgspec
from attrs import frozen

LEVEL = 0.0025  # false alarms of each kind, per canary of equal code
GUARD = 0.002  # the same by connection, for each route whose clients fare differently
MIN_COUNT = 3  # requests of the new code that fared so
MIN_FACTOR = 2.0  # times as large a part of them as with the old code
SLOWER_FACTOR = 1.5
SLOWER_S = 0.005
SMALL_BYTES = 65_536
CLIENT_LEFT = 499
BROKEN = 0  # in the place of a status

FIRST_EDGE_S = 0.00005
STEP = 1.1  # from bucket to bucket: a value is known to 5 %
BUCKETS = 170  # the last one begins at 448 s
_LOG_FIRST, _LOG_STEP = log(FIRST_EDGE_S), log(STEP)

Kind = Literal["errors", "refusals", "slow", "tail"]
NEVER = BUCKETS  # a limit that nothing exceeds


def bucket_of(seconds: float) -> int:
    """The bucket of a duration: 0 up to 50 µs, then one for each tenth more."""
    if seconds <= FIRST_EDGE_S:
        return 0
    return min(BUCKETS - 1, int((log(seconds) - _LOG_FIRST) / _LOG_STEP) + 1)


def edge_s(bucket: int) -> float:
    """The longest duration in a bucket, seconds."""
    return FIRST_EDGE_S * STEP**bucket


class Side(msgspec.Struct):
    """
    What one side did on one route.

    :ivar requests: that ended, or are streams that began
    :ivar failures: how many had each status of 5xx, or ``BROKEN``
    :ivar refusals: how many had each status of 4xx but 499
    :ivar latency: requests by bucket; the small ones alone, and those that wait
    :ivar connections: those that are compared; the following say how many of them are so
    :ivar failing: had an error
    :ivar refused: more than half of the requests were refused
    :ivar slow: more than half of the requests were slower than the limit
    :ivar tail: one request was slower than the limit
    """

    requests: int = 0
    failures: dict[int, int] = {}
    refusals: dict[int, int] = {}
    latency: dict[int, int] = {}
    connections: int = 0
    failing: int = 0
    refused: int = 0
    slow: int = 0
    tail: int = 0

    @property
    def errors(self) -> int:
        """Requests that failed."""
        return sum(self.failures.values())

    def add(self, other: Side) -> None:
        """Count another worker's side in."""
        for name in ("requests", "connections", "failing", "refused", "slow", "tail"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("failures", "refusals", "latency"):
            mine, more = getattr(self, name), getattr(other, name)
            for key, count in more.items():
                mine[key] = mine.get(key, 0) + count


class RouteMeasure(msgspec.Struct):
    """Both sides of one route; ``old`` has all requests of the old code, and as connections those of the control."""

    new: Side
    old: Side


@frozen
class Finding:
    """The new code does worse: in which way, where, and in words with the figures."""

    kind: Kind
    route: str
    cause: str


def add_up(measures: Iterable[Mapping[str, RouteMeasure]]) -> dict[str, RouteMeasure]:
    """All workers together, by route."""
    total: dict[str, RouteMeasure] = {}
    for measure in measures:
        for route, found in measure.items():
            known = total.get(route)
            if known is None:
                known = total[route] = RouteMeasure(Side(), Side())
            known.new.add(found.new)
            known.old.add(found.old)
    return total


def quantile_bucket(latency: Mapping[int, int], share: float) -> int:
    """The bucket below whose upper edge at least ``share`` of the requests lie; ``NEVER`` when there are none."""
    left = share * sum(latency.values())
    if not left:
        return NEVER
    for bucket in sorted(latency):
        left -= latency[bucket]
        if left <= 1e-9:
            return bucket
    return NEVER


def limits_of(total: Mapping[str, RouteMeasure]) -> dict[str, tuple[int, int]]:
    """
    From which bucket on a request is not slow yet, by route: for ``slow`` and for ``tail``.

    :return: the last buckets that are not slow
    """
    return {
        route: (_limit(quantile_bucket(found.old.latency, 0.5)), _limit(quantile_bucket(found.old.latency, 0.99)))
        for route, found in total.items()
        if found.old.latency
    }


def _limit(bucket: int) -> int:
    return bucket_of(SLOWER_FACTOR * edge_s(bucket) + SLOWER_S)


def judge(total: Mapping[str, RouteMeasure], looks: int) -> Finding | None:
    """
    What is worse, if anything: the most significant finding.

    :param total: since the canary began; a route that ends with ``*`` is the sum of others: named only where none is
    :param looks: how many times this is asked in the whole canary at most
    """
    compared = [(route, found) for route, found in sorted(total.items()) if found.new.requests or found.new.connections]
    found_worse: list[tuple[bool, float, Kind, str]] = []
    for kind, test in _TESTS.items():
        tests = [(route, test(found)) for route, found in compared]
        asked = [(route, probability) for route, probability in tests if probability is not None]
        level = LEVEL / looks / max(1, len(asked))
        found_worse += [(is_sum(route), known, kind, route) for route, known in asked if known <= level]
    if not found_worse:
        return None
    _is_sum, _probability, kind, route = min(found_worse)
    return Finding(kind, route, _words(kind, route, total[route]) + _most_of_it(kind, route, total))


def is_sum(route: str) -> bool:
    """Whether it stands for all routes of a face."""
    return route.endswith("*")


def _most_of_it(kind: Kind, route: str, total: Mapping[str, RouteMeasure]) -> str:
    """Of a sum, which route has the most of what is counted."""
    if not is_sum(route) or kind not in {"errors", "refusals"}:
        return ""
    counts = {
        name: sum((found.new.failures if kind == "errors" else found.new.refusals).values())
        for name, found in total.items()
        if not is_sum(name)
    }
    most = max(counts, key=lambda name: counts[name], default="")
    return f"; most of these: {most}" if most else ""


def fisher(new: int, of_new: int, old: int, of_old: int) -> float:
    """
    How probable at least ``new`` out of ``of_new`` are, if ``new + old`` of all have it and chance chose the sides.

    One-sided Fisher's exact test: the upper tail of the hypergeometric distribution.
    """
    marked, total = new + old, of_new + of_old
    most = min(marked, of_new)
    term = exp(
        _log_choose(marked, new) + _log_choose(total - marked, of_new - new) - _log_choose(total, of_new)
    )  # fmt: skip
    probability = 0.0
    for count in range(new, most + 1):
        probability += term
        if term < probability * 1e-12:
            break
        term *= (marked - count) * (of_new - count) / ((count + 1) * (total - marked - of_new + count + 1))
    return min(1.0, probability)


def _log_choose(all_of: int, some: int) -> float:
    return lgamma(all_of + 1) - lgamma(some + 1) - lgamma(all_of - some + 1)


def _errors(found: RouteMeasure) -> float | None:
    new, old = found.new, found.old
    if new.connections > 1 and new.failing < 2:
        return 1.0
    return _by_request(new.errors, new.requests, old.errors, old.requests)


def _refusals(found: RouteMeasure) -> float | None:
    new, old = found.new, found.old
    probability = _by_request(sum(new.refusals.values()), new.requests, sum(old.refusals.values()), old.requests)
    return _guarded(probability, new.refused, new.connections, old.refused, old.connections)


def _slow(found: RouteMeasure) -> float | None:
    new, old = found.new, found.old
    return _guarded(_exceeding(found, 0.5), new.slow, new.connections, old.slow, old.connections)


def _tail(found: RouteMeasure) -> float | None:
    new, old = found.new, found.old
    return _guarded(_exceeding(found, 0.99), new.tail, new.connections, old.tail, old.connections)


def _exceeding(found: RouteMeasure, share: float) -> float | None:
    new, old = found.new.latency, found.old.latency
    bucket = quantile_bucket(old, share)
    if bucket == NEVER:
        return None
    return _by_request(_above(new, _limit(bucket)), sum(new.values()), _above(old, bucket), sum(old.values()))


def _above(latency: Mapping[int, int], limit: int) -> int:
    return sum(count for bucket, count in latency.items() if bucket > limit)


def _by_request(new: int, of_new: int, old: int, of_old: int) -> float | None:
    if not of_new or not of_old:
        return None
    if new < MIN_COUNT or new * of_old < MIN_FACTOR * old * of_new:
        return 1.0
    return fisher(new, of_new, old, of_old)


def _guarded(probability: float | None, new: int, of_new: int, old: int, of_old: int) -> float | None:
    """``probability``, unless the clients' differences may explain it as well."""
    if probability is None or probability > LEVEL:
        return probability
    return probability if fisher(new, of_new, old, of_old) <= GUARD else 1.0


_TESTS: dict[Kind, Callable[[RouteMeasure], float | None]] = {
    "errors": _errors,
    "refusals": _refusals,
    "slow": _slow,
    "tail": _tail,
}


def _words(kind: Kind, route: str, found: RouteMeasure) -> str:
    new, old = found.new, found.old
    if kind in {"errors", "refusals"}:
        mine, others = (new.failures, old.failures) if kind == "errors" else (new.refusals, old.refusals)
        status = max(mine, key=lambda one: mine[one])
        did = f"answered {status}" if status != BROKEN else "broke off its answer"
        return (
            f"{route} {did} in {sum(mine.values())} of {new.requests} requests "
            f"(old code: {sum(others.values())} of {old.requests})"
        )
    share, name = (0.5, "median") if kind == "slow" else (0.99, "p99")
    marked, old_marked = (new.slow, old.slow) if kind == "slow" else (new.tail, old.tail)
    bucket = quantile_bucket(old.latency, share)
    return (
        f"{route} took {_ms(quantile_bucket(new.latency, share))} ({name}; old code: {_ms(bucket)}), "
        f"more than {_ms(_limit(bucket))} on {marked} of {new.connections} connections "
        f"(old code: {old_marked} of {old.connections})"
    )


def figures(total: Mapping[str, RouteMeasure]) -> str:
    """Both sides in a sentence: requests, errors and p99 over all routes."""
    new, old = Side(), Side()
    for route, found in total.items():
        if not is_sum(route):
            new.add(found.new)
            old.add(found.old)
    return (
        f"{new.requests:,} requests, {new.errors:,} errors (old code: {old.requests:,}, {old.errors:,}); "
        f"p99 {_ms(quantile_bucket(new.latency, 0.99))} (old code: {_ms(quantile_bucket(old.latency, 0.99))})"
    )


def requests_in(total: Mapping[str, RouteMeasure]) -> int:
    """How many requests the new code has answered."""
    return sum(found.new.requests for route, found in total.items() if not is_sum(route))


def _ms(bucket: int) -> str:
    if bucket == NEVER:
        return "unknown"
    milliseconds = edge_s(bucket) * 1000
    return f"{milliseconds:.2g} ms" if milliseconds < 1 else f"{milliseconds:.3g} ms"
