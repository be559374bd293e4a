# -*- test-case-name: tests.protocols.rest.image.test_metadef_namespaces -*-
"""Pages of records in an order by two columns, of which the second is never the same twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, or_


def behind(order: Sequence[Any], at: Sequence[Any], *, descending: bool) -> ColumnElement[bool]:
    """
    What comes after a record.

    :param order: both columns
    :param at: what that record has in them
    """
    (first, second), (value, tie) = order, at
    if descending:
        return or_(first < value, and_(first == value, second < tie))
    return or_(first > value, and_(first == value, second > tie))
