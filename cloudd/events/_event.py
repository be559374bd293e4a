# -*- test-case-name: tests.events.test_event -*-
"""
One event, who may see it, and how it goes out as server-sent events (HTML Living Standard, section 9.2).

An event is encoded once, in the thread that read it, for all who get it; only its ``id:`` line depends on how far its
reader has come.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from attrs import field, frozen

from cloudd.identity import Access
from cloudd.objects import Action, account_of, allowed_by_role, project_of
from storage import Change, ChangeKind

from ._position import Position

#: What ``types`` may ask for: these, and what begins with one of them and a dot.
TYPES = (
    "object.created",
    "object.deleted",
    "container.created",
    "container.deleted",
    *(
        f"identity.{thing}.{verb}"
        for thing in (
            "domain",
            "project",
            "user",
            "role",
            "role_assignment",
            "application_credential",
            "ec2_credential",
        )
        for verb in ("created", "updated", "deleted")
    ),
    *(f"image.{verb}" for verb in ("created", "updated", "deleted")),
    *(
        f"network.{thing}.{verb}"
        for thing in ("network", "subnet", "port", "security_group", "security_group_rule")
        for verb in ("created", "updated", "deleted")
    ),
    "node.token",
    "node.joined",
    "node.draining",
    "node.drained",
    "node.ready",
    "node.removed",
    "upgrade.progress",
    "upgrade.ended",
    "upgrade.rolling",
)
RESET = "reset"

_KINDS = {
    ChangeKind.OBJECT_CREATED: "object.created",
    ChangeKind.OBJECT_DELETED: "object.deleted",
    ChangeKind.CONTAINER_CREATED: "container.created",
    ChangeKind.CONTAINER_DELETED: "container.deleted",
}
#: What a user sees of itself only, as in the Identity API.
_OWN = frozenset({"identity.role_assignment", "identity.application_credential"})
#: What readers of the project see.
_FOR_READERS = frozenset({
    "identity.project", "image", "network.network", "network.subnet", "network.port", "network.security_group",
    "network.security_group_rule",
})  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder().encode


@frozen
class Event:
    """
    One row of one of the logs.

    :ivar in_store: whether ``id`` counts in the object store's log, not in the control database's
    :ivar user_id: whom it is about, or None
    :ivar text: its lines behind ``id:``, and the empty line that ends it
    """

    id: int
    in_store: bool
    at_us: int
    type: str
    project_id: str | None
    user_id: str | None
    text: bytes = field(repr=False)

    def after(self, before: Position) -> Position:
        """The position of who was at ``before`` and has seen this, too."""
        return Position(before.control, self.id) if self.in_store else Position(self.id, before.objects)


def encoded(kind: str, at_us: int, project_id: str | None, facts: dict[str, Any]) -> bytes:
    """The lines of an event.  JSON has no line break in it, so ``data`` is one line."""
    time = (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    # What others tell does not take the place of what we say.
    data = _encode({**facts, "time": time, "type": kind, "project_id": project_id})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


def framed(position: Position, event: Event) -> bytes:
    """A whole event for a reader who is at ``position`` once it has it."""
    return b"id: c%d.o%d\n%b" % (position.control, position.objects, event.text)


def control_event(number: int, at_us: int, kind: str, project_id: str | None, user_id: str | None, data: str) -> Event:
    """From a row of the outbox."""
    facts: dict[str, Any] = msgspec.json.decode(data)
    return Event(number, False, at_us, kind, project_id, user_id, encoded(kind, at_us, project_id, facts))


def store_event(change: Change) -> Event:
    """From an entry of the object store's log."""
    kind = _KINDS[change.kind]
    facts: dict[str, Any] = {"account": change.account, "container": change.container}
    if change.kind in (ChangeKind.OBJECT_CREATED, ChangeKind.OBJECT_DELETED):
        facts |= {"name": change.name, "size": change.size, "etag": change.etag}
    project_id = project_of(change.account) or None
    return Event(change.id, True, change.at_us, kind, project_id, None, encoded(kind, change.at_us, project_id, facts))


@frozen(cache_hash=True)
class View:
    """
    What somebody may see: no more than what the APIs show the same token.

    ``everything``: an administrator who asked for it.  Else only the project's own events, and of these objects and
    containers for who may list them (``objects``), the project itself, its images and networks for its readers
    (``reader``), role assignments and application credentials for the user they belong to, EC2 credentials for that
    user ``in_person``.
    """

    project_id: str | None
    user_id: str
    everything: bool
    objects: bool
    reader: bool
    in_person: bool

    @classmethod
    def of(cls, access: Access, *, everything: bool) -> View:
        """
        :param everything: asked for; without effect for who is no administrator
        """
        project_id = access.project_id
        account = account_of(project_id or "")
        return cls(
            project_id=project_id,
            user_id=access.user_id,
            everything=everything and access.is_admin,
            objects=project_id is not None and allowed_by_role(access, account, Action.LIST_OBJECTS),
            reader=access.is_admin or access.has_role("reader"),
            in_person=access.unrestricted and access.application_credential_id is None,
        )

    def shows(self, event: Event) -> bool:
        """Whether ``event`` may be seen."""
        if self.everything:
            return True
        if self.project_id is None or event.project_id != self.project_id:
            return False
        if event.in_store:
            return self.objects
        thing = event.type.rpartition(".")[0]
        if thing in _FOR_READERS:
            return self.reader
        return event.user_id == self.user_id and (
            thing in _OWN or (thing == "identity.ec2_credential" and self.in_person)
        )


def wants(types: tuple[str, ...], kind: str) -> bool:
    """
    Whether ``kind`` is one of ``types`` or lies below one.

    :param types: none: all
    """
    return not types or any(kind == asked or kind.startswith(asked + ".") for asked in types)


class UnknownType(ValueError):
    """No event can have this type."""


def check_types(text: str) -> tuple[str, ...]:
    """
    The types of a comma-separated list, sorted.

    :raises UnknownType: one of them fits no event
    """
    asked = sorted({piece.strip().rstrip(".") for piece in text.split(",") if piece.strip()})
    for one in asked:
        if not any(wants((one,), known) for known in TYPES):
            raise UnknownType(one)
    return tuple(asked)
