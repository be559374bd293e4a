# -*- test-case-name: tests.scheduling.test_decision -*-
"""
Which hosts several servers that are alike get: a pure function of the hosts, what is asked for, and the rules.

**One pass.**  All hosts go through the filters, those that are left are weighed, and the best gets the first server.
For the next one only that host has changed, so it alone is filtered and weighed again; a heap has the others in order.
Where what is asked for depends on who else is there (server groups) a host is filtered again when its turn has come.

**Weights.**  Each weigher's numbers are brought to the range from 0 to 1 over the hosts that are left, times its
multiplier, and summed up.  Among equal hosts the order of ``hosts`` decides; callers rotate it, or all would begin with
the same host.

Equal arguments give equal decisions.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from attrs import field, frozen

from cloudd.interfaces.scheduling import HostPicture, IHostFilter, IHostWeigher, Placement

Hosts = Sequence[HostPicture]


@frozen
class Rules:
    """
    :ivar filters: in the order in which they are asked
    :ivar weighers: with what each counts: below 0 it is turned round, with 0 it is not asked
    """

    filters: tuple[IHostFilter, ...]
    weighers: tuple[tuple[IHostWeigher, float], ...]

    def cause(self, host: HostPicture, placement: Placement) -> tuple[str, str]:
        """Name and words of the first filter that a host does not pass; empty: it passes all."""
        for each in self.filters:
            if words := each.cause(host, placement):
                return each.name, words
        return "", ""


@frozen
class Removed:
    """What one filter took of those that were left; of one that took none nothing is told."""

    filter: IHostFilter
    hosts: tuple[HostPicture, ...]


@frozen
class Decision:
    """
    :ivar hosts: one for each of the first servers, as they were before; a host may stand there several times
    :ivar removed: where there are fewer than servers: what each filter took, and of how many
    """

    hosts: tuple[HostPicture, ...]
    removed: tuple[Removed, ...] = ()
    of: int = 0


@frozen
class Scale:
    """What brings one weigher's numbers to its part of the sum."""

    weigher: IHostWeigher
    low: float
    factor: float

    def of(self, host: HostPicture, placement: Placement) -> float:
        """What it gives to one host."""
        found = self.weigher.weights((host,), placement)
        return (found[0] - self.low) * self.factor if found else 0.0


@frozen
class Weighed:
    """
    Hosts with their weights.

    :ivar scales: those that made a difference
    """

    weights: Sequence[float]
    scales: tuple[Scale, ...] = field(factory=tuple)

    def again(self, host: HostPicture, placement: Placement) -> float:
        """The weight of a host that has changed, on the same scales."""
        return sum(scale.of(host, placement) for scale in self.scales)


def decide(hosts: Hosts, placement: Placement, count: int, rules: Rules) -> Decision:
    """
    :param count: of servers, at least 1
    """
    left, removed = filtered(hosts, placement, rules)
    if not left:
        return Decision((), removed, len(hosts))
    weighed = weigh(left, placement, rules)
    if count == 1:
        best = max(weighed.weights)
        return Decision((left[weighed.weights.index(best)],))
    chosen, after, placement = _chosen(left, weighed, placement, count, rules)
    if len(chosen) == count:
        return Decision(chosen)
    changed = [after.get(host.node_id, host) for host in hosts]
    return Decision(chosen, filtered(changed, placement, rules)[1], len(hosts))


def filtered(hosts: Hosts, placement: Placement, rules: Rules) -> tuple[Hosts, tuple[Removed, ...]]:
    """Those that pass all filters, and what each took; who has gone is only looked up where nobody is left."""
    stages: list[tuple[IHostFilter, Hosts, Hosts]] = []
    left = hosts
    for each in rules.filters:
        before, left = left, each.passing(left, placement)
        if len(left) != len(before):
            stages.append((each, before, left))
        if not left:
            return left, tuple(Removed(one, _without(some, kept)) for one, some, kept in stages)
    return left, ()


def weigh(hosts: Hosts, placement: Placement, rules: Rules) -> Weighed:
    """All of them, at least one."""
    found: list[tuple[Scale, Sequence[float]]] = []
    for weigher, multiplier in rules.weighers:
        numbers = weigher.weights(hosts, placement) if multiplier else ()
        if not numbers:
            continue
        low, high = min(numbers), max(numbers)
        # Where all are equal now, the first server makes a difference: in proportion to what they have.
        factor = multiplier / ((high - low) or abs(high) or 1.0)
        found.append((Scale(weigher, low, factor), numbers if high > low else ()))
    return Weighed(_sums(len(hosts), [(scale.low, scale.factor, some) for scale, some in found if some]),
                   tuple(scale for scale, _ in found))  # fmt: skip


def _sums(count: int, parts: list[tuple[float, float, Sequence[float]]]) -> Sequence[float]:
    """Each host's parts together: one loop over ten thousand hosts costs half a millisecond, so few loops are made."""
    base = -sum(low * factor for low, factor, _ in parts)
    match parts:
        case []:
            return [0.0] * count
        case [(_, a, first)]:
            return [base + a * x for x in first]
        case [(_, a, first), (_, b, second)]:
            return [base + a * x + b * y for x, y in zip(first, second, strict=True)]
        case [(_, a, first), (_, b, second), (_, c, third)]:
            return [base + a * x + b * y + c * z for x, y, z in zip(first, second, third, strict=True)]
    factors = [factor for _, factor, _ in parts]
    rows = zip(*(some for _, _, some in parts), strict=True)
    return [base + sum(map(float.__mul__, factors, map(float, row))) for row in rows]


def _chosen(
    hosts: Hosts, weighed: Weighed, placement: Placement, count: int, rules: Rules
) -> tuple[tuple[HostPicture, ...], dict[str, HostPicture], Placement]:
    """Hosts for so many servers as there is room for; the hosts and the placement as they are after that."""
    heap = [(-weight, place) for place, weight in enumerate(weighed.weights)]
    heapq.heapify(heap)
    present, chosen, after = list(hosts), list[HostPicture](), dict[str, HostPicture]()
    while heap and len(chosen) < count:
        place = heap[0][1]
        host = present[place]
        if placement.group is not None and rules.cause(host, placement)[0]:
            heapq.heappop(heap)
            continue
        chosen.append(hosts[place])
        host = present[place] = after[host.node_id] = host.less(placement.need)
        placement = placement.with_one_more(host.node_id)
        if rules.cause(host, placement)[0]:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (-weighed.again(host, placement), place))
    return tuple(chosen), after, placement


def _without(hosts: Hosts, kept: Hosts) -> tuple[HostPicture, ...]:
    ids = {host.node_id for host in kept}
    return tuple(host for host in hosts if host.node_id not in ids)
