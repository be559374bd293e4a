# -*- test-case-name: tests.compute.test_quotas -*-
"""
What is in use, counted from records, and the one place where servers take their share of it.

``reserve`` runs in the transaction that accepts servers, and writes are one after another in the whole cloud; so
however many ask at once, no project ever has more than it may.  A share is there until ``release``, also while a server
fails.  A released one tells for ``KEPT_DAYS`` more what was used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import asdict
from sqlalchemy import Connection, delete, func, insert, select, update

from cloudd.database import now_us, tables

from .._errors import ComputeConflict, NoSuchRecord, QuotaExceeded
from .._facts import Share
from ._limits import DEFAULTS, UNLIMITED, limits_of, own_limits

_table = tables.server_share
_c = _table.c
_COUNTED = ("instances", "cores", "ram")
_CHUNK = 500
KEPT_DAYS = 400  # a year and the month in which it is accounted for
_DAY_US = 86_400_000_000


def used_by(connection: Connection, project_id: str, user_id: str = "") -> dict[str, int]:
    """
    Resource -> how much there is of it now.

    :param user_id: count only what this user has made
    """
    return {**dict.fromkeys(DEFAULTS, 0), **_of_servers(connection, project_id, user_id),
            "server_groups": _groups(connection, project_id, user_id)}  # fmt: skip


def _of_servers(connection: Connection, project_id: str, user_id: str) -> dict[str, int]:
    sums = select(func.count(), func.coalesce(func.sum(_c.vcpus), 0), func.coalesce(func.sum(_c.ram_mib), 0))
    sums = sums.select_from(_table).where(_c.project_id == project_id, _c.released_us.is_(None))
    if user_id:
        sums = sums.where(_c.user_id == user_id)
    return dict(zip(_COUNTED, map(int, connection.execute(sums).one()), strict=True))


def _groups(connection: Connection, project_id: str, user_id: str) -> int:
    columns = tables.server_group.c
    count = select(func.count()).select_from(tables.server_group).where(columns.project_id == project_id)
    if user_id:
        count = count.where(columns.user_id == user_id)
    return int(connection.execute(count).scalar_one())


def reserve(connection: Connection, project_id: str, user_id: str, shares: Sequence[Share]) -> None:
    """
    Give these servers their shares, all or none; safe to call again: who has one keeps it.

    :param user_id: who makes them; has perhaps limits of its own
    :raises ComputeConflict: a server of such an id is another project's, or was there and is gone
    :raises QuotaExceeded: the project or the user would have more than it may
    """
    shares = _without_held(connection, project_id, shares)
    wanted = {"instances": len(shares), "cores": sum(each.vcpus for each in shares),
              "ram": sum(each.ram_mib for each in shares)}  # fmt: skip
    _enforce(connection, project_id, user_id, wanted)
    now: int = connection.execute(select(now_us())).scalar_one()
    owner = {"project_id": project_id, "user_id": user_id, "taken_us": now}
    if shares:
        connection.execute(insert(_table), [asdict(each) | owner for each in shares])


def how_many(connection: Connection, project_id: str, user_id: str, share: Share) -> int | None:
    """How many servers of such a share project and user may have beside theirs; None: any number."""
    each = dict(zip(_COUNTED, (1, share.vcpus, share.ram_mib), strict=True))
    room: int | None = None
    for limits, owner in (
        (limits_of(connection, project_id), ""),
        (own_limits(connection, project_id, user_id), user_id),
    ):
        used = _of_servers(connection, project_id, owner)
        for name, amount in each.items():
            limit = limits.get(name, UNLIMITED)
            if limit != UNLIMITED and amount > 0:
                left = max(0, limit - used[name]) // amount
                room = left if room is None else min(room, left)
    return room


def _without_held(connection: Connection, project_id: str, shares: Sequence[Share]) -> list[Share]:
    held: set[str] = set()
    for start in range(0, len(shares), _CHUNK):
        some = [each.server_id for each in shares[start : start + _CHUNK]]
        for row in connection.execute(select(_table).where(_c.server_id.in_(some))):
            if row.project_id != project_id or row.released_us is not None:
                raise ComputeConflict(f"Server {row.server_id} has had its share of quotas: make one with a new id.")
            held.add(row.server_id)
    return [each for each in shares if each.server_id not in held]


def resize_share(connection: Connection, share: Share) -> None:
    """
    Another share for a server that has one.

    :raises NoSuchRecord: it has none, or none any more
    :raises QuotaExceeded: it would take more than is left
    """
    held = select(_table).where(_c.server_id == share.server_id, _c.released_us.is_(None))
    before = connection.execute(held).first()
    if before is None:
        raise NoSuchRecord(f"Instance {share.server_id[:64]} could not be found.")
    more = {"cores": max(0, share.vcpus - before.vcpus), "ram": max(0, share.ram_mib - before.ram_mib)}
    _enforce(connection, before.project_id, before.user_id, more)
    connection.execute(update(_table).where(_c.server_id == share.server_id).values(**asdict(share)))


def rename_share(connection: Connection, server_id: str, name: str) -> None:
    """The server has another name: what it uses is told by that."""
    connection.execute(update(_table).where(_c.server_id == server_id).values(name=name))


def release(connection: Connection, server_id: str) -> None:
    """The server is gone, and its share is what it has used; safe to call again."""
    held = update(_table).where(_c.server_id == server_id, _c.released_us.is_(None))
    connection.execute(held.values(released_us=now_us()))
    project_id = connection.execute(select(_c.project_id).where(_c.server_id == server_id)).scalar()
    if project_id is not None:
        forget_old_shares(connection, project_id)


def forget_old_shares(connection: Connection, project_id: str = "") -> None:
    """
    Shares that were released ``KEPT_DAYS`` ago tell nothing any more.

    :param project_id: empty: of all projects, for which all shares are looked at
    """
    now: int = connection.execute(select(now_us())).scalar_one()
    old = delete(_table).where(_c.released_us < now - KEPT_DAYS * _DAY_US)
    connection.execute(old.where(_c.project_id == project_id) if project_id else old)


def _enforce(connection: Connection, project_id: str, user_id: str, wanted: dict[str, int]) -> None:
    _enforce_within(limits_of(connection, project_id), _of_servers(connection, project_id, ""), wanted)
    if own := own_limits(connection, project_id, user_id):
        _enforce_within(own, _of_servers(connection, project_id, user_id), wanted)


def _enforce_within(limits: Mapping[str, int], used: Mapping[str, int], wanted: Mapping[str, int]) -> None:
    over = [name for name, more in wanted.items() if more > 0 and _is_over(limits.get(name), used[name] + more)]
    if over:
        raise QuotaExceeded(_words(over, wanted, used, limits), *over)


def _is_over(limit: int | None, amount: int) -> bool:
    return limit is not None and limit != UNLIMITED and amount > limit


def _words(over: Sequence[str], wanted: Mapping[str, int], used: Mapping[str, int], limits: Mapping[str, int]) -> str:
    def each(values: Mapping[str, int]) -> str:
        return ", ".join(str(values[name]) for name in over)

    names = ", ".join(over)
    return (
        f"Quota exceeded for {names}: Requested {each(wanted)}, but already used {each(used)} of {each(limits)} {names}"
    )
