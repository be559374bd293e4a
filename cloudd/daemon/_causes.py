# -*- test-case-name: tests.daemon.test_upgrade -*-
"""Why an upgrade or a rollback was not done, or is done this way, in words for the operator."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cloudd.control import How
from cloudd.interfaces.settings import UpgradeSettings
from reload import TreeError

from ._manifests import NotVouchedFor

SHOWN_MODULES = 8
SWAP_REASON = "all modules that changed are swappable: the processes stay and load a new generation"
SWAP_KEEPS = ["a request under way ends in the code where it began; its connection goes on in the new one"]

NO_CANARY = "a hand-over has no canary: the share of connections that was asked for was not used"
HAND_OVER_KEEPS = "what cannot move ends its request in the old process, and its connection follows"


def kernel_cause(modules: tuple[str, ...]) -> str:
    """Why a swap is not enough."""
    more = f" and {len(modules) - SHOWN_MODULES} more" if len(modules) > SHOWN_MODULES else ""
    return f"{', '.join(modules[:SHOWN_MODULES])}{more} changed, which live as long as their process"


def environment_cause(differences: Sequence[str]) -> str:
    """Another interpreter or other versions of other packages."""
    more = f" and {len(differences) - SHOWN_MODULES} more" if len(differences) > SHOWN_MODULES else ""
    return f"{'; '.join(differences[:SHOWN_MODULES])}{more}: only new processes can have that"


def way_cause(how: How, new_processes: str) -> str:
    """
    What stands against the way that was asked for; empty: nothing.

    :param new_processes: why a swap is not enough
    """
    return f"a swap was asked for, but {new_processes}" if how == "swap" and new_processes else ""


def canary_words(settings: UpgradeSettings, percent: float) -> str:
    """How new code is tried before it is committed."""
    if not percent:
        return "none: it is committed at once"
    return (
        f"{percent:g} % of the connections for up to {settings.canary_period_s:g} s, compared with the others; with "
        f"fewer than {settings.canary_min_requests} requests self-checks decide"
    )


def supervision_words(settings: UpgradeSettings) -> str:
    """What a hand-over has in the place of a canary."""
    return f"none in a hand-over: the new processes are watched for {settings.window_s:g} s, and can be given up"


def cause_of(error: Exception) -> str:
    """The error's words, with module names as the source has them."""
    text = str(error) or type(error).__name__
    return re.sub(r"\b_g\d+\.", "", text)


def hash_in(error: TreeError) -> str:
    """Of the tree that was refused, where the refusal knows it."""
    return error.tree_hash if isinstance(error, NotVouchedFor) else ""
