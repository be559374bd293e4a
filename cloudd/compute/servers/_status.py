# -*- test-case-name: tests.protocols.rest.compute.test_server_view -*-
"""
The word by which the API calls what a server is: made of its state and of what is being done to it, as Nova makes it.

Source: Compute API, "Server concepts", and Nova's table of states.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import ColumnElement, and_, or_

from cloudd.database import tables

from ._facts import Doing, Server, State

_c = tables.server.c

_REBUILD: Final = {Doing.REBUILDING: "REBUILD"}
_RESIZE: Final = {Doing.RESIZE_PREP: "RESIZE", Doing.RESIZE_FINISH: "RESIZE"}
_REBOOT: Final = {Doing.REBOOTING: "REBOOT", Doing.REBOOTING_HARD: "HARD_REBOOT"}

#: State -> its word, and the words while certain things are done.
WORDS: Final[Mapping[State, tuple[str, Mapping[Doing, str]]]] = {
    State.BUILDING: ("BUILD", {}),
    State.ACTIVE: ("ACTIVE", {**_REBOOT, **_REBUILD, **_RESIZE}),
    State.PAUSED: ("PAUSED", {}),
    State.SUSPENDED: ("SUSPENDED", {}),
    State.STOPPED: ("SHUTOFF", {**_REBUILD, **_RESIZE}),
    State.RESIZED: ("VERIFY_RESIZE", {Doing.RESIZE_REVERTING: "REVERT_RESIZE"}),
    State.ERROR: ("ERROR", _REBUILD),
    State.DELETED: ("DELETED", {}),
}
#: All of them.
STATUSES: Final = frozenset({word for common, meanwhile in WORDS.values() for word in (common, *meanwhile.values())})


def status_of(server: Server) -> str:
    """``ACTIVE`` and the like."""
    word, meanwhile = WORDS[server.state]
    return word if server.doing is None else meanwhile.get(server.doing, word)


def has_status(word: str) -> ColumnElement[bool] | None:
    """
    Which rows have it.

    :param word: in any case
    :return: None: no server ever has it
    """
    ways: list[ColumnElement[bool]] = []
    for state, (common, meanwhile) in WORDS.items():
        is_it = _c.state == state.value
        special = [doing.value for doing, each in meanwhile.items() if each == word.upper()]
        if special:
            ways.append(and_(is_it, _c.task_state.in_(special)))
        if common == word.upper():
            others = [doing.value for doing in meanwhile]
            ways.append(and_(is_it, or_(_c.task_state.is_(None), _c.task_state.not_in(others))))
    return or_(*ways) if ways else None
