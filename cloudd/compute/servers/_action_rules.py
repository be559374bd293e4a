# -*- test-case-name: tests.compute.test_action_rules -*-
"""
Which action is allowed in which state: a table, and the one function that reads it.

Besides, nothing else may be done to the server, and it must have run once and be on a host.

States are Nova's (``nova/compute/api.py``, ``check_instance_state``), with one difference.  A server has at most one
task that changes it, so a hard reboot waits for what goes on like everything else; only a delete never does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from .._errors import ComputeConflict
from ._facts import Server, State

_S = State


@frozen
class Allowed:
    """
    :ivar states: in which it is allowed
    :ivar rule: who may: as in Nova's policies, without ``os_compute_api:``
    """

    states: frozenset[State]
    rule: str


#: In which its tags and metadata may be changed.
_SETTLED: Final = frozenset({_S.ACTIVE, _S.PAUSED, _S.SUSPENDED, _S.STOPPED})


def _in(rule: str, *states: State) -> Allowed:
    return Allowed(frozenset(states), rule)


#: By what the API calls the action in its refusals.
RULES: Final[Mapping[str, Allowed]] = {
    "start": _in("servers:start", _S.STOPPED),
    "stop": _in("servers:stop", _S.ACTIVE, _S.ERROR),
    "reboot": _in("servers:reboot", _S.ACTIVE),
    "reboot hard": _in("servers:reboot", _S.ACTIVE, _S.STOPPED, _S.PAUSED, _S.SUSPENDED, _S.ERROR),
    "pause": _in("os-pause-server:pause", _S.ACTIVE),
    "unpause": _in("os-pause-server:unpause", _S.PAUSED),
    "suspend": _in("os-suspend-server:suspend", _S.ACTIVE),
    "resume": _in("os-suspend-server:resume", _S.SUSPENDED),
    "rebuild": _in("servers:rebuild", _S.ACTIVE, _S.STOPPED, _S.ERROR),
    "resize": _in("servers:resize", _S.ACTIVE, _S.STOPPED),
    "confirmResize": _in("servers:confirm_resize", _S.RESIZED),
    "revertResize": _in("servers:revert_resize", _S.RESIZED),
    "createImage": _in("servers:create_image", _S.ACTIVE, _S.STOPPED, _S.PAUSED, _S.SUSPENDED),
    "createBackup": _in("os-create-backup", _S.ACTIVE, _S.STOPPED, _S.PAUSED, _S.SUSPENDED),
    "attach_interface": _in("os-attach-interfaces:create", _S.ACTIVE, _S.PAUSED, _S.STOPPED),
    "detach_interface": _in("os-attach-interfaces:delete", _S.ACTIVE, _S.PAUSED, _S.STOPPED),
    "restore": _in("os-deferred-delete:restore"),  # there is no server that is deleted and can come back
}


def check(action: str, server: Server) -> None:
    """
    :param action: a key of ``RULES``
    :raises ComputeConflict: it is not allowed now, with the state that is in the way
    """
    allowed, shown = RULES[action], action.partition(" ")[0]
    refused = f"Cannot '{shown}' instance {server.id} while it is in"
    if server.state not in allowed.states:
        raise ComputeConflict(f"{refused} vm_state {server.state}")
    if server.doing is not None:
        raise ComputeConflict(f"{refused} task_state {server.doing}")
    if server.launched_us is None or not server.node_id:
        raise ComputeConflict(f"Instance {server.id} is in an invalid state for '{shown}': it is on no host")


def check_settled(what: str, server: Server) -> None:
    """
    :param what: in Nova's words: ``update_instance_metadata``
    :raises ComputeConflict: it is being built, or it failed
    """
    if server.state not in _SETTLED:
        raise ComputeConflict(f"Cannot '{what}' instance {server.id} while it is in vm_state {server.state}")
