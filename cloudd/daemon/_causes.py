# -*- test-case-name: tests.daemon.test_upgrade -*-
"""Why an upgrade or a rollback was not done, in words for the operator."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reload import TreeError

from ._manifests import NotVouchedFor

SHOWN_MODULES = 8


def kernel_cause(modules: tuple[str, ...]) -> str:
    """Why a swap is not enough."""
    more = f" and {len(modules) - SHOWN_MODULES} more" if len(modules) > SHOWN_MODULES else ""
    return f"{', '.join(modules[:SHOWN_MODULES])}{more} changed, which live as long as their process"


def environment_cause(differences: Sequence[str]) -> str:
    """Another interpreter or other versions of other packages."""
    more = f" and {len(differences) - SHOWN_MODULES} more" if len(differences) > SHOWN_MODULES else ""
    return f"{'; '.join(differences[:SHOWN_MODULES])}{more}: only new processes can have that"


def cause_of(error: Exception) -> str:
    """The error's words, with module names as the source has them."""
    text = str(error) or type(error).__name__
    return re.sub(r"\b_g\d+\.", "", text)


def hash_in(error: TreeError) -> str:
    """Of the tree that was refused, where the refusal knows it."""
    return error.tree_hash if isinstance(error, NotVouchedFor) else ""
