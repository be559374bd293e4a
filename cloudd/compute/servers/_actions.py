# -*- test-case-name: tests.protocols.rest.compute.test_server_actions -*-
"""
Actions that a host carries out: functions with a ``sqlalchemy.Connection``, rights included.

Each looks whether it is allowed, writes what is wanted and what is being done, notes it in the history and orders the
task, all in one transaction; whoever does the task writes the state that comes of it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Connection

from cloudd.tasks import Form, submit

from .._errors import ComputeConflict, ComputeForbidden
from .._forms import CONSOLE, POWER
from ._access import Order, server_to_change
from ._action_rules import RULES, check
from ._facts import Doing, Server, Wanted
from ._history import begin_action
from ._rows import change_server

CONSOLE_BYTES: Final = 102_400  # as much as Nova shows at most
CONSOLE_WAIT_S: Final = 20.0  # then whoever asked is told that the host does not answer

OWNER: Final = "owner"
ADMIN: Final = "admin"


class Verb(enum.StrEnum):
    """What a server can be told, as ``POWER`` has it."""

    START = "start"
    STOP = "stop"
    REBOOT = "reboot"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    SUSPEND = "suspend"
    RESUME = "resume"


#: What is being done meanwhile, and what is wanted from then on.
_MEANING: Final[Mapping[Verb, tuple[Doing, Wanted]]] = {
    Verb.START: (Doing.POWERING_ON, Wanted.RUNNING),
    Verb.STOP: (Doing.POWERING_OFF, Wanted.STOPPED),
    Verb.REBOOT: (Doing.REBOOTING_HARD, Wanted.RUNNING),
    Verb.PAUSE: (Doing.PAUSING, Wanted.PAUSED),
    Verb.UNPAUSE: (Doing.UNPAUSING, Wanted.RUNNING),
    Verb.SUSPEND: (Doing.SUSPENDING, Wanted.SUSPENDED),
    Verb.RESUME: (Doing.RESUMING, Wanted.RUNNING),
}


def allowed(connection: Connection, order: Order, action: str) -> Server:
    """
    The server, if the action may be done to it now.

    :param action: a key of ``RULES``
    :raises NoSuchRecord: also where it is another project's
    :raises ComputeForbidden: who asks may only read
    :raises ComputeConflict: it is locked, or in another state
    """
    server = server_to_change(connection, order, RULES[action].rule)
    check(action, server)
    return server


@frozen
class Work:
    """A task for a server's host, and what history calls it."""

    action: str
    form: Form
    more: Mapping[str, Any] = {}


def begin(connection: Connection, order: Order, server: Server, work: Work, **columns: Any) -> str:
    """
    Write what is being done, note it and have it done.

    :param columns: of the server's row
    :return: id of the task
    """
    if columns:
        change_server(connection, server.id, **columns)
    note(connection, order, server, work.action)
    return submit(
        connection,
        work.form,
        {"server_id": server.id, **work.more},
        project_id=server.project_id,
        node_id=server.node_id,
        resource=server.id,
        request_id=order.request_id,
    )


def note(connection: Connection, order: Order, server: Server, action: str) -> None:
    """Write into the server's history that this was asked for."""
    begin_action(connection, order.access, server.id, action, order.request_id)


def power(connection: Connection, order: Order, verb: Verb, *, soft: bool = False) -> None:
    """
    Start, stop, reboot, pause, unpause, suspend or resume.

    :param soft: of a reboot: ask the guest first
    :raises ComputeConflict: it is locked, or in another state
    """
    hard = verb is Verb.REBOOT and not soft
    server = allowed(connection, order, "reboot hard" if hard else verb.value)
    doing, wanted = _MEANING[verb]
    if soft:
        doing = Doing.REBOOTING
    work = Work(verb.value, POWER, {"verb": verb.value, "soft": soft})
    begin(connection, order, server, work, task_state=doing.value, wanted=wanted.value, progress=0)


def lock(connection: Connection, order: Order, reason: str | None) -> None:
    """
    Others than administrators change it no more; for its owner it stays locked as it was.

    :param reason: of it; None: none is given
    """
    server = server_to_change(connection, order, "os-lock-server:lock", locked=True)
    is_owner = server.project_id == order.access.project_id
    if server.locked_by is not None and is_owner:
        return
    note(connection, order, server, "lock")
    change_server(connection, server.id, locked_by=OWNER if is_owner else ADMIN, locked_reason=reason)


def unlock(connection: Connection, order: Order) -> None:
    """
    :raises ComputeForbidden: an administrator has locked it
    """
    server = server_to_change(connection, order, "os-lock-server:unlock", locked=True)
    if server.locked_by == ADMIN and not order.access.is_admin:
        raise ComputeForbidden(
            "Policy doesn't allow os_compute_api:os-lock-server:unlock:unlock_override to be performed."
        )
    note(connection, order, server, "unlock")
    change_server(connection, server.id, locked_by=None, locked_reason=None)


def restore(connection: Connection, order: Order) -> None:
    """
    :raises ComputeConflict: always: what is deleted is gone
    """
    allowed(connection, order, "restore")


def order_console(connection: Connection, order: Order) -> str:
    """
    Have the end of its console read.

    :return: id of the task; its result has ``output``
    :raises ComputeConflict: it is on no host yet
    """
    server = server_to_change(connection, order, "os-console-output", locked=True)
    if not server.node_id:
        raise ComputeConflict(f"Instance {server.id} is not ready")
    return submit(
        connection,
        CONSOLE,
        {"server_id": server.id, "last_bytes": CONSOLE_BYTES},
        project_id=server.project_id,
        node_id=server.node_id,
        resource=server.id,
        request_id=order.request_id,
        limit_s=CONSOLE_WAIT_S,
    )
