# -*- test-case-name: tests.compute.test_progress -*-
"""
What becomes of a server, written by the host that has it: functions of a connection, for the transaction of a task.

Each can be called again.  A server that is gone stays gone: nothing here brings it back.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select, update

from cloudd.database import now_us, tables
from cloudd.interfaces.servers import Power
from cloudd.network import forget_port, unbind_port

from .._facts import Flavor
from ..hosts._claims import RESIZE, release_claims
from ..quotas._shares import release
from ._facts import Interface, State, Wanted
from ._groups import leave_groups
from ._rows import drop_interface, read_server

EVENT_SUCCESS: Final = "Success"
EVENT_ERROR: Final = "Error"

_table, _actions, _events = tables.server, tables.server_action, tables.server_event
_c = _table.c
_NO_FAULT: Final = {"fault_code": None, "fault_message": "", "fault_details": "", "fault_us": None}


def settle(connection: Connection, server_id: str, state: State, power: Power, **values: Any) -> None:
    """
    Nothing is being done to it any more, and all is well.

    :param values: other columns
    """
    written: dict[str, Any] = {"state": state.value, "task_state": None, "power": int(power), **_NO_FAULT}
    if state is State.ACTIVE:
        written["launched_us"] = func.coalesce(_c.launched_us, now_us())
    _write(connection, server_id, {**written, **values})


def fail(
    connection: Connection,
    server_id: str,
    code: int,
    message: str,
    details: str = "",
    state: State = State.ERROR,
    **values: Any,
) -> None:
    """
    Nothing is being done to it any more, and it is not what was asked for.

    :param message: for whoever has it, with the next step
    :param details: for administrators
    :param state: what it is; another one than ``ERROR``: what was to be changed stayed as it was
    :param values: other columns
    """
    fault = {"fault_code": code, "fault_message": message, "fault_details": details, "fault_us": now_us()}
    _write(connection, server_id, {"state": state.value, "task_state": None, **fault, **values})


def gone(connection: Connection, server_id: str) -> None:
    """It is deleted, and what it held is free: its share of quotas, groups, claims, ports that were made for it."""
    server = read_server(connection, server_id)
    forget_interfaces(connection, server_id, server.interfaces)
    release_claims(connection, server_id)
    leave_groups(connection, server_id)
    release(connection, server_id)
    values = {
        "state": State.DELETED.value,
        "task_state": None,
        "wanted": Wanted.DELETED.value,
        "power": int(Power.UNKNOWN),
        "deleted_us": now_us(),
        "updated_us": now_us(),
    }
    connection.execute(update(_table).where(_c.id == server_id, _c.deleted_us.is_(None)).values(**values))


def forget_interfaces(connection: Connection, server_id: str, interfaces: Sequence[Interface]) -> None:
    """It has them no more: ports that were made for it go, if no other server has them by now; others are free."""
    others = ports_of_others(connection, server_id, [each.port_id for each in interfaces])
    for interface in interfaces:
        is_last = interface.port_id not in others
        if interface.is_ours and is_last:
            forget_port(connection, interface.port_id)
        else:
            unbind_port(connection, interface.port_id, server_id, is_last=is_last)
        drop_interface(connection, server_id, interface.port_id)


def ports_of_others(connection: Connection, server_id: str, port_ids: Collection[str]) -> set[str]:
    """Those of some ports that another server has: a project may take one from a server by hand, and give it away."""
    columns = tables.server_interface.c
    query = select(columns.port_id).where(columns.port_id.in_(sorted(port_ids)), columns.server_id != server_id)
    return set(connection.execute(query).scalars())


def size_back(connection: Connection, server_id: str, flavor: Flavor) -> None:
    """It has this size again, which it had before: the claim of the other one goes, and its share is this one's."""
    release_claims(connection, server_id, RESIZE)
    shares = tables.server_share
    held = update(shares).where(shares.c.server_id == server_id, shares.c.released_us.is_(None))
    size = {"vcpus": flavor.vcpus, "ram_mib": flavor.ram_mib, "disk_gib": flavor.disk_gib + flavor.ephemeral_gib}
    connection.execute(held.values(**size, flavor=flavor.name))


def note_event(
    connection: Connection,
    server_id: str,
    request_id: str,
    name: str,
    *,
    host: str = "",
    result: str | None = None,
    details: str | None = None,
) -> None:
    """
    A part of an action has begun or ended; without such an action nothing is noted.

    :param request_id: of the action
    :param name: as Nova calls it, ``compute__do_build_and_run_instance``
    :param result: ``EVENT_SUCCESS`` or ``EVENT_ERROR``; None: it has begun
    :param details: of an error, for administrators
    """
    query = select(_actions.c.id).where(_actions.c.server_id == server_id, _actions.c.request_id == request_id)
    action_id = connection.execute(query.order_by(_actions.c.started_us.desc()).limit(1)).scalar()
    if action_id is None:
        return
    ended = {"result": result, "details": details, "finished_us": None if result is None else now_us()}
    present = update(_events).where(
        _events.c.action_id == action_id, _events.c.name == name, _events.c.host == host, _events.c.result.is_(None)
    )
    if not connection.execute(present.values(**ended)).rowcount:
        ids = {"id": uuid.uuid4().hex, "action_id": action_id}
        connection.execute(insert(_events).values(**ids, name=name, host=host, started_us=now_us(), **ended))
    if result is not None:
        values = {"updated_us": now_us(), **({"message": EVENT_ERROR} if result == EVENT_ERROR else {})}
        connection.execute(update(_actions).where(_actions.c.id == action_id).values(**values))


def _write(connection: Connection, server_id: str, values: dict[str, Any]) -> None:
    living = update(_table).where(_c.id == server_id, _c.deleted_us.is_(None))
    connection.execute(living.values(**{"updated_us": now_us(), **values}))
