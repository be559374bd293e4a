# -*- test-case-name: tests.tasks.test_open -*-
"""What is still to be done, for who looks whether somebody is at it."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, select

from cloudd.database import tables

from ._kind import Fields, Form
from ._rows import OPEN

_c = tables.task.c


def open_payloads(connection: Connection, forms: Iterable[Form]) -> list[Fields]:
    """
    Payloads of tasks that have not ended.

    :raises reload.SnapshotError: one is in a version that this code does not read
    """
    by_name = {form.name: form for form in forms}
    query = select(_c.kind, _c.version, _c.payload).where(_c.state.in_(OPEN), _c.kind.in_(sorted(by_name)))
    return [by_name[row.kind].read(row.version, row.payload) for row in connection.execute(query)]
