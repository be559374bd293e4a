# -*- test-case-name: tests.guests.test_reset -*-
"""
Another state, written by an administrator when nothing else helps: functions with a ``sqlalchemy.Connection``.

What was ordered before and has not ended is called off in the same transaction, so nothing of it is written to the
server afterwards: its undo mends what is on the host, and the state stays (``cloudd.guests``).  What is ordered next
begins when that is over.  A deletion alone goes on, since nothing brings back what it has removed.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection

from cloudd.tasks import call_off_all, called_off

from .._forms import BUILD, CONFIRM_RESIZE, POWER, REBUILD, RESIZE, REVERT_RESIZE, SNAPSHOT
from .._policy import enforce_admin
from ..flavors._flavors import flavor_record
from ..hosts._claims import keep_resize
from ..quotas._shares import resize_share
from ._access import Order, server_to_change
from ._changes import share_of
from ._facts import Doing, Server, State, Wanted
from ._progress import size_back
from ._rows import change_server

RESET: Final = "an administrator has reset the state of its server"
_FORMS: Final = (BUILD, POWER, REBUILD, RESIZE, CONFIRM_RESIZE, REVERT_RESIZE, SNAPSHOT)
_BACK: Final = frozenset({Doing.RESIZE_PREP, Doing.RESIZE_FINISH, Doing.RESIZE_REVERTING})


def reset_state(connection: Connection, order: Order, state: State) -> None:
    """
    Write another state, whatever the server does, and call off what it does.

    A size that it was to get or to lose is decided: half of a resize or of its reversal gives the old one, and one
    that waits for its confirmation is confirmed.

    :param state: ``ACTIVE`` or ``ERROR``
    """
    server = server_to_change(connection, order, "os-admin-actions:reset_state")
    enforce_admin(order.access, "os-admin-actions:reset_state")
    call_off_all(connection, _FORMS, server.id, RESET)
    _decide_size(connection, server)
    values: dict[str, Any] = {"state": state.value, "task_state": None, "image_before": None}
    if state is State.ACTIVE and server.wanted is not Wanted.DELETED:
        values["wanted"] = Wanted.RUNNING.value  # a stop that was ordered before is not wanted any more
    change_server(connection, server.id, **values)


def was_reset(connection: Connection, task_id: str) -> bool:
    """Whether the server's state was reset after this task was ordered."""
    return called_off(connection, task_id) == RESET


def revert_records(connection: Connection, server: Server) -> None:
    """The flavor that it had, with its claim and its share."""
    if server.flavor_before is not None:
        size_back(connection, server.id, flavor_record(connection, server.flavor_before))
        change_server(connection, server.id, flavor=server.flavor_before, flavor_before=None)


def _decide_size(connection: Connection, server: Server) -> None:
    if server.flavor_before is None:
        return
    if server.doing in _BACK:
        revert_records(connection, server)
        return
    keep_resize(connection, server.id)
    resize_share(connection, share_of(server, flavor_record(connection, server.flavor)))
    change_server(connection, server.id, flavor_before=None)
