# -*- test-case-name: tests.daemon.test_upgrade -*-
"""What an upgrade would do, in words for the operator who is asked.  Pure."""

from __future__ import annotations

import msgspec

from cloudd.control import Plan
from cloudd.interfaces.settings import UpgradeSettings
from reload import TreeError

from ._causes import HAND_OVER_KEEPS, SWAP_KEEPS, SWAP_REASON, canary_words, hash_in, supervision_words, way_cause
from ._committed import warnings_of
from ._target import Running, Target


def plan_of(target: Target, running: Running, number: int, settings: UpgradeSettings, percent: float) -> Plan:
    """
    :param number: of the generation that it would be
    :param percent: of the connections that would be in a canary
    """
    plan = Plan(
        tree=str(target.tree.root),
        kind="swap",
        running_hash=running.tree.hash,
        target_hash=target.tree.hash,
        generation=number,
        swappable=list(target.changes.swappable),
        kernel=list(target.changes.kernel),
        manifest=target.proof.words,
        warnings=warnings_of(running.committed, target.tree.hash),
    )
    if not target.is_new:
        return msgspec.structs.replace(plan, kind="nothing", generation=running.generation)
    against = way_cause(target.how, target.new_processes)
    if against:
        return msgspec.structs.replace(plan, kind="refused", cause=against)
    if target.new_processes:
        return msgspec.structs.replace(
            plan,
            kind="hand-over",
            cause=target.new_processes,
            canary=supervision_words(settings),
            not_exported=[HAND_OVER_KEEPS],
        )
    return msgspec.structs.replace(
        plan, reason=SWAP_REASON, canary=canary_words(settings, percent), not_exported=SWAP_KEEPS
    )


def refused_plan(tree: str, running: Running, error: TreeError) -> Plan:
    """Of code that must not be loaded."""
    return Plan(tree=tree, kind="refused", cause=str(error), running_hash=running.tree.hash, target_hash=hash_in(error))
