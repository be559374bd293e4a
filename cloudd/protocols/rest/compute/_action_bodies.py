# -*- test-case-name: tests.protocols.rest.compute.test_server_actions -*-
"""Bodies of server actions, as strict as Nova's schemas.  Source: Compute API, "Servers - run an action"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, UnsetType, field

from cloudd.compute import AUTO, MANUAL, Backup, State

from .._documents import Document, Name
from ._call import MAX_INT, ComputeCall, invalid, printable, whole
from ._versions import Version

_LOCK_REASONS: Version = (2, 73)
_ITEM: Final = re.compile(r"[a-zA-Z0-9\-_:. ]{1,255}")
_MAX_VALUE: Final = 255
REBOOTS: Final = {"SOFT": True, "HARD": False}
STATES: Final = {"active": State.ACTIVE, "error": State.ERROR}


class RebootBody(Document):
    """How hard."""

    type: str


class LockBody(Document):
    """Why."""

    locked_reason: Annotated[str, Meta(min_length=1, max_length=255)] | UnsetType = UNSET


class ResizeBody(Document):
    """To which flavor."""

    flavor: int | Annotated[str, Meta(min_length=1, max_length=255)] = field(name="flavorRef")
    disk_config: str | UnsetType = field(name="OS-DCF:diskConfig", default=UNSET)


class ImageBody(Document):
    """A snapshot."""

    name: Name
    metadata: dict[str, Any] = {}


class BackupBody(Document):
    """A snapshot that takes turns with others of its type."""

    name: Name
    backup_type: Annotated[str, Meta(max_length=255)]
    rotation: int | str
    metadata: dict[str, Any] = {}


class ConsoleBody(Document):
    """How many lines of the end; ``-1`` and null: all that there are."""

    length: int | str | None = None


class GroupBody(Document):
    """A security group by its name or id."""

    name: Name


class StateBody(Document):
    """Another state."""

    state: str


def nothing(name: str, given: Any) -> None:
    """
    :raises Fault: 400: an action that has no parameters was given some
    """
    if given not in (None, "") and given != {}:
        raise invalid("It has no parameters: null is meant.", name)


def is_soft(call: ComputeCall, given: Any) -> bool:
    """
    Of a reboot.

    :raises Fault: 400: it is neither soft nor hard
    """
    kind = call.converted("reboot", given, RebootBody).type.upper()
    if kind not in REBOOTS:
        raise invalid(f"Value: {kind[:40]}. 'SOFT' or 'HARD' is meant.", "reboot.type")
    return REBOOTS[kind]


def lock_reason(call: ComputeCall, given: Any) -> str | None:
    """
    :raises Fault: 400: there are reasons from 2.73 on
    """
    if given is None or call.version < _LOCK_REASONS:
        nothing("lock", given)
        return None
    reason = call.converted("lock", given, LockBody).locked_reason
    return None if isinstance(reason, UnsetType) else reason


def disk_config(given: str | UnsetType) -> str | None:
    """
    :raises Fault: 400: it is neither of the two
    """
    if isinstance(given, UnsetType):
        return None
    if given not in (AUTO, MANUAL):
        raise invalid(f"Value: {given[:40]}. '{AUTO}' or '{MANUAL}' is meant.", "OS-DCF:diskConfig")
    return given


def items(path: str, given: Mapping[str, Any]) -> dict[str, str]:
    """
    Metadata.

    :raises Fault: 400: a name or a value is none
    """
    for name, value in given.items():
        if not _ITEM.fullmatch(name):
            raise invalid(f"'{name[:80]}': letters, digits, '-', '_', ':', '.' and blanks are meant, 1 to 255.", path)
        if not isinstance(value, str) or len(value) > _MAX_VALUE:
            raise invalid(f"A string of at most {_MAX_VALUE} characters is meant.", f"{path}.{name}")
    return dict(given)


def image_wanted(call: ComputeCall, given: Any) -> tuple[str, dict[str, str]]:
    """
    Name and further properties of a snapshot.

    :raises Fault: 400
    """
    body = call.converted("createImage", given, ImageBody)
    return printable("createImage.name", body.name), items("createImage.metadata", body.metadata)


def backup_wanted(call: ComputeCall, given: Any) -> Backup:
    """
    :raises Fault: 400
    """
    body = call.converted("createBackup", given, BackupBody)
    return Backup(
        name=printable("createBackup.name", body.name),
        kind=body.backup_type,
        rotation=whole("createBackup.rotation", body.rotation, 0),
        items=items("createBackup.metadata", body.metadata),
    )


def lines_wanted(call: ComputeCall, given: Any) -> int | None:
    """
    Of a console's end; None: all that there are.

    :raises Fault: 400: it is no number
    """
    length = call.converted("os-getConsoleOutput", {} if given is None else given, ConsoleBody).length
    if length is None:
        return None
    count = whole("os-getConsoleOutput.length", length, -1, MAX_INT)
    return None if count < 0 else count


def state_wanted(call: ComputeCall, given: Any) -> State:
    """
    :raises Fault: 400: nobody may write that state
    """
    state = call.converted("os-resetState", given, StateBody).state
    if state not in STATES:
        raise invalid(f"Value: {state[:40]}. 'active' or 'error' is meant.", "os-resetState.state")
    return STATES[state]
