"""Two logs in memory and subscribers that keep what they are sent, for the hub's tests."""

from __future__ import annotations

from typing import Any, cast

from attrs import define, field
from twisted.internet.defer import Deferred, succeed

from cloudd.events import Event, Grant, Position, Subscriber, View
from cloudd.events._event import encoded
from cloudd.events._sources import Page
from cloudd.identity import Access, RoleRef

START_S = 1_800_000_000.0


def event(number: int, project_id: str | None = "p", *, in_store: bool = True, kind: str = "", **facts: Any) -> Event:
    """An event whose data says its number."""
    kind = kind or ("object.created" if in_store else "identity.project.updated")
    text = encoded(kind, number, project_id, {"number": number, **facts})
    return Event(number, in_store, number, kind, project_id, facts.get("user_id"), text)


@define(eq=False)
class MemoryLogs:
    """
    The part of ``Sources`` that the hub uses.

    :ivar reads: after what was read, and for which project
    :ivar waiting: reads wait for this
    :ivar failing: what a read fails with
    """

    control: list[Event] = field(factory=list)
    stored: list[Event] = field(factory=list)
    forgotten: Position = field(default=Position(0, 0))
    version: int = 0
    reads: list[tuple[Position, str | None]] = field(factory=list)
    waiting: Deferred[None] | None = None
    failing: Exception | None = None

    def add(self, *projects: str | None, in_store: bool = True, **facts: Any) -> None:
        """One event for each of these projects."""
        log = self.stored if in_store else self.control
        for project in projects:
            log.append(event(len(log) + 1, project, in_store=in_store, **facts))
        self.version += 1

    @property
    def newest(self) -> Position:
        return Position(len(self.control), len(self.stored))

    def versions(self) -> tuple[int | None, int | None]:
        return self.version, 1

    async def read(self, after: Position, limit: int, project_id: str | None = None) -> Page:
        self.reads.append((after, project_id))
        newest = self.newest
        control = self._page(self.control, after.control, limit, project_id)
        stored = self._page(self.stored, after.objects, limit, project_id)
        if self.waiting is not None:
            await self.waiting
        if self.failing is not None:
            raise self.failing
        return Page(
            events=[*control, *stored],
            end=Position(
                control[-1].id if len(control) == limit else newest.control,
                stored[-1].id if len(stored) == limit else newest.objects,
            ),
            oldest=self.forgotten,
            newest=newest,
        )

    @staticmethod
    def _page(log: list[Event], after: int, limit: int, project_id: str | None) -> list[Event]:
        return [each for each in log if each.id > after and project_id in (None, each.project_id)][:limit]


def access(project_id: str | None = "p", user_id: str = "u", *roles: str, **others: Any) -> Access:
    """Somebody with these roles, a member if none is given."""
    facts: dict[str, Any] = {
        "user_id": user_id,
        "user_name": user_id,
        "user_domain_id": "default",
        "user_domain_name": "Default",
        "project_id": project_id,
        "project_domain_id": "default",
        "audit_ids": ("audit",),
        "expires_at": int((START_S + 3600) * 1e6),
        **others,
    }
    named = tuple(RoleRef(role, role) for role in roles or ("member", "reader"))
    return Access(roles=named, **facts)


class Listener(Subscriber):
    """
    Keeps what it is sent.

    :ivar sent: its chunks
    """

    def __init__(self, grant: Grant, view: View, types: tuple[str, ...] = (), position: Position | None = None) -> None:
        super().__init__(grant, view, types, position, trusted=False)
        self.sent: list[bytes] = []
        self.queued = 0
        self.is_held = self.is_ended = self.breaks = self.must_end = False

    def send(self, data: bytes) -> None:
        assert not self.is_held, "nothing is sent to who is held"
        assert not self.is_ended
        if self.breaks:
            raise OSError("broken")
        self.sent.append(data)

    def end(self) -> None:
        assert not self.is_ended
        self.is_ended = True

    @property
    def unsent(self) -> int:
        return self.queued

    @property
    def held(self) -> bool:
        return self.is_held

    @property
    def process_ends(self) -> bool:
        return self.must_end

    @property
    def text(self) -> str:
        return b"".join(self.sent).decode()

    @property
    def ids(self) -> list[str]:
        """The ids of the events that came, in order."""
        return [block.split("\n")[0].removeprefix("id: ") for block in self.text.split("\n\n") if "\ndata: " in block]


class IdentityDouble:
    """
    The part of ``Identity`` that grants use.

    :ivar answers: what a token is now: an access, or what verifying it raises; a Deferred of it
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []

    async def authenticate_token(self, token: str) -> Access:
        self.asked.append(token)
        answer = self.answers[token]
        found = await (answer if isinstance(answer, Deferred) else succeed(answer))
        if isinstance(found, Exception):
            raise found
        return cast(Access, found)
