# -*- test-case-name: tests.protocols.rest.compute.test_migrations -*-
"""
What Nova calls migrations, as far as there are any: resizes, each of which stays on its host.

They are read out of what was asked of servers (``server_actions``) and of what these are now, so nothing is written for
them, and those of before are there as well.  For administrators.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Connection, and_, or_, select

from cloudd.database import tables
from cloudd.identity import Access

from .. import _policy
from .._errors import BadComputeValue
from ._facts import Doing, State

_actions, _servers = tables.server_action, tables.server
_a = _actions.c
_CHUNK: Final = 500
_RESIZE: Final = "resize"
#: Action that ends one -> what it is afterwards, and meanwhile.
_ENDS: Final[Mapping[str, tuple[str, str]]] = {
    "confirmResize": ("confirmed", "confirming"),
    "revertResize": ("reverted", "reverting"),
}
_GOING_ON: Final = {Doing.RESIZE_PREP.value, Doing.RESIZE_FINISH.value}
_ENDING: Final = {Doing.RESIZE_CONFIRMING.value, Doing.RESIZE_REVERTING.value}


@frozen(kw_only=True)
class Migration:
    """
    One resize.

    :ivar number: of its id, for clients of old versions
    :ivar host: on which the server is; empty: on none
    :ivar status: in Nova's words
    """

    id: str
    number: int
    server_id: str
    host: str
    status: str
    started_us: int
    updated_us: int


@frozen(kw_only=True)
class MigrationListing:
    """
    What is asked for: newest first.

    :ivar server_id: of this one alone, likewise ``host`` and ``status``; empty: of all
    :ivar marker: id of the one before the page
    :ivar since_us: only those that changed at or after it; ``before_us``: at or before it
    """

    server_id: str = ""
    host: str = ""
    status: str = ""
    marker: str = ""
    limit: int | None = None
    since_us: int | None = None
    before_us: int | None = None


def migrations(connection: Connection, access: Access, listing: MigrationListing) -> list[Migration]:
    """
    One page.

    :raises ComputeForbidden: it is for administrators
    :raises BadComputeValue: the marker is none
    """
    _policy.enforce_admin(access, "os-migrations:index")
    at = _marked(connection, listing.marker) if listing.marker else None
    found = _all(connection, listing, at)
    fitting = (each for each in found if listing.status in ("", each.status) and _changed(each, listing))
    return list(islice(fitting, listing.limit))


def _changed(each: Migration, listing: MigrationListing) -> bool:
    after = listing.since_us is None or each.updated_us >= listing.since_us
    return after and (listing.before_us is None or each.updated_us <= listing.before_us)


def _marked(connection: Connection, marker: str) -> Any:
    try:
        action_id = uuid.UUID(marker).hex
    except ValueError:
        action_id = ""
    query = select(_a.id, _a.started_us).where(_a.id == action_id, _a.action == _RESIZE)
    row = connection.execute(query).first()
    if row is None:
        raise BadComputeValue(f"Marker {marker[:64]} could not be found.")
    return row


def _all(connection: Connection, listing: MigrationListing, at: Any) -> Iterator[Migration]:
    """Beyond the marker, read in parts, since what a migration has come to is not in its own row."""
    while True:
        rows = connection.execute(_query(listing, at)).all()
        ends = _ends_of(connection, sorted({row.server_id for row in rows}))
        for row in rows:
            yield _migration(row, ends.get(row.server_id, ()))
        if len(rows) < _CHUNK:
            return
        at = rows[-1]


def _query(listing: MigrationListing, at: Any) -> Any:
    query = select(
        _a.id, _a.server_id, _a.message, _a.started_us, _a.updated_us,
        _servers.c.state, _servers.c.task_state, _servers.c.host,
    ).join(_servers, _servers.c.id == _a.server_id)  # fmt: skip
    query = query.where(_a.action == _RESIZE)
    if listing.server_id:
        query = query.where(_a.server_id == listing.server_id)
    if listing.host:
        query = query.where(_servers.c.host == listing.host)
    if at is not None:
        query = query.where(or_(_a.started_us < at.started_us, and_(_a.started_us == at.started_us, _a.id < at.id)))
    return query.order_by(_a.started_us.desc(), _a.id.desc()).limit(_CHUNK)


def _ends_of(connection: Connection, server_ids: Sequence[str]) -> dict[str, list[Any]]:
    """Confirmations and the like of these servers, oldest first."""
    found: dict[str, list[Any]] = {}
    query = select(_a.server_id, _a.action, _a.message, _a.started_us, _a.updated_us)
    query = query.where(_a.server_id.in_(server_ids), _a.action.in_(sorted(_ENDS)))
    for row in connection.execute(query.order_by(_a.started_us, _a.id)):
        found.setdefault(row.server_id, []).append(row)
    return found


def _migration(row: Any, ends: Sequence[Any]) -> Migration:
    later = [each for each in ends if each.started_us >= row.started_us]
    end = later[0] if later and row.message is None else None
    return Migration(
        id=str(uuid.UUID(row.id)),
        number=zlib.crc32(row.id.encode("ascii")) & 0x7FFFFFFF,
        server_id=row.server_id,
        host=row.host,
        status=_begun(row) if end is None else _ended(row, end, is_last=len(later) == 1),
        started_us=row.started_us,
        updated_us=row.updated_us if end is None else end.updated_us,
    )


def _begun(row: Any) -> str:
    if row.message is not None:
        return "error"
    if row.task_state in _GOING_ON:
        return "migrating"
    return "finished" if row.state == State.RESIZED else "done"


def _ended(row: Any, end: Any, *, is_last: bool) -> str:
    after, meanwhile = _ENDS[end.action]
    if end.message is not None:
        return "error"
    return meanwhile if is_last and row.task_state in _ENDING else after
