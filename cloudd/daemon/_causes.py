# -*- test-case-name: tests.daemon.test_upgrade -*-
"""Why an upgrade or a rollback was not done, in words for the operator."""

from __future__ import annotations

import re

from cloudd.control import Action
from reload import TreeError

from ._manifests import NotVouchedFor

NO_HAND_OVER = "needs a hand-over, which this version does not have"
SHOWN_MODULES = 8


def kernel_cause(modules: tuple[str, ...], action: Action = "upgrade") -> str:
    """Kernel modules changed, and what can be done about it."""
    more = f" and {len(modules) - SHOWN_MODULES} more" if len(modules) > SHOWN_MODULES else ""
    remedy = "restart the daemon to take it" if action == "upgrade" else "start the daemon from a tree that holds it"
    return f"{', '.join(modules[:SHOWN_MODULES])}{more} changed: this {NO_HAND_OVER}; {remedy}"


def environment_cause(differences: list[str]) -> str:
    """Another interpreter or other versions of other packages, and what can be done about it."""
    more = f" and {len(differences) - SHOWN_MODULES} more" if len(differences) > SHOWN_MODULES else ""
    return (
        f"{'; '.join(differences[:SHOWN_MODULES])}{more}: this {NO_HAND_OVER}; start the daemon from there to take it"
    )


def cause_of(error: Exception) -> str:
    """The error's words, with module names as the source has them."""
    text = str(error) or type(error).__name__
    return re.sub(r"\b_g\d+\.", "", text)


def hash_in(error: TreeError) -> str:
    """Of the tree that was refused, where the refusal knows it."""
    return error.tree_hash if isinstance(error, NotVouchedFor) else ""
