# -*- test-case-name: tests.tasks.test_places -*-
"""
Claims where some kinds may not have all places of a host: for ``Transactions.write``.

Each such kind is claimed by itself, with its own limit, and all others together; whoever has waited longest comes
first.  So with one place a kind that always has work takes turns with the others.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from . import _rows
from ._rows import Claimed, Here, Lease, Readable


def with_room(readable: Readable, room: Mapping[str, int]) -> Readable:
    """Without the kinds of which no more may begin."""
    return {name: versions for name, versions in readable.items() if room.get(name, 1) > 0}


def claim_within(
    connection: Connection,
    readable: Readable,
    owner: str,
    lasts_us: int,
    limit: int,
    here: Here = _rows.ANYWHERE,
    *,
    room: Mapping[str, int],
) -> list[tuple[Lease, Claimed]]:
    """
    ``claim``, but no more of a kind than it has room.

    :param limit: most tasks together
    :param room: names of kinds -> most of theirs; those that it has not have all places
    """
    claimed: list[tuple[Lease, Claimed]] = []
    for some, most in _longest_waiting_first(connection, with_room(readable, room), here, room):
        if free := min(limit - len(claimed), limit if most is None else most):
            claimed += _rows.claim(connection, some, owner, lasts_us, free, here)
    return claimed


def _longest_waiting_first(
    connection: Connection, readable: Readable, here: Here, room: Mapping[str, int]
) -> list[tuple[Readable, int | None]]:
    groups: list[tuple[Readable, int | None]] = [
        ({name: versions}, room[name]) for name, versions in readable.items() if name in room
    ]
    groups.append(({name: versions for name, versions in readable.items() if name not in room}, None))
    if len(groups) == 1:
        return groups
    due = [(_rows.longest_due_us(connection, group, here), place) for place, (group, _most) in enumerate(groups)]
    waiting = sorted((due_us, place) for due_us, place in due if due_us is not None)
    return [groups[place] for _due_us, place in waiting]
