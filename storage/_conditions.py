"""Whether the present version of an object lets a write happen; the same rule for every engine."""

from __future__ import annotations

from ._interfaces import ObjectFacts, Precondition, PreconditionFailed


def check_precondition(condition: Precondition | None, present: ObjectFacts | None) -> None:
    """
    Called inside the write's transaction.

    :raises PreconditionFailed:
    """
    if condition is not None and not _holds(condition, present):
        raise PreconditionFailed(present)


def _holds(condition: Precondition, present: ObjectFacts | None) -> bool:
    if present is None:
        return not condition.if_match
    if condition.if_absent or present.etag in condition.if_none_match:
        return False
    return not condition.if_match or present.etag in condition.if_match or "*" in condition.if_match
