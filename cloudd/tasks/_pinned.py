# -*- test-case-name: tests.tasks.test_pinned -*-
"""
The version in which a row is written: one that every node reads that may come to run it.

It is looked up in the transaction that writes, so no row can be written for nodes of a moment ago.  A node counts here
until it was away for a day, longer than elsewhere: a row waits for who comes back.  So does the code that the cloud
can still go back to by one command.  Forms with one version, which is nearly all, ask nobody.
"""

from __future__ import annotations

import json

from sqlalchemy import Connection, select

from cloudd.database import now_us, tables
from cloudd.interfaces.payloads import newest_common

from ._kind import Form

AWAY_US = 86_400_000_000


def version_for(connection: Connection, form: Form) -> int:
    """In which a row of this form is written now."""
    if len(form.readable) < 2:
        return form.emits
    writable = set(form.converters.reachable(form.name, form.version)).intersection(form.readable)
    nodes, releases = tables.node.c, tables.release.c
    alive = select(nodes.payloads).where(nodes.state != "removed", nodes.contact_us > now_us() - AWAY_US)
    kept = select(releases.payloads).where(releases.state == "open")
    texts = [*connection.execute(alive).scalars(), *connection.execute(kept).scalars()]
    return newest_common(form.name, form.emits, sorted(writable), [json.loads(text) for text in texts])
