# -*- test-case-name: tests.scheduling.test_refusal -*-
"""What is said where no host is left: to the tenant which constraint failed, to operators who removed how many."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from cloudd.interfaces.scheduling import IHostFilter, Placement

from ._decision import Decision, Removed, Rules

NO_HOST = "No valid host was found."
SHOWN = 20  # hosts of which operators read the cause
MAX_DETAILS = 8_000
_UP = "up"


@frozen
class Refusal:
    """
    :ivar message: for the tenant; names no host and no other project
    :ivar details: for administrators
    :ivar may_pass: hosts are silent, or there are none yet: it may be otherwise in some seconds
    """

    message: str
    details: str
    may_pass: bool


def refusal(decision: Decision, placement: Placement, rules: Rules) -> Refusal:
    """
    :param decision: it has fewer hosts than there are servers
    """
    if not decision.of:
        return Refusal(f"{NO_HOST} There is no host that runs servers.", "there are no hosts in compute_hosts", True)
    words = _sentence([each.filter for each in decision.removed], placement)
    return Refusal(f"{NO_HOST} {words}.", _details(decision, placement), _may_pass(decision, placement, rules))


def _may_pass(decision: Decision, placement: Placement, rules: Rules) -> bool:
    """Whether a host would do that does not work now."""
    silent = [host for each in decision.removed if each.filter.name == _UP for host in each.hosts]
    others = [each for each in rules.filters if each.name != _UP]
    return any(not any(each.cause(host, placement) for each in others) for host in silent)


def _sentence(filters: Sequence[IHostFilter], placement: Placement) -> str:
    """The last one took the last host; earlier wishes narrowed the choice, and what the cloud is like is not told."""
    told = [each for each in filters[:-1] if each.is_wish] + list(filters[-1:])
    phrases = [each.lacking(placement) for each in told]
    where = [each for each in phrases if each.startswith("in ")]
    rest = _joined([each for each in phrases if each not in where])
    return " ".join(["There is no host" if not rest else "No host", *filter(None, [rest, *where])])


def _joined(phrases: Sequence[str]) -> str:
    """``has A`` and ``has B`` become ``has A and B``."""
    having = [each.removeprefix("has ") for each in phrases if each.startswith("has ")]
    others = [each for each in phrases if not each.startswith("has ")]
    return " and ".join([*others, f"has {' and '.join(having)}"] if having else others)


def _details(decision: Decision, placement: Placement) -> str:
    counted = [f"{each.filter.name} {len(each.hosts)}" for each in decision.removed]
    head = f"of {decision.of} hosts the filters removed: {', '.join(counted)}"
    if decision.hosts:
        head = f"after {len(decision.hosts)} servers of the same request were placed, {head}"
    return "\n".join([head, *_causes(decision.removed, placement)])[:MAX_DETAILS]


def _causes(removed: Sequence[Removed], placement: Placement) -> list[str]:
    pairs = [(each.filter, host) for each in reversed(removed) for host in each.hosts]
    lines = [f"{host.name}: {one.name}: {one.cause(host, placement)}" for one, host in pairs[:SHOWN]]
    return lines + ([f"and {len(pairs) - SHOWN} more"] if len(pairs) > SHOWN else [])
